"""Middleware: basic authentication, except for health probes, and the configured response headers."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse

from exporter.web.headers import with_headers
from exporter.web.passwords import Busy, Passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from exporter.web.config import WebConfig

_WITHOUT_PASSWORD: Final = frozenset({"/-/healthy", "/-/ready"})  # the kubelet sends none


class AuthMiddleware:
    """ASGI middleware that checks passwords and adds the headers of every response."""

    def __init__(self, app: ASGIApp, config: Callable[[], WebConfig]) -> None:
        self._app = app
        self._config = config
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the application."""
        config = self._config()
        send = with_headers(config.headers, send)
        app = self._app
        if config.users and scope["path"] not in _WITHOUT_PASSWORD:
            app = await self._authenticate(config, scope)
        await app(scope, receive, send)

    async def _authenticate(self, config: WebConfig, scope: Scope) -> ASGIApp:
        """Return the application for a request with the right password, or the response that rejects it."""
        credentials = _credentials(scope["headers"])
        client = scope["client"][0] if scope["client"] else ""
        try:
            if credentials and await self._passwords.verify(config.users, *credentials, client):
                return self._app
        except Busy:
            text = "too many authentication attempts: try again later\n"
            return PlainTextResponse(text, status_code=503, headers={"Retry-After": "1"})
        return PlainTextResponse("Unauthorized\n", status_code=401, headers={"WWW-Authenticate": "Basic"})


def _credentials(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """Return the name and password of the Authorization header; None unless there is one, for basic authentication."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, encoded = values[0].partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return (name, password) if colon else None
