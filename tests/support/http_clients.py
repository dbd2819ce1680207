"""HTTP clients of servers on loopback, without TLS."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx

from support.waiting import DEADLINE_SECONDS

# One context for all, without certificates: httpx would load the system's for each client, which takes 30 ms.
_OPTIONS: Final[dict[str, Any]] = {
    "trust_env": False,
    "timeout": DEADLINE_SECONDS,
    "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
}


def http_client(url: str = "", **options: Any) -> httpx.AsyncClient:
    """Return a client of a server."""
    return httpx.AsyncClient(base_url=url, **_OPTIONS, **options)


def blocking_http_client(url: str = "") -> httpx.Client:
    """Return a client for threads that have no event loop."""
    return httpx.Client(base_url=url, **_OPTIONS)


def get(url: str) -> httpx.Response:
    """Request a page once, over a new connection."""
    return httpx.get(url, **_OPTIONS)
