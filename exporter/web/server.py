"""The scrape server: /metrics, /, /-/healthy and /-/ready. The only I/O inward; it never asks the exchange anything."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.binance.hosts import join_host_and_port
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.exposition import CONTENT_TYPE
from exporter.metrics.openmetrics import OpenMetricsExposition, only_openmetrics
from exporter.web.auth import AuthMiddleware
from exporter.web.compression import CompressionError, Compressor, accepts_gzip
from exporter.web.config import WebConfig
from exporter.web.connections import KEEP_ALIVE_SECONDS, InFlightBodies, Limits, Listener
from exporter.web.headers import cross_site_reason
from exporter.web.tls import SwitchingContext
from exporter.web.uvicorn_internals import Config, Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from exporter.web.connections import ClientConnection
    from exporter.web.watcher import WebConfigWatcher

_PIECE_BYTES: Final = 64 * 1024
# Who takes a large body fast must not have it all before the others have anything: the more he has had, the more
# turns of the event loop he leaves to them.
_TURN_PIECES: Final = 4
_LONGEST_WAIT: Final = 16
_PAGE_SECONDS: Final = 1.0  # for so long all who look share a page, since making one takes a while
_BACKLOG: Final = 1024
_NO_CONFIG: Final = WebConfig()


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and port; an empty host means all addresses, of IPv6 and IPv4 both."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read ``host:port``, ``[v6]:port`` or ``:port``.

        Raises:
            ValueError: it is none of these; the text says what is expected.
        """
        found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]*)):(\d{1,5})", text)
        if not found or int(found[3]) > 65535:
            raise ValueError(f"{text!r} is not an address: write host:port, [IPv6]:port or :port")
        return cls(found[1] or found[2], int(found[3]))

    def bind(self) -> list[socket.socket]:
        """Return listening sockets of this address.

        Raises:
            ListenError: the address is in use, unknown or not allowed.
        """
        try:
            if self.host:
                return _bind_all(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
            if socket.has_dualstack_ipv6():
                everywhere = ("::", self.port)
                return [socket.create_server(everywhere, family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)]
            return [socket.create_server(("", self.port), backlog=_BACKLOG)]
        except UnicodeError as error:
            raise ListenError(f"cannot listen on {self}: {self.host!r} is no host name") from error
        except OSError as error:
            # create_server adds the address to strerror; name resolution has numbers of its own, below zero.
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise ListenError(f"cannot listen on {self}: {why}; choose another with --web.listen-address") from error

    def __str__(self) -> str:
        return join_host_and_port(self.host, self.port)


def _bind_all(found: Iterable[tuple[Any, ...]]) -> list[socket.socket]:
    """Listen on every address of a name, but for those that this machine turns out not to have."""
    listening: list[socket.socket] = []
    lacking: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listening.append(socket.create_server(address, family=family, backlog=_BACKLOG))
        except OSError as error:
            # A container's localhost is ::1, too, also where there is no IPv6.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                for bound in listening:
                    bound.close()
                raise
            lacking = error
    if lacking is not None and not listening:
        raise lacking
    return listening


class _ChunkedResponse(Response):
    """A body sent in pieces, each only when the reader has taken the last: a slow reader costs no memory."""

    def __init__(self, body: ChunkedBody, bodies: InFlightBodies, headers: dict[str, str], media_type: str) -> None:
        super().__init__(headers={"Content-Length": str(body.size), **headers}, media_type=media_type)
        self._body = body
        self._bodies = bodies

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            connection: ClientConnection = scope["state"]["connection"]
            with self._bodies.sending(self._body, connection):
                for number, piece in enumerate(self._body.pieces(_PIECE_BYTES)):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    if number % _TURN_PIECES == 0:
                        for _ in range(min(number // _TURN_PIECES, _LONGEST_WAIT)):
                            await asyncio.sleep(0)
                    if connection.gone:
                        return
        await send({"type": "http.response.body"})


def _cancellable(app: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # uvicorn would log a traceback at shutdown
            await app(scope, receive, send)

    return call


class WebServer:
    """Serves what is known.

    Args:
        addresses: where to listen; port 0 picks a free one.
        telemetry_path: where the metrics are.
        body: gives the text of /metrics.
        slow_way: gives it to those who want OpenMetrics, or only some of it.
        not_ready: counts the accounts whose first poll has not ended.
        page: gives the HTML of /.
        live: TLS, passwords and headers, where there is a web configuration.
        reload: reads the configuration anew and tells what is wrong with it; None where requests may not have it done.
        limits: what clients may take, where not the usual.
    """

    def __init__(
        self,
        addresses: Sequence[ListenAddress],
        telemetry_path: str,
        body: Callable[[], ChunkedBody],
        slow_way: OpenMetricsExposition,
        not_ready: Callable[[], int],
        page: Callable[[], str],
        live: WebConfigWatcher | None = None,
        reload: Callable[[], Awaitable[str]] | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._addresses = addresses
        self._body = body
        self._slow_way = slow_way
        self._slow_turn = asyncio.Semaphore(1)  # it takes a thread and much memory: one client at a time
        self._not_ready = not_ready
        self._page = page
        self._reload = reload
        self._compressor = Compressor()
        self._compressing = asyncio.Lock()
        limits = limits or Limits()
        self._bodies = InFlightBodies(limits.body_bytes)
        self._shared_page, self._page_until = ChunkedBody([]), float("-inf")
        self._sockets: list[socket.socket] = []
        pages = Starlette(
            routes=[
                Route("/", self._index),
                Route(telemetry_path, self._metrics),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
                Route("/-/reload", self._reloaded, methods=["POST", "PUT"]),
            ]
        )
        pages.router.redirect_slashes = False
        app = AuthMiddleware(pages, lambda: live.current if live else _NO_CONFIG)
        config = Config(
            _cancellable(app),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._scheme = "http"
        if live is not None and live.current.tls is not None:
            config.load()  # it would set ssl when the server starts
            config.ssl = SwitchingContext.to(lambda: live.tls)
            self._scheme = "https"
        self._server = Server(config, partial(Listener, limits=limits))

    def bind(self) -> list[str]:
        """Start listening; return the URLs of what is listened on.

        Raises:
            ListenError: an address cannot be had; nothing is listened on then.
        """
        try:
            for address in self._addresses:
                self._sockets.extend(address.bind())
        except ListenError:
            self.close()
            raise
        urls = []
        for listening in self._sockets:
            host, port = listening.getsockname()[:2]
            urls.append(f"{self._scheme}://{ListenAddress(host, port)}")
        return urls

    async def run(self) -> None:
        """Serve until :meth:`stop`; call :meth:`bind` before."""
        await self._server.serve(sockets=self._sockets)

    def stop(self) -> None:
        """Have :meth:`run` end within about a second, answers under way included."""
        self._server.should_exit = True

    def close(self) -> None:
        """Stop listening without having served."""
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    async def _metrics(self, request: Request) -> Response:
        accept, names = request.headers.get("Accept", ""), request.query_params.getlist("name[]")
        zipped = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        headers = {"Vary": "Accept, Accept-Encoding"}
        content_type = CONTENT_TYPE
        # One after the other: who waits for a turn holds no body yet, and then has that of the moment.
        async with contextlib.AsyncExitStack() as turn:
            if names or only_openmetrics(accept):
                await turn.enter_async_context(self._slow_turn)
                text, content_type = await self._slow_way.render(accept, names)
                body = ChunkedBody([text])
            else:
                if zipped:
                    await turn.enter_async_context(self._compressing)
                body = self._body()
            if zipped:
                with contextlib.suppress(CompressionError):
                    body = await self._compressor.compress(body)
                    headers["Content-Encoding"] = "gzip"
        return _ChunkedResponse(body, self._bodies, headers=headers, media_type=content_type)

    async def _index(self, _request: Request) -> Response:
        now = asyncio.get_running_loop().time()
        if now >= self._page_until:
            self._shared_page, self._page_until = ChunkedBody([self._page().encode()]), now + _PAGE_SECONDS
        return _ChunkedResponse(self._shared_page, self._bodies, headers={}, media_type="text/html")

    async def _healthy(self, _request: Request) -> Response:
        return PlainTextResponse("OK\n")

    async def _ready(self, _request: Request) -> Response:
        # No names: this path needs no password.
        waiting = self._not_ready()
        if not waiting:
            return PlainTextResponse("OK\n")
        accounts = "1 account" if waiting == 1 else f"{waiting} accounts"
        return PlainTextResponse(f"not ready: waiting for the first poll of {accounts}\n", status_code=503)

    async def _reloaded(self, request: Request) -> Response:
        if reason := cross_site_reason(request.headers):
            return PlainTextResponse(f"cross-site request refused: {reason}\n", status_code=403)
        if self._reload is None:
            return PlainTextResponse(
                "reloading by request is off: start with --web.enable-lifecycle\n", status_code=403
            )
        # A client that hangs up must not leave it half done.
        if problems := await asyncio.shield(self._reload()):
            text = f"the configuration cannot be used:\n{problems}\n"
            # A file's name may not be Unicode.
            return PlainTextResponse(text.encode(errors="backslashreplace"), status_code=500)
        return PlainTextResponse("OK\n")
