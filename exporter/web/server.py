"""The scrape server: /metrics, the status page, /-/healthy, /-/ready and /-/reload; it never polls the exchange."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.formatting import pluralize
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.exposition import CONTENT_TYPE
from exporter.metrics.openmetrics import OpenMetricsExposition, only_openmetrics
from exporter.web.auth import AuthMiddleware
from exporter.web.chunked_response import ChunkedResponse, InFlightBodies
from exporter.web.compression import CompressionError, Compressor, accepts_gzip
from exporter.web.config import WebConfig
from exporter.web.connections import KEEP_ALIVE_SECONDS, Limits, Listener
from exporter.web.headers import cross_site_reason
from exporter.web.listen_address import ListenAddress, ListenError
from exporter.web.page import STATIC_FILES
from exporter.web.tls import SwitchingContext
from exporter.web.uvicorn_internals import Config, Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from exporter.web.watcher import WebConfigWatcher

_PAGE_SECONDS: Final = 1.0  # all clients share a page for this long, since rendering takes a while
_NO_CONFIG: Final = WebConfig()


def _cancellable(app: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # uvicorn would log a traceback at shutdown
            await app(scope, receive, send)

    return call


class WebServer:
    """Serves metrics, the status page and the health endpoints.

    Args:
        addresses: where to listen; port 0 picks a free port.
        telemetry_path: the path of the metrics.
        body: returns the metrics in the text format.
        openmetrics: renders them for clients that accept only OpenMetrics, or select some by name.
        not_ready: returns how many accounts still wait for the end of their first poll.
        page: returns the HTML of the status page.
        web_config: watches the web configuration, if there is one.
        reload: reloads the configuration and returns its problems; None if requests must not reload it.
        limits: the limits of clients, if not the default.
    """

    def __init__(
        self,
        addresses: Sequence[ListenAddress],
        telemetry_path: str,
        body: Callable[[], ChunkedBody],
        openmetrics: OpenMetricsExposition,
        not_ready: Callable[[], int],
        page: Callable[[], str],
        web_config: WebConfigWatcher | None = None,
        reload: Callable[[], Awaitable[str]] | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._addresses = addresses
        self._body = body
        self._openmetrics = openmetrics
        self._openmetrics_turn = asyncio.Semaphore(1)  # rendering takes a thread and much memory: one at a time
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
                *(Route(path, self._static_file) for path in STATIC_FILES),
                Route(telemetry_path, self._metrics),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
                Route("/-/reload", self._handle_reload, methods=["POST", "PUT"]),
            ]
        )
        pages.router.redirect_slashes = False
        app = AuthMiddleware(pages, lambda: web_config.current if web_config else _NO_CONFIG)
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
        if web_config is not None and web_config.current.tls is not None:
            config.load()  # otherwise uvicorn loads it at the start and overwrites ssl
            config.ssl = SwitchingContext.create(lambda: web_config.tls)
            self._scheme = "https"
        self._server = Server(config, partial(Listener, limits=limits))

    def bind(self) -> list[str]:
        """Start listening on all addresses and return their URLs.

        Raises:
            ListenError: an address cannot be listened on; no address is then.
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
        """Make :meth:`run` end within about a second, including responses in progress."""
        self._server.should_exit = True

    def close(self) -> None:
        """Stop listening, if :meth:`run` was not called."""
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    async def _metrics(self, request: Request) -> Response:
        accept, names = request.headers.get("Accept", ""), request.query_params.getlist("name[]")
        zipped = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        headers = {"Vary": "Accept, Accept-Encoding"}
        content_type = CONTENT_TYPE
        # One at a time: a client that waits holds no body yet, and gets the latest one at its turn.
        async with contextlib.AsyncExitStack() as turn:
            if names or only_openmetrics(accept):
                await turn.enter_async_context(self._openmetrics_turn)
                text, content_type = await self._openmetrics.render(accept, names)
                body = ChunkedBody([text])
            else:
                if zipped:
                    await turn.enter_async_context(self._compressing)
                body = self._body()
            if zipped:
                with contextlib.suppress(CompressionError):
                    body = await self._compressor.compress(body)
                    headers["Content-Encoding"] = "gzip"
        return ChunkedResponse(body, self._bodies, headers=headers, media_type=content_type)

    async def _index(self, _request: Request) -> Response:
        now = asyncio.get_running_loop().time()
        if now >= self._page_until:
            self._shared_page, self._page_until = ChunkedBody([self._page().encode()]), now + _PAGE_SECONDS
        return ChunkedResponse(self._shared_page, self._bodies, headers={}, media_type="text/html")

    async def _static_file(self, request: Request) -> Response:
        content, media_type = STATIC_FILES[request.scope["path"]]
        return Response(content, media_type=media_type)

    async def _healthy(self, _request: Request) -> Response:
        return PlainTextResponse("OK\n")

    async def _ready(self, _request: Request) -> Response:
        # No names: this path needs no password.
        waiting = self._not_ready()
        if not waiting:
            return PlainTextResponse("OK\n")
        accounts = f"{waiting} {pluralize('account', waiting)}"
        return PlainTextResponse(f"not ready: waiting for the first poll of {accounts}\n", status_code=503)

    async def _handle_reload(self, request: Request) -> Response:
        if reason := cross_site_reason(request.headers):
            return PlainTextResponse(f"cross-site request rejected: {reason}\n", status_code=403)
        if self._reload is None:
            return PlainTextResponse(
                "lifecycle API is not enabled: start with --web.enable-lifecycle\n", status_code=403
            )
        # Shielded: a client that disconnects must not interrupt the reload.
        if problems := await asyncio.shield(self._reload()):
            text = f"configuration reload failed, keeping the previous configuration:\n{problems}\n"
            # A file's name may not be valid Unicode.
            return PlainTextResponse(text.encode(errors="backslashreplace"), status_code=500)
        return PlainTextResponse("OK\n")
