"""An open WebSocket: sends requests, and matches each response to its request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from websockets.exceptions import ConnectionClosed

from exporter.binance.dialing import handshake_date_ms
from exporter.binance.disconnects import explain_disconnect, is_oversized
from exporter.binance.errors import (
    BinanceError,
    ConnectionLost,
    DecodeError,
    DisconnectReason,
    NoResponse,
    UnmatchedReason,
)
from exporter.binance.messages import Envelope, FrameKind, decode_envelope, decode_event_name, find_request_id
from exporter.binance.websockets_internals import abort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from websockets.asyncio.client import ClientConnection

Reply = tuple["Envelope", float]  # a response, and when it arrived, in monotonic seconds

_FRAMES_PER_YIELD: Final = 64
_CLOSE_SECONDS: Final = 1.5  # longer than the close handshake may take


class _Batch:
    """Requests that were sent at once, and the outcome of each so far.

    One future for all of them wakes the task that waits once, and in fewer steps of the event loop than several.
    """

    __slots__ = ("complete", "outcomes")

    def __init__(self, request_ids: Iterable[int]) -> None:
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes: dict[int | str, Reply | BinanceError | None] = dict.fromkeys(request_ids)

    def put(self, request_id: int | str, outcome: Reply | BinanceError) -> bool:
        """Keep the outcome of a request, and return whether it is the first one."""
        if self.outcomes[request_id] is not None:
            return False
        self.outcomes[request_id] = outcome
        if None not in self.outcomes.values() and not self.complete.done():
            self.complete.set_result(None)
        return True


class Link:
    """An open WebSocket to the exchange.

    Args:
        socket: the WebSocket; the link closes it.
        on_unmatched: called for every frame that matches no request, with its envelope if it has one.
        monotonic: the clock of `last_frame_at`.
    """

    def __init__(
        self,
        socket: ClientConnection,
        on_unmatched: Callable[[UnmatchedReason, Envelope | None], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.opened_at = self.last_frame_at = monotonic()
        self.has_responded = False
        self.replacement_requested = asyncio.Event()
        self.replacement_reason: DisconnectReason | None = None  # why it is to be replaced: ROTATION or SHUTDOWN
        self.retired = False  # no more requests are sent over it
        self.handshake_date_ms = handshake_date_ms(socket)
        self._socket = socket
        self._on_unmatched = on_unmatched
        self._monotonic = monotonic
        self._pending: dict[int | str, _Batch] = {}  # by request
        self._end_message = self._abort_message = ""

    async def send_requests(self, frames: Mapping[int, str], timeout_seconds: float) -> list[Reply | BinanceError]:
        """Send requests at once, and return the response to each or the reason why there is none.

        Args:
            frames: the requests by their ids.
            timeout_seconds: how long to wait for all responses.

        Returns:
            For each request its response or a NoResponse (not within the timeout), ConnectionLost or DecodeError.
        """
        if self._end_message:
            return [ConnectionLost(self._end_message) for _ in frames]
        batch = _Batch(frames)
        self._pending.update(dict.fromkeys(frames, batch))
        failure: BinanceError = NoResponse(f"no response within {round(timeout_seconds, 2):g} s")
        try:
            async with asyncio.timeout(timeout_seconds):
                for frame in frames.values():
                    await self._socket.send(frame)
                await batch.complete
        except TimeoutError:
            pass
        except ConnectionClosed as closed:
            failure = ConnectionLost(explain_disconnect(closed)[1])
        finally:
            for request_id in frames:
                del self._pending[request_id]
            batch.complete.cancel()  # `retire` waits for it
        return [outcome or failure for outcome in batch.outcomes.values()]

    async def read(self) -> tuple[DisconnectReason, str]:
        """Read frames until the connection ends; return why it ended, as a reason and a message."""
        reason, message = DisconnectReason.CLOSED, "connection closed"
        try:
            while True:
                for _ in range(_FRAMES_PER_YIELD):
                    self._handle_frame(await self._socket.recv())
                await asyncio.sleep(0)  # recv() does not yield to the event loop while frames are queued
        except ConnectionClosed as closed:
            if is_oversized(closed):
                self._on_unmatched(UnmatchedReason.OVERSIZED, None)
            reason, message = (
                (DisconnectReason.SILENT, self._abort_message) if self._abort_message else explain_disconnect(closed)
            )
            if self.replacement_reason is DisconnectReason.SHUTDOWN or (self.replacement_reason and self.retired):
                reason = self.replacement_reason
            return reason, message
        finally:
            self._end_message = message
            for request_id, batch in self._pending.items():
                batch.put(request_id, ConnectionLost(message))

    async def ping(self, timeout_seconds: float) -> bool:
        """Send a ping, and return whether the exchange answers it within `timeout_seconds`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return True

    def request_replacement(self, reason: DisconnectReason) -> None:
        """Ask the connection to replace the link with a new one that responds."""
        self.replacement_reason = reason
        self.replacement_requested.set()

    def abort(self, message: str) -> None:
        """Close the socket at once, without a close handshake that a dead peer would not answer."""
        self._abort_message = message
        abort(self._socket)

    async def retire(self) -> None:
        """Close the socket once no response is outstanding; no more requests may be sent over it."""
        self.retired = True
        while self._pending:  # each has its own deadline
            await asyncio.wait({batch.complete for batch in self._pending.values()})
        await self.close()

    async def close(self) -> None:
        """Close the socket with a close handshake, or abort it if the exchange no longer reads."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close()
        except TimeoutError:
            abort(self._socket)
        except (ConnectionClosed, OSError):
            pass

    def _handle_frame(self, frame: str | bytes) -> None:
        self.last_frame_at = self._monotonic()
        if isinstance(frame, bytes):
            self._on_unmatched(UnmatchedReason.BINARY, None)
            return
        try:
            envelope = decode_envelope(frame)
        except DecodeError as error:
            if not self._put(find_request_id(frame), error):
                self._on_unmatched(UnmatchedReason.GARBAGE, None)
            return
        if envelope.kind is FrameKind.EVENT:
            if decode_event_name(envelope.event) == "serverShutdown":
                self.request_replacement(DisconnectReason.SHUTDOWN)
            self._on_unmatched(UnmatchedReason.EVENT, envelope)
        elif envelope.id is None:
            self._on_unmatched(UnmatchedReason.NULL_ID, envelope)
        elif self._put(envelope.id, (envelope, self.last_frame_at)):
            self.has_responded = True
        else:
            self._on_unmatched(UnmatchedReason.UNKNOWN_ID, envelope)

    def _put(self, request_id: int | str | None, outcome: Reply | BinanceError) -> bool:
        """Keep the outcome of a request, and return whether one was expected."""
        if request_id is None or (batch := self._pending.get(request_id)) is None:
            return False
        return batch.put(request_id, outcome)
