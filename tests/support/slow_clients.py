"""Clients that read slowly."""

from __future__ import annotations

import asyncio
import socket


async def slow_socket(port: int, window: int = 4096) -> socket.socket:
    """Connect with a small receive buffer, so that the server notices at once that nothing is read."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connected.settimeout(0)
    await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
    return connected
