"""Responses sent in pieces, and a limit on the memory of all bodies that are being sent."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from exporter.metrics.chunked_body import ChunkedBody
    from exporter.web.connections import ClientConnection

_PIECE_BYTES: Final = 64 * 1024
# Yield to the event loop more often the more a client has been sent: a fast reader of a large body must not starve
# the others.
_PIECES_PER_YIELD: Final = 4
_MOST_YIELDS: Final = 16  # at a time


class InFlightBodies:
    """Bodies that are being sent: when they exceed `most_bytes`, connections that still read the oldest are closed.

    Every poll makes another body, and without a limit each slow reader would keep a different one in memory.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._readers: dict[ChunkedBody, set[ClientConnection]] = {}  # oldest body first

    @contextlib.contextmanager
    def sending(self, body: ChunkedBody, connection: ClientConnection) -> Iterator[None]:
        """Count a body while the block runs."""
        readers = self._readers.setdefault(body, set())
        readers.add(connection)
        while len(self._readers) > 1 and sum(sent.size for sent in self._readers) > self._most_bytes:
            oldest = next(iter(self._readers))
            for reader in tuple(self._readers.pop(oldest)):
                reader.abort()
        try:
            yield
        finally:
            readers.discard(connection)
            if not readers and self._readers.get(body) is readers:
                del self._readers[body]


class ChunkedResponse(Response):
    """Sends a body in pieces, each when the client has read the previous one: a slow reader takes no memory."""

    def __init__(self, body: ChunkedBody, bodies: InFlightBodies, headers: dict[str, str], media_type: str) -> None:
        super().__init__(headers={"Content-Length": str(body.size), **headers}, media_type=media_type)
        self._body = body
        self._bodies = bodies

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the response."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            connection: ClientConnection = scope["state"]["connection"]
            with self._bodies.sending(self._body, connection):
                for number, piece in enumerate(self._body.pieces(_PIECE_BYTES)):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    if number % _PIECES_PER_YIELD == 0:
                        for _ in range(min(number // _PIECES_PER_YIELD, _MOST_YIELDS)):
                            await asyncio.sleep(0)
                    if connection.disconnected:
                        return
        await send({"type": "http.response.body"})
