"""One live socket: sends frames, and matches each answer to its request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from websockets.exceptions import ConnectionClosed

from exporter.binance.dialing import explain_loss, handshake_date_ms, is_oversized
from exporter.binance.errors import (
    BinanceError,
    ConnectionLost,
    DecodeError,
    DisconnectReason,
    NoAnswer,
    UnmatchedReason,
)
from exporter.binance.messages import Envelope, FrameKind, decode_envelope, decode_event_name, find_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from websockets.asyncio.client import ClientConnection

Reply = tuple["Envelope", float]  # an answer, and when it came, in monotonic seconds

_FRAMES_PER_TURN: Final = 64
_CLOSE_SECONDS: Final = 1.5  # longer than the close handshake may take


class Link:
    """A socket that was opened and not yet lost.

    Args:
        socket: the open WebSocket; the link closes it.
        ignore: called with every frame that belongs to no request, and its envelope where there is one.
        monotonic: the clock of `last_frame_at`.
    """

    def __init__(
        self,
        socket: ClientConnection,
        ignore: Callable[[UnmatchedReason, Envelope | None], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.opened_at = self.last_frame_at = monotonic()
        self.answered = False
        self.replacement_requested = asyncio.Event()
        self.due: DisconnectReason | None = None  # why it is to be replaced: ROTATION or SHUTDOWN
        self.retired = False  # nothing is sent over it any more
        self.handshake_date_ms = handshake_date_ms(socket)
        self._socket = socket
        self._ignore = ignore
        self._monotonic = monotonic
        self._pending: dict[int | str, asyncio.Future[Reply]] = {}
        self._ended = self._aborted = ""

    async def exchange(self, frames: Mapping[int, str], timeout_seconds: float) -> list[Reply | BinanceError]:
        """Send requests, by their ids, all at once; return the answer to each, or why there is none.

        NoAnswer: none came within `timeout_seconds`. ConnectionLost: the socket ended first. DecodeError: it is broken.
        """
        if self._ended:
            return [ConnectionLost(self._ended) for _ in frames]
        loop = asyncio.get_running_loop()
        answers: dict[int | str, asyncio.Future[Reply]] = {request_id: loop.create_future() for request_id in frames}
        self._pending.update(answers)
        missing: BinanceError = NoAnswer(f"no answer within {round(timeout_seconds, 2):g} s")
        try:
            async with asyncio.timeout(timeout_seconds):
                for frame in frames.values():
                    await self._socket.send(frame)
                await asyncio.wait(answers.values())
        except TimeoutError:
            pass
        except ConnectionClosed as closed:
            missing = ConnectionLost(explain_loss(closed)[1])
        finally:
            for request_id, answer in answers.items():
                del self._pending[request_id]
                # `retire` waits for it; and asyncio reports errors that were never looked at.
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()
        return [missing if answer.cancelled() else _outcome(answer) for answer in answers.values()]

    async def read(self) -> tuple[DisconnectReason, str]:
        """Read frames until the socket ends; return why it did, in a reason and in words."""
        loss, words = DisconnectReason.CLOSED, "the connection ended"
        try:
            while True:
                for _ in range(_FRAMES_PER_TURN):
                    self._take(await self._socket.recv())
                await asyncio.sleep(0)  # recv() does not wait while there are frames
        except ConnectionClosed as closed:
            if is_oversized(closed):
                self._ignore(UnmatchedReason.OVERSIZED, None)
            loss, words = (DisconnectReason.SILENT, self._aborted) if self._aborted else explain_loss(closed)
            if self.due is DisconnectReason.SHUTDOWN or (self.due and self.retired):
                loss = self.due
            return loss, words
        finally:
            self._ended = words
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(ConnectionLost(words))

    async def responds(self, timeout_seconds: float) -> bool:
        """Return whether the exchange answers a ping within `timeout_seconds`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return True

    def request_replacement(self, reason: DisconnectReason) -> None:
        """Have the link replaced soon, by one that answers."""
        self.due = reason
        self.replacement_requested.set()

    def abort(self, why: str) -> None:
        """End the socket at once, without a close handshake that a dead peer would not answer."""
        self._aborted = why
        self._socket.transport.abort()

    async def retire(self) -> None:
        """Close the socket as soon as nothing is awaited over it any more; send nothing over it from now on."""
        self.retired = True
        while self._pending:  # each is over by a deadline of its own
            await asyncio.wait(self._pending.values())
        await self.close()

    async def close(self) -> None:
        """Close the socket in good order, or cut it off if the exchange no longer reads."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()
        except (ConnectionClosed, OSError):
            pass

    def _take(self, frame: str | bytes) -> None:
        self.last_frame_at = self._monotonic()
        if isinstance(frame, bytes):
            self._ignore(UnmatchedReason.BINARY, None)
            return
        try:
            envelope = decode_envelope(frame)
        except DecodeError as error:
            answer = self._pending.get(find_id(frame) or 0)
            if answer is None or answer.done():
                self._ignore(UnmatchedReason.GARBAGE, None)
            else:
                answer.set_exception(error)
            return
        if envelope.kind is FrameKind.EVENT:
            if decode_event_name(envelope.event) == "serverShutdown":
                self.request_replacement(DisconnectReason.SHUTDOWN)
            self._ignore(UnmatchedReason.EVENT, envelope)
        elif envelope.id is None:
            self._ignore(UnmatchedReason.NULL_ID, envelope)
        elif (answer := self._pending.get(envelope.id)) is None or answer.done():
            self._ignore(UnmatchedReason.UNKNOWN_ID, envelope)
        else:
            self.answered = True
            answer.set_result((envelope, self.last_frame_at))


def _outcome(answer: asyncio.Future[Reply]) -> Reply | BinanceError:
    error = answer.exception()
    if isinstance(error, BinanceError):
        return error
    return answer.result()
