"""The only module that imports uvicorn: its internals that the exporter builds on, and a server without its listener.

None of it is a public interface, so pyproject.toml allows a single minor version of uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol

import uvicorn
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Sequence

__all__ = ["STATUS_LINE", "Config", "HttpToolsProtocol", "RequestResponseCycle", "Server"]

_GRACE_SECONDS: Final = 0.8  # how long a shutdown waits for responses in progress


class _Listening(Protocol):
    def close(self) -> None: ...


class _Listen(Protocol):
    def __call__(
        self, *, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None, protocol: dict[str, Any]
    ) -> _Listening: ...


class Server(uvicorn.Server):
    """uvicorn's server with a listener that limits the number of connections and the duration of a TLS handshake.

    Args:
        config: the application and how to serve it.
        listen: accepts connections until closed; `protocol` holds the keyword arguments of `HttpToolsProtocol`.
    """

    def __init__(self, config: Config, listen: _Listen) -> None:
        super().__init__(config)
        self._listen = listen

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting connections."""
        await self.lifespan.startup()
        self.servers = []
        protocol = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        tls = self.config.ssl if isinstance(self.config.ssl, ssl.SSLContext) else None
        self._listener = self._listen(sockets=sockets or [], tls=tls, protocol=protocol)
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the service, which also has to stop the pollers."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, and abort after a grace period those that are still being answered."""
        self._listener.close()
        # uvicorn would cancel responses that the client does not read, with a traceback in the log.
        aborting = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._abort_connections)
        await super().shutdown(sockets)
        aborting.cancel()

    def _abort_connections(self) -> None:
        self.force_exit = True  # the event loop cancels what still waits, such as for a password to be checked
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
