"""Clients that read slowly, or until they are disconnected."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from support.waiting import DEADLINE_SECONDS


async def slow_socket(port: int, window: int = 4096) -> socket.socket:
    """Connect with a small receive buffer, so that the server notices at once that nothing is read."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connected.settimeout(0)
    await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
    return connected


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return all bytes until the connection is closed or reset."""
    received = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(2**20):
                received.append(piece)
    return b"".join(received)
