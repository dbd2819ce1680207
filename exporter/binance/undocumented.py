"""What is used of websockets beyond its documented API; pyproject.toml limits its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class ConnectWithoutRedirects(connect):
    """Connects to the given URL only: signed requests must not be sent to a host that is not configured."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the response that redirects as the error that it is without redirects."""
        return exc


def abort(connection: ClientConnection) -> None:
    """Close a connection at once, without a close handshake, which a dead peer would not answer."""
    connection.transport.abort()
