"""Free ports."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port
