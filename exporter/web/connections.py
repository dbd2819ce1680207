"""Client connections, limited in number, time and memory; nothing here depends on what is served.

All limits are in `Limits`. Connections that exceed one are closed without a log line: otherwise a hostile client could
fill the log.
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
    from collections.abc import Callable, Sequence

KEEP_ALIVE_SECONDS: Final = 75  # longer than usual scrape intervals, so that Prometheus need not reconnect
_CLOSING_SECONDS: Final = 5.0  # for a client to read the rest when its connection is closed
# The system's buffers of a connection in each direction (Linux doubles them); the default is up to 4 MiB.
_SEND_BYTES: Final = 128 * 1024
_RECEIVE_BYTES: Final = 32 * 1024
_UNSENT_BYTES: Final = 32 * 1024  # asyncio's buffer before a response has to wait; with TLS the default is 512 KiB
_ACCEPTED_AT_ONCE: Final = 16  # before other tasks run
_SLICE_BYTES: Final = 4096  # parsed before the limits are checked again
_OUT_OF_FILES_SECONDS: Final = 0.1
_TOO_MANY_HEADERS: Final = Response(
    status_code=431,
    headers={"Connection": "close"} | {name.decode(): value.decode() for name, value in DEFAULT_HEADERS},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of clients; docs/security.md states their sums."""

    connections: int = 512
    head_seconds: float = 10.0  # for a TLS handshake, and again for a request's line and headers
    head_bytes: int = 16 * 1024
    headers: int = 100
    pipelined: int = 8  # requests that wait for earlier responses
    answer_seconds: float = 60.0  # from a request's last header until its response has been read
    body_bytes: int = 64 * 1024 * 1024  # of all bodies that are being sent, shared ones counted once


