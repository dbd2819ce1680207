"""Headers of every response, and the check for requests that another site made a browser send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.datastructures import Headers
    from starlette.types import Message, Send

DEFAULT_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    # The page loads its own script and style, and the script loads the page; injected content could not do anything.
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
            b" form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
)
_PORTS: Final = {"http": 80, "https": 443}


def with_headers(configured: Iterable[tuple[bytes, bytes]], send: Send) -> Send:
    """Return a `send` that adds the default headers to a response, or the `configured` ones of the same name."""
    extra = {**dict(DEFAULT_HEADERS), **dict(configured)}

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in extra]
            message = {**message, "headers": [*own, *extra.items()]}
        await send(message)

    return send_with_headers


def cross_site_reason(headers: Headers) -> str:
    """Return why a request counts as sent by another site's page, or "" if it does not.

    Browsers set both headers and no page can change them; programs such as curl send neither.
    """
    for site in headers.getlist("Sec-Fetch-Site"):
        if site.strip().lower() not in {"same-origin", "none"}:
            return "Sec-Fetch-Site is neither same-origin nor none"
    for origin in headers.getlist("Origin"):
        if not _is_origin_of(origin, headers.get("Host", "")):
            return "Origin does not match Host"
    return ""


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin.strip())
        port = _PORTS[parts.scheme]
        own = urlsplit(f"//{host.strip()}")
        return bool(own.hostname) and (parts.hostname, parts.port or port) == (own.hostname, own.port or port)
    except (KeyError, ValueError):  # "null", or not an address
        return False
