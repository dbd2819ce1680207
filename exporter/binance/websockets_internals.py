"""What the exporter's client uses of websockets beyond its documentation.

The upper bound of websockets in pyproject.toml is because of this module and of `exporter.simulator.connection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class ConnectWithoutRedirects(connect):
    """`connect`, except that a redirect rejects the handshake, as any other status does.

    Following it would send signed requests to a host that is not configured.
    """

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error that is raised instead of following a redirect."""
        return exc


def abort(socket: ClientConnection) -> None:
    """Close a socket at once, without a close handshake and without sending what is still buffered.

    `close` waits until the peer has read what was sent, even beyond `close_timeout`.
    """
    socket.transport.abort()
