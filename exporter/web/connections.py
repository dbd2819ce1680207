"""Connections of clients, and what each of them may take: time, memory and a place among the others.

Nothing here knows what is served. Every bound is in `Limits`; whoever is past one is hung up on, without a log line,
since otherwise a hostile client would write the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httptools
from starlette.responses import Response

from exporter.web.headers import DEFAULT_HEADERS
from exporter.web.uvicorn_internals import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

    from exporter.metrics.chunked_body import ChunkedBody

KEEP_ALIVE_SECONDS: Final = 75  # longer than usual scrape intervals, so that Prometheus need not reconnect
_CLOSING_SECONDS: Final = 5.0  # for a client to take what is left when its connection is closed
# What the system may hold of a connection in each direction (Linux doubles it); it would take up to 4 MiB.
_SEND_BYTES: Final = 128 * 1024
_RECEIVE_BYTES: Final = 32 * 1024
_UNSENT_BYTES: Final = 32 * 1024  # and asyncio, before it has the answer wait; with TLS it would take 512 KiB
_ACCEPTED_AT_ONCE: Final = 16  # then others have their turn, too
_SLICE_BYTES: Final = 4096  # so much is parsed before the bounds are looked at again
_OUT_OF_FILES_SECONDS: Final = 0.1
_TOO_MANY_HEADERS: Final = Response(
    status_code=431,
    headers={"Connection": "close"} | {name.decode(): value.decode() for name, value in DEFAULT_HEADERS},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may take; README states the sums of these."""

    connections: int = 512
    head_seconds: float = 10.0  # for a TLS handshake, and again for a request's line and headers
    head_bytes: int = 16 * 1024
    headers: int = 100
    pipelined: int = 8  # requests that wait for the answers before theirs
    answer_seconds: float = 60.0  # from a request's last header until its answer has been taken
    body_bytes: int = 64 * 1024 * 1024  # of all bodies that are being sent, those that are the same counted once


