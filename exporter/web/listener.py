"""Accepts connections up to a limit, each with a deadline for its TLS handshake, and closes them at a stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from exporter.web.protocol import ClientConnection, Site

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from exporter.web.limits import Limits


class Listener:
    """Accepts connections up to a limit; beyond it, each new connection closes another one.

    The one closed is of the address with the most connections: the one that has been idle for the longest or, if none
    is idle, the one whose response has taken the longest. So many connections from one address close each other, never
    a scrape from another address.

    Args:
        sockets: the sockets to listen on.
        tls: the context for TLS; None for plain HTTP.
        site: what to serve.
        limits: the limits of clients.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None, site: Site, limits: Limits
    ) -> None:
        self._sockets = sockets
        self._tls = tls
        self._site = site
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._connections: dict[ClientConnection, None] = {}
        self._all_closed = asyncio.Event()
        for listening in sockets:
            # Accepted sockets inherit these options.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.receive_buffer_bytes)
            listening.settimeout(0)
            self._listen(listening)

    async def stop(self) -> None:
        """Stop accepting, and abort after a grace period the connections that are still being answered."""
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        for connection in tuple(self._connections):
            connection.stop()
        await self._until_closed()
        answering = [connection.answering for connection in self._connections if connection.answering]
        for connection in tuple(self._connections):
            connection.abort()
        if answering:
            await asyncio.wait(answering)

    async def _until_closed(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.grace_seconds):
                while self._connections:
                    self._all_closed.clear()
                    await self._all_closed.wait()

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(self._limits.accepted_at_once):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # No file or memory is left. Waiting clients keep the socket readable, so pause for a while.
                self._close_one()
                self._loop.remove_reader(listening)
                self._loop.call_later(self._limits.out_of_files_seconds, self._listen, listening)
                return
            while len(self._connections) >= self._limits.connections:
                self._close_one()
            connection = ClientConnection(address[0], self._site, self._limits, self._remove)
            self._connections[connection] = None
            connection.opening = self._loop.create_task(self._open(connection, accepted))
            connection.opening.add_done_callback(partial(self._opened, connection, accepted))

    async def _open(self, connection: ClientConnection, accepted: socket.socket) -> None:
        options: dict[str, Any] = {}
        if self._tls:
            options["ssl_handshake_timeout"] = self._limits.head_seconds
            options["ssl_shutdown_timeout"] = self._limits.closing_seconds
        with contextlib.suppress(OSError, asyncio.CancelledError):  # a failed handshake is not logged
            await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._tls, **options)

    def _opened(self, connection: ClientConnection, accepted: socket.socket, _opening: asyncio.Task[None]) -> None:
        # A callback, since a task that is cancelled before it starts runs none of its code.
        connection.opening = None
        if not connection.is_open:
            accepted.close()
            self._remove(connection)

    def _close_one(self) -> None:
        if not self._connections:
            return
        counts = Counter(connection.client for connection in self._connections)
        closed = min(self._connections, key=lambda c: (-counts[c.client], c.answering is not None, c.since))
        self._remove(closed)
        closed.abort()

    def _remove(self, connection: ClientConnection) -> None:
        self._connections.pop(connection, None)
        if not self._connections:
            self._all_closed.set()
