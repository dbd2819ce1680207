"""Requests as values, and the parser that finds them in a connection's bytes; the grammar is httptools'."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httptools

if TYPE_CHECKING:
    from exporter.web.limits import Limits


class TooManyRequests(Exception):
    """A client has sent more requests at once than may wait for earlier responses."""


@dataclass(slots=True, kw_only=True)
class Request:
    """A request without its body, which no handler needs."""

    method: str = ""
    path: str = ""  # decoded; empty for CONNECT
    query: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)  # names in lower case
    keep_alive: bool = False  # whether the connection stays open after the response
    error: int = 0  # the status of the response if this is not a valid request

    def values(self, name: bytes) -> list[str]:
        """Return the values of a header, `name` in lower case, as they were sent."""
        return [value.decode("latin-1").strip() for header, value in self.headers if header == name]


class RequestParser:
    """Splits the bytes that a client sends into requests, and stops at the last request of the connection.

    Args:
        limits: the limits of a head and of pipelined requests.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._unparsed = memoryview(b"")
        self._ready: deque[Request] = deque()
        self._target, self._headers = b"", list[tuple[bytes, bytes]]()
        self._head_bytes = 0
        self._request: Request | None = None  # the one whose body is being received
        self._ended = False  # whether nothing more is parsed
        self.in_head = False  # whether a request has begun
        self._is_cut = False  # whether what follows the last request was dropped

    @property
    def has_unread(self) -> bool:
        """Whether the client may still be sending after the last request."""
        return self._is_cut or bool(self._unparsed)

    def feed(self, data: bytes) -> None:
        """Add received bytes; call `next` afterwards."""
        if self._ended:
            self._is_cut = True
            return
        self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)

    def next(self) -> Request | None:
        """Return the next request, None if it has not been received yet.

        A body that has not been received is not waited for: the request becomes the last one of the connection.

        Raises:
            TooManyRequests: more requests than may wait have been received.
        """
        while self._unparsed and not self._ready and not self._ended:
            size = self._limits.slice_bytes
            data, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            self._parse(data)
        if not self._ready and self._request is not None and not self._ended:
            self._add(self._request)
            self._end()
        return self._ready.popleft() if self._ready else None

    def _parse(self, data: memoryview) -> None:
        if self._request is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # A request for another protocol is answered in HTTP/1.1, as RFC 9110 allows.
            self._end()
        except httptools.HttpParserError:
            self._fail(400)
        else:
            is_large = self._head_bytes > self._limits.head_bytes or len(self._headers) > self._limits.headers
            if self._request is None and is_large:
                self._fail(431)
        if len(self._ready) > self._limits.pipelined:
            raise TooManyRequests

    def _fail(self, status: int) -> None:
        """Add a response with an error, unless one to an earlier request is due, which is then the last one."""
        if not self._ready:
            self._add(Request(method=self._parser.get_method().decode(), error=status))
        self._end()

    def _end(self) -> None:
        self._ended = self._is_cut = True
        self._unparsed = memoryview(b"")
        self._ready[-1].keep_alive = False

    def _add(self, request: Request) -> None:
        if self._ended:
            self._is_cut = True
            return
        self._ready.append(request)
        self._ended = not request.keep_alive

    # Called by httptools.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.in_head = True

    def on_url(self, part: bytes) -> None:
        """Add to the request's target, which may arrive in parts."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, unless it follows a chunked body."""
        if self._request is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Expect the request's body."""
        method = self._parser.get_method().decode()
        self._request = request = Request(method=method, headers=self._headers)
        names = [name for name, _ in self._headers]
        head_bytes = len(self._target) + sum(len(name) + len(value) for name, value in self._headers)
        if len(names) > self._limits.headers or head_bytes > self._limits.head_bytes:
            request.error = 431
        elif names.count(b"host") > 1:
            request.error = 400
        elif method != "CONNECT":
            try:
                target = httptools.parse_url(self._target)
                request.path = unquote(target.path.decode("ascii"))
                request.query = (target.query or b"").decode("ascii")
            except (httptools.HttpParserInvalidURLError, AttributeError, UnicodeDecodeError):
                request.error = 400
        # A client that announced a body with Expect may send it or not: what follows could be either.
        is_certain = self._parser.get_http_version() == "1.1" and b"expect" not in names
        request.keep_alive = self._parser.should_keep_alive() and is_certain and not request.error

    def on_message_complete(self) -> None:
        """Add the request to those to be answered."""
        assert self._request is not None
        self._add(self._request)
        self._request, self._target, self._headers = None, b"", []
        self._head_bytes, self.in_head = 0, False