class ClientConnection(HttpToolsProtocol):
    """One client's connection: uvicorn's, with bounds.

    Request bodies are not read: nothing here wants one, so the connection of who sends one ends with the answer.
    """

    def __init__(self, client: str, limits: Limits, leave: Callable[[ClientConnection], None], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.address = client
        self.since = self.loop.time()  # when it began to do what it does
        self.opening: asyncio.Task[None] | None = None
        self._limits = limits
        self._leave = leave
        self._deadline: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None  # uvicorn's `cycle` is the last that was asked for
        self._in_head, self._head_bytes = True, 0
        self.connected = self._stop_reading = False

    @property
    def answering(self) -> bool:
        """Whether an answer is under way."""
        return self._answered is not None and not self._answered.response_complete

    @property
    def gone(self) -> bool:
        """Whether nobody is left to be answered."""
        return self._answered is not None and self._answered.disconnected

    def abort(self) -> None:
        """End the connection now, whatever is under way."""
        self._forget_deadline()
        if self.connected:
            self._tell_gone()
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        self.connected = True
        super().connection_made(transport)
        transport.set_write_buffer_limits(_UNSENT_BYTES)
        self._set_deadline(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the place."""
        self._forget_deadline()
        self._leave(self)
        super().connection_lost(exc)
        self._tell_gone()

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as far as the bounds allow."""
        self._unset_keepalive_if_required()
        if self._stop_reading:
            return
        if not self.answering and self._in_head and not self._head_bytes and self._answered is not None:
            self._set_deadline(self._limits.head_seconds)
        for start in range(0, len(data), _SLICE_BYTES):
            if not self._parse(data[start : start + _SLICE_BYTES]):
                return

    def _parse(self, data: bytes) -> bool:
        """Parse a slice, and tell whether the next one is wanted."""
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Who would rather speak something else is answered in HTTP/1.1, as RFC 9110 has it.
            self._end_after_answer()
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._in_head and (self._head_bytes > self._limits.head_bytes or self._too_many_headers()):
                self._refuse(431)
            elif len(self.pipeline) > self._limits.pipelined:
                self.abort()
            elif not self._in_head:
                self._end_after_answer()  # a body is to come
        return not self._stop_reading and not self.transport.is_closing()

    def on_headers_complete(self) -> None:
        """Begin to answer, or queue the request behind the one that is being answered."""
        self._in_head = False
        if self._too_many_headers():
            self.headers.clear()
            self.app = _TOO_MANY_HEADERS
        was_answering = self.answering
        super().on_headers_complete()
        if not was_answering:
            self._answer(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Drop a piece of a request's body."""

    def on_message_complete(self) -> None:
        """Expect another request."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the request that was queued, or wait for one."""
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self.transport.is_closing():
            return  # what is left must be taken before the deadline
        if following is not None:
            self._answer(following)
        else:
            self._set_deadline(KEEP_ALIVE_SECONDS + _CLOSING_SECONDS)  # uvicorn closes in good manners before that

    def _too_many_headers(self) -> bool:
        return bool(self.headers) and len(self.headers) > self._limits.headers

    def _answer(self, cycle: RequestResponseCycle) -> None:
        self._answered = cycle
        cycle.scope["state"]["connection"] = self
        self._set_deadline(self._limits.answer_seconds)

    def _end_after_answer(self) -> None:
        """Read nothing more, since it could be without an end."""
        self._stop_reading = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        self.flow.pause_reading()

    def _refuse(self, status: int) -> None:
        if self.answering:
            self._end_after_answer()  # two answers must not be mixed
            return
        self._stop_reading = True
        text = STATUS_LINE[status].removeprefix(b"HTTP/1.1 ")
        length = b"content-length: %d\r\n" % len(text)
        kind = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        extra = b"".join(b"%s: %s\r\n" % header for header in DEFAULT_HEADERS)
        self.transport.write(STATUS_LINE[status] + kind + extra + length + b"\r\n" + text)
        self.transport.close()
        self._set_deadline(_CLOSING_SECONDS)

    def _set_deadline(self, seconds: float) -> None:
        """Hang up after so long unless something else is given before."""
        self._forget_deadline()
        self.since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _tell_gone(self) -> None:
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()
        self.flow.resume_writing()


class Listener:
    """Accepts connections, as many as are allowed; past that, somebody goes for each that comes.

    Of those of the address with the most connections it is who has been idle for the longest; only where none is idle,
    who has been answered for the longest. So a crowd from one address drives out itself, never a scrape from another.

    Args:
        sockets: what is listened on.
        tls: speaks TLS where it is given.
        limits: what clients may take.
        protocol: what uvicorn makes a connection with.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None, limits: Limits, protocol: dict[str, Any]
    ) -> None:
        self._sockets = sockets
        self._tls = tls
        self._limits = limits
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._connections: dict[ClientConnection, None] = {}
        for listening in sockets:
            # Accepted sockets inherit them.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            listening.settimeout(0)
            self._listen(listening)

    def close(self) -> None:
        """Accept nobody any more, and end the handshakes; whoever is connected stays."""
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        for connection in [each for each in self._connections if not each.connected]:
            connection.abort()

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # No file or memory is left. Who waits makes the socket ready at once again, so look away for a while.
                self._make_room()
                self._loop.remove_reader(listening)
                self._loop.call_later(_OUT_OF_FILES_SECONDS, self._listen, listening)
                return
            while len(self._connections) >= self._limits.connections:
                self._make_room()
            connection = ClientConnection(address[0], self._limits, self._left, **self._protocol)
            self._connections[connection] = None
            connection.opening = self._loop.create_task(self._open(connection, accepted))
            connection.opening.add_done_callback(partial(self._opened, connection, accepted))

    async def _open(self, connection: ClientConnection, accepted: socket.socket) -> None:
        options: dict[str, Any] = {}
        if self._tls:
            options["ssl_handshake_timeout"] = self._limits.head_seconds
            options["ssl_shutdown_timeout"] = _CLOSING_SECONDS
        with contextlib.suppress(OSError, asyncio.CancelledError):  # a broken handshake is the client's own affair
            await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._tls, **options)

    def _opened(self, connection: ClientConnection, accepted: socket.socket, _opening: asyncio.Task[None]) -> None:
        # A callback, since a task that is cancelled before it has begun runs no code of its own.
        connection.opening = None
        if not connection.connected:
            accepted.close()
            self._left(connection)

    def _make_room(self) -> None:
        if not self._connections:
            return
        crowd = Counter(each.address for each in self._connections)
        leaves = min(self._connections, key=lambda each: (-crowd[each.address], each.answering, each.since))
        self._left(leaves)
        leaves.abort()

    def _left(self, connection: ClientConnection) -> None:
        self._connections.pop(connection, None)


class InFlightBodies:
    """The bodies that are being sent: past `most_bytes`, who still reads the oldest is hung up on.

    Every poll makes another body, and each slow reader would hold his own.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._readers: dict[ChunkedBody, set[ClientConnection]] = {}  # oldest body first

    @contextlib.contextmanager
    def sending(self, body: ChunkedBody, connection: ClientConnection) -> Iterator[None]:
        """Hold a body while the block runs."""
        readers = self._readers.setdefault(body, set())
        readers.add(connection)
        while len(self._readers) > 1 and sum(held.size for held in self._readers) > self._most_bytes:
            oldest = next(iter(self._readers))
            for reader in tuple(self._readers.pop(oldest)):
                reader.abort()
        try:
            yield
        finally:
            readers.discard(connection)
            if not readers and self._readers.get(body) is readers:
                del self._readers[body]
