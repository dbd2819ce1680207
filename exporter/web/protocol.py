"""A client's connection: requests are read and answered one at a time, each step within a deadline.

A connection that exceeds a limit is closed without a log line: otherwise a hostile client could fill the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from exporter.web.requests import RequestParser, TooManyRequests
from exporter.web.responses import text_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.web.limits import Limits
    from exporter.web.requests import Request
    from exporter.web.responses import InFlightBodies, Response

log = structlog.get_logger()

# Yield to the event loop more often the more a client has been sent: a fast reader of a large body must not starve
# the others.
_PIECES_PER_YIELD: Final = 4
_MOST_YIELDS: Final = 16  # at a time


class Site(Protocol):
    """What a connection serves."""

    bodies: InFlightBodies

    def headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the headers of every response."""

    async def respond(self, request: Request, client: str) -> Response:
        """Return the response to a valid request from the address `client`."""


class ClientConnection(asyncio.Protocol):
    """A client's connection.

    Args:
        client: the client's address.
        site: what to serve.
        limits: the limits of clients.
        closed: called when the connection is closed.
    """

    def __init__(self, client: str, site: Site, limits: Limits, closed: Callable[[ClientConnection], None]) -> None:
        self.client = client
        self.opening: asyncio.Task[None] | None = None
        self.answering: asyncio.Task[None] | None = None
        self._site = site
        self._limits = limits
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()  # when the present activity began: a head, a response or being idle
        self._transport: asyncio.Transport | None = None
        self._parser = RequestParser(limits)
        self._deadline: asyncio.TimerHandle | None = None
        self._may_write: asyncio.Future[None] | None = None  # while the client does not read
        self._is_idle = self._is_stopping = self._is_draining = False
        self._ahead_bytes = 0  # received during a response, or after the last one

    @property
    def is_open(self) -> bool:
        """Whether the TLS handshake, if any, is complete."""
        return self._transport is not None

    def abort(self) -> None:
        """Close the connection at once, even during a response."""
        self._cancel_deadline()
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def stop(self) -> None:
        """Close the connection after the response in progress."""
        self._is_stopping = True
        if self._transport is None:
            self.abort()
        elif self.answering is None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(self._limits.unsent_bytes)
        self._set_deadline(self._limits.head_seconds, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - clients may disconnect at any time
        """Stop answering, and release the connection's place."""
        self._cancel_deadline()
        if self.answering is not None:
            self.answering.cancel()
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        """Answer the requests that `data` completes."""
        if self._is_draining or self.answering is not None:
            self._ahead_bytes += len(data)
            if self._ahead_bytes > self._limits.ahead_bytes:
                self.abort()
            if self._is_draining or self._ahead_bytes > self._limits.ahead_bytes:
                return
        if self._is_idle:
            self._is_idle = False
            self._set_deadline(self._limits.head_seconds, self.abort)
        self._parser.feed(data)
        if self.answering is None and (request := self._next_request()):
            self.answering = self._loop.create_task(self._answer(request))

    def pause_writing(self) -> None:
        """Let the response wait, since the client does not read it."""
        self._may_write = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on with the response."""
        if self._may_write is not None and not self._may_write.done():
            self._may_write.set_result(None)
        self._may_write = None

    def _next_request(self) -> Request | None:
        try:
            return self._parser.next()
        except TooManyRequests:
            self.abort()
            return None

    async def _answer(self, request: Request | None) -> None:
        """Answer a request and those received after it; only then read more."""
        assert self._transport is not None
        # asyncio would log a warning for each write after the end of a paused TLS stream.
        if self._transport.can_write_eof():
            self._transport.pause_reading()
        self._ahead_bytes, keep_alive = 0, True
        try:
            while request is not None and keep_alive:
                self._set_deadline(self._limits.answer_seconds, self.abort)
                keep_alive = await self._send(request, await self._response(request))
                request = self._next_request()
                if request is not None:
                    await asyncio.sleep(0)  # a client that sends requests without a pause must not starve the others
            if not keep_alive:
                await self._end()
            else:
                self._wait()
        except Exception:
            log.exception("response failed, internal error")
            self.abort()
        finally:
            self.answering = None

    async def _response(self, request: Request) -> Response:
        if request.error:
            return text_response(request.error)
        try:
            return await self._site.respond(request, self.client)
        except Exception:
            log.exception("request failed, internal error", path=request.path)
            return text_response(500)

    async def _send(self, request: Request, response: Response) -> bool:
        """Send a response, and return whether the connection stays open."""
        assert self._transport is not None
        keep_alive = request.keep_alive and not self._is_stopping
        head = response.head(self._site.headers(), keep_alive=keep_alive)
        if request.method == "HEAD" or not response.body.size:
            self._transport.write(head)
            await self._writable()
            return keep_alive
        with self._site.bodies.sending(response.body, self.abort):
            for number, piece in enumerate(response.body.pieces(self._limits.piece_bytes)):
                self._transport.writelines([piece] if number else [head, piece])
                await self._writable()
                if number % _PIECES_PER_YIELD == 0:
                    for _ in range(min(number // _PIECES_PER_YIELD, _MOST_YIELDS)):
                        await asyncio.sleep(0)
        return keep_alive

    async def _writable(self) -> None:
        """Wait until the client has read most of the response, or for the end of a connection that is lost."""
        assert self._transport is not None
        while self._may_write is not None:
            await self._may_write
        if self._transport.is_closing():
            await self._loop.create_future()

    def _wait(self) -> None:
        """Wait for another request, or for the rest of one."""
        assert self._transport is not None
        self._transport.resume_reading()
        if self._parser.in_head:
            self._set_deadline(self._limits.head_seconds, self.abort)
        else:
            self._is_idle = True
            self._set_deadline(self._limits.idle_seconds, self._close)

    async def _end(self) -> None:
        """Close the connection after a response.

        The client may still be sending, and unread data would make the system reset the connection, so that the client
        could lose the response: read on until it closes its side, or for a while.
        """
        assert self._transport is not None
        can_close_half = self._transport.can_write_eof()  # not with TLS
        if self._is_stopping or not (can_close_half or self._parser.has_unread):
            self._transport.close()  # once the rest is sent, which the deadline of the response limits
            return
        self._transport.set_write_buffer_limits(1)  # TLS would wait for ever at 0
        await self._writable()
        self._is_draining = True
        self._transport.resume_reading()
        if can_close_half:
            with contextlib.suppress(OSError):  # the client has reset the connection, which the next read will find
                self._transport.write_eof()
        limits = self._limits
        self._set_deadline(limits.closing_seconds if can_close_half else limits.tls_closing_seconds, self._close)

    def _close(self) -> None:
        """Close the connection, and abort it if that takes long."""
        assert self._transport is not None
        self._transport.close()
        self._set_deadline(self._limits.closing_seconds, self.abort)

    def _set_deadline(self, seconds: float, expire: Callable[[], None]) -> None:
        """Call `expire` after `seconds`, unless another deadline is set before."""
        self._cancel_deadline()
        self.since = self._loop.time()
        self._deadline = self._loop.call_later(seconds, expire)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
