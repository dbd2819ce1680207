"""Headers of every response, and the check for requests that another site made a browser send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.web.requests import Request

DEFAULT_HEADERS: Final = {
    b"cache-control": b"no-store",
    # The page loads its own script and style, and the script loads the page; injected content could not do anything.
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
}
_PORTS: Final = {"http": 80, "https": 443}


def response_headers(configured: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    """Return the default headers, with the `configured` ones in place of those of the same name."""
    return {**DEFAULT_HEADERS, **dict(configured)}.items()


def cross_site_reason(request: Request) -> str:
    """Return why a request counts as sent by another site's page, or "" if it does not.

    Browsers set both headers and no page can change them; programs such as curl send neither.
    """
    if not {site.lower() for site in request.values(b"sec-fetch-site")} <= {"same-origin", "none"}:
        return "Sec-Fetch-Site is neither same-origin nor none"
    host = "".join(request.values(b"host"))  # at most one
    if not all(_is_origin_of(origin, host) for origin in request.values(b"origin")):
        return "Origin does not match Host"
    return ""


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        port = _PORTS[parts.scheme]
        own = urlsplit(f"//{host}")
        return bool(own.hostname) and (parts.hostname, parts.port or port) == (own.hostname, own.port or port)
    except (KeyError, ValueError):  # "null", or not an address
        return False