class ClientConnection(HttpToolsProtocol):
    """A client's connection: uvicorn's, with limits.

    Request bodies are not read, since no handler needs one: a request with a body ends the connection after the
    response.
    `closed` is called when the connection is closed; `uvicorn` holds the arguments of uvicorn's connection.
    """

    def __init__(self, client: str, limits: Limits, closed: Callable[[ClientConnection], None], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.address = client
        self.since = self.loop.time()  # when the present activity began: a head, a response or being idle
        self.opening: asyncio.Task[None] | None = None
        self._limits = limits
        self._closed = closed
        self._deadline: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None  # uvicorn's `cycle` is the last one received
        self._in_head, self._head_bytes = True, 0
        self.connected = self._stop_reading = False

    @property
    def answering(self) -> bool:
        """Whether a response is being sent."""
        return self._answered is not None and not self._answered.response_complete

    @property
    def disconnected(self) -> bool:
        """Whether the client of the last request has disconnected."""
        return self._answered is not None and self._answered.disconnected

    def abort(self) -> None:
        """Close the connection at once, even during a response."""
        self._cancel_deadline()
        if self.connected:
            self._mark_disconnected()
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        self.connected = True
        super().connection_made(transport)
        transport.set_write_buffer_limits(_UNSENT_BYTES)
        self._set_deadline(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's place."""
        self._cancel_deadline()
        self._closed(self)
        super().connection_lost(exc)
        self._mark_disconnected()

    def data_received(self, data: bytes) -> None:
        """Parse data, as far as the limits allow."""
        self._unset_keepalive_if_required()
        if self._stop_reading:
            return
        if not self.answering and self._in_head and not self._head_bytes and self._answered is not None:
            self._set_deadline(self._limits.head_seconds)
        for start in range(0, len(data), _SLICE_BYTES):
            if not self._parse(data[start : start + _SLICE_BYTES]):
                return

    def _parse(self, data: bytes) -> bool:
        """Parse a slice, and return whether to parse the next one."""
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # A request for another protocol is answered in HTTP/1.1, as RFC 9110 allows.
            self._close_after_response()
        except httptools.HttpParserError:
            self._reject(400)
        else:
            if self._in_head and (self._head_bytes > self._limits.head_bytes or self._too_many_headers()):
                self._reject(431)
            elif len(self.pipeline) > self._limits.pipelined:
                self.abort()
            elif not self._in_head:
                self._close_after_response()  # a body follows
        return not self._stop_reading and not self.transport.is_closing()

    def on_headers_complete(self) -> None:
        """Answer the request, or queue it behind the one that is being answered."""
        self._in_head = False
        if self._too_many_headers():
            self.headers.clear()
            self.app = _TOO_MANY_HEADERS
        was_answering = self.answering
        super().on_headers_complete()
        if not was_answering:
            self._answer(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Drop a part of a request's body."""

    def on_message_complete(self) -> None:
        """Expect another request."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answer the next queued request, or wait for one."""
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self.transport.is_closing():
            return  # the deadline still limits the time to read the rest
        if following is not None:
            self._answer(following)
        else:
            self._set_deadline(KEEP_ALIVE_SECONDS + _CLOSING_SECONDS)  # uvicorn closes it gracefully before that

    def _too_many_headers(self) -> bool:
        return bool(self.headers) and len(self.headers) > self._limits.headers

    def _answer(self, cycle: RequestResponseCycle) -> None:
        self._answered = cycle
        cycle.scope["state"]["connection"] = self
        self._set_deadline(self._limits.answer_seconds)

    def _close_after_response(self) -> None:
        """Stop reading, since the data could be endless, and close the connection after the response."""
        self._stop_reading = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        self.flow.pause_reading()

    def _reject(self, status: int) -> None:
        if self.answering:
            self._close_after_response()  # two responses must not be mixed
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
        """Abort the connection after `seconds`, unless another deadline is set before."""
        self._cancel_deadline()
        self.since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _mark_disconnected(self) -> None:
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()
        self.flow.resume_writing()


class Listener:
    """Accepts connections up to a limit; beyond it, each new connection closes another one.

    The one closed is of the address with the most connections: the one that has been idle for the longest or, if none
    is idle, the one whose response has taken the longest. So many connections from one address close each other, never
    a scrape from another address.

    Args:
        sockets: the sockets to listen on.
        tls: the context for TLS; None for plain HTTP.
        limits: the limits of clients.
        protocol: the keyword arguments of uvicorn's connection.
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
            # Accepted sockets inherit these options.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            listening.settimeout(0)
            self._listen(listening)

    def close(self) -> None:
        """Stop accepting and abort handshakes; established connections stay open."""
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        for connection in [opening for opening in self._connections if not opening.connected]:
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
                # No file or memory is left. Waiting clients keep the socket readable, so pause for a while.
                self._close_one()
                self._loop.remove_reader(listening)
                self._loop.call_later(_OUT_OF_FILES_SECONDS, self._listen, listening)
                return
            while len(self._connections) >= self._limits.connections:
                self._close_one()
            connection = ClientConnection(address[0], self._limits, self._remove, **self._protocol)
            self._connections[connection] = None
            connection.opening = self._loop.create_task(self._open(connection, accepted))
            connection.opening.add_done_callback(partial(self._opened, connection, accepted))

    async def _open(self, connection: ClientConnection, accepted: socket.socket) -> None:
        options: dict[str, Any] = {}
        if self._tls:
            options["ssl_handshake_timeout"] = self._limits.head_seconds
            options["ssl_shutdown_timeout"] = _CLOSING_SECONDS
        with contextlib.suppress(OSError, asyncio.CancelledError):  # a failed handshake is not logged
            await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._tls, **options)

    def _opened(self, connection: ClientConnection, accepted: socket.socket, _opening: asyncio.Task[None]) -> None:
        # A callback, since a task that is cancelled before it starts runs none of its code.
        connection.opening = None
        if not connection.connected:
            accepted.close()
            self._remove(connection)

    def _close_one(self) -> None:
        if not self._connections:
            return
        counts = Counter(connection.address for connection in self._connections)
        closed = min(self._connections, key=lambda c: (-counts[c.address], c.answering, c.since))
        self._remove(closed)
        closed.abort()

    def _remove(self, connection: ClientConnection) -> None:
        self._connections.pop(connection, None)
