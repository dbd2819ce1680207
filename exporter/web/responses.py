"""Responses as values, their encoding, and a limit on the memory of all bodies that are being sent."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from exporter.metrics.chunked_body import ChunkedBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a body and its media type, and headers in addition to those of every response."""

    status: int
    body: ChunkedBody
    media_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()  # names in lower case

    def head(self, extra: Iterable[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
        """Return the status line and all headers, `extra` ones included."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\ndate: {formatdate(usegmt=True)}".encode(),
            b"content-type: " + self.media_type,
            b"content-length: %d" % self.body.size,
            *map(b": ".join, (*self.headers, *extra)),
            b"\r\n" if keep_alive else b"connection: close\r\n\r\n",
        ]
        return b"\r\n".join(lines)


def text_response(status: int, text: str = "", *headers: tuple[bytes, bytes]) -> Response:
    """Return a response in plain text, by default the name of its status."""
    # A file's name may not be valid Unicode.
    content = (text or f"{HTTPStatus(status).phrase}\n").encode(errors="backslashreplace")
    return Response(status, ChunkedBody([content]), b"text/plain; charset=utf-8", headers)


class InFlightBodies:
    """Bodies that are being sent: when they exceed `most_bytes`, connections that still read the oldest are closed.

    Every poll makes another body, and without a limit each slow reader would keep a different one in memory.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._readers: dict[ChunkedBody, set[Callable[[], None]]] = {}  # oldest body first

    @contextlib.contextmanager
    def sending(self, body: ChunkedBody, abort: Callable[[], None]) -> Iterator[None]:
        """Count a body while the block runs; `abort` closes the connection that reads it."""
        readers = self._readers.setdefault(body, set())
        readers.add(abort)
        while len(self._readers) > 1 and sum(sent.size for sent in self._readers) > self._most_bytes:
            oldest = next(iter(self._readers))
            for abort_reader in tuple(self._readers.pop(oldest)):
                abort_reader()
        try:
            yield
        finally:
            readers.discard(abort)
            if not readers and self._readers.get(body) is readers:
                del self._readers[body]
