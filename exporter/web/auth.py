"""Basic authentication, except for health probes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from exporter.web.passwords import Busy, Passwords
from exporter.web.responses import Response, text_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.web.limits import Limits
    from exporter.web.requests import Request

_WITHOUT_PASSWORD: Final = frozenset({"/-/healthy", "/-/ready"})  # the kubelet sends none


class Authenticator:
    """Decides which requests are answered, and how the others are rejected."""

    def __init__(self, limits: Limits) -> None:
        self._passwords = Passwords(limits)

    async def reject(self, request: Request, client: str, users: Mapping[bytes, bytes]) -> Response | None:
        """Return the response to a request without the right password; None if the request may be answered.

        Args:
            request: the request.
            client: the client's address.
            users: names and bcrypt hashes; if empty, no request needs a password.
        """
        if not users or request.path in _WITHOUT_PASSWORD:
            return None
        try:
            credentials = _credentials(request.values(b"authorization"))
            if credentials and await self._passwords.verify(users, *credentials, client):
                return None
        except Busy:
            return text_response(503, "too many authentication attempts: try again later\n", (b"retry-after", b"1"))
        return text_response(401, "", (b"www-authenticate", b"Basic"))


def _credentials(values: list[str]) -> tuple[bytes, bytes] | None:
    """Return the name and password of the only Authorization header; None unless it is for basic authentication."""
    scheme, _, encoded = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:  # not base64, or not ASCII
        return None
    return (name, password) if colon else None
