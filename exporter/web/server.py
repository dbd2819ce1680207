"""The scrape server: /metrics, the status page, /-/healthy, /-/ready and /-/reload; it never polls the exchange."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from exporter.formatting import pluralize
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.exposition import CONTENT_TYPE
from exporter.metrics.openmetrics import OpenMetricsExposition, only_openmetrics
from exporter.threads import run_in_thread_or_loop
from exporter.web.auth import Authenticator
from exporter.web.compression import CompressionError, Compressor, accepts_gzip
from exporter.web.config import WebConfig
from exporter.web.headers import cross_site_reason, response_headers
from exporter.web.limits import Limits
from exporter.web.listen_address import ListenAddress, ListenError
from exporter.web.listener import Listener
from exporter.web.page import STATIC_FILES, load_template
from exporter.web.responses import InFlightBodies, Response, text_response
from exporter.web.tls import SwitchingContext

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from exporter.web.requests import Request
    from exporter.web.watcher import WebConfigWatcher

_NO_CONFIG: Final = WebConfig()
_PAGE_SECONDS: Final = 1.0  # all clients share a page for this long, since rendering takes a while
_READ: Final = ("GET", "HEAD")
_RELOAD: Final = ("POST", "PUT")
_STATIC: Final = {
    path: Response(200, ChunkedBody([content]), f"{media_type}; charset=utf-8".encode())
    for path, (content, media_type) in STATIC_FILES.items()
}


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
        self._shared_page, self._page_until = ChunkedBody([]), float("-inf")
        self._watcher = web_config
        self._reload = reload
        self._limits = limits = limits or Limits()
        self._authenticator = Authenticator(limits)
        self._compressor = Compressor()
        self._compressing = asyncio.Lock()
        self._rendering = asyncio.Lock()
        self.bodies = InFlightBodies(limits.body_bytes)
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Request], Awaitable[Response]]]] = {
            "/": (_READ, self._index),
            **dict.fromkeys(_STATIC, (_READ, self._static_file)),
            telemetry_path: (_READ, self._metrics),
            "/-/healthy": (_READ, self._healthy),
            "/-/ready": (_READ, self._ready),
            "/-/reload": (_RELOAD, self._handle_reload),
        }
        self._tls: SwitchingContext | None = None
        if web_config is not None and web_config.current.tls is not None:
            self._tls = SwitchingContext.create(lambda: web_config.tls)
        self._sockets: list[socket.socket] = []
        self._stopping = asyncio.Event()

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
        scheme = "https" if self._tls else "http"
        names = (listening.getsockname()[:2] for listening in self._sockets)
        return [f"{scheme}://{ListenAddress(host, port)}" for host, port in names]

    async def run(self) -> None:
        """Serve until :meth:`stop`; call :meth:`bind` before."""
        self._listener = Listener(self._sockets, self._tls, self, self._limits)
        await self._stopping.wait()
        await self._listener.stop()

    def stop(self) -> None:
        """Make :meth:`run` end within about a second, including responses in progress."""
        self._stopping.set()

    def close(self) -> None:
        """Stop listening, if :meth:`run` was not called."""
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    @property
    def _config(self) -> WebConfig:
        return self._watcher.current if self._watcher else _NO_CONFIG

    def headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the headers of every response."""
        return response_headers(self._config.headers)

    async def respond(self, request: Request, client: str) -> Response:
        """Return the response to a request from the address `client`."""
        if rejection := await self._authenticator.reject(request, client, self._config.users):
            return rejection
        methods, handle = self._routes.get(request.path, ((), None))
        if handle is None and request.method != "CONNECT":
            return text_response(404)
        if handle is None or request.method not in methods:
            return text_response(405, "", (b"allow", ", ".join(methods or _READ).encode()))
        return await handle(request)

    async def _metrics(self, request: Request) -> Response:
        accept = ",".join(request.values(b"accept"))
        names = parse_qs(request.query, keep_blank_values=True).get("name[]", [])
        zipped = accepts_gzip(",".join(request.values(b"accept-encoding")))
        headers = [(b"vary", b"Accept, Accept-Encoding")]
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
                    headers.append((b"content-encoding", b"gzip"))
        return Response(200, body, content_type.encode(), tuple(headers))

    async def _index(self, _request: Request) -> Response:
        loop = asyncio.get_running_loop()
        async with self._rendering:
            if loop.time() >= self._page_until:
                await run_in_thread_or_loop(load_template)  # slow the first time
                self._shared_page, self._page_until = ChunkedBody([self._page().encode()]), loop.time() + _PAGE_SECONDS
        return Response(200, self._shared_page, b"text/html; charset=utf-8")

    async def _static_file(self, request: Request) -> Response:
        return _STATIC[request.path]

    async def _healthy(self, _request: Request) -> Response:
        return text_response(200, "OK\n")

    async def _ready(self, _request: Request) -> Response:
        # No names: this path needs no password.
        waiting = self._not_ready()
        if not waiting:
            return text_response(200, "OK\n")
        accounts = f"{waiting} {pluralize('account', waiting)}"
        return text_response(503, f"not ready: waiting for the first poll of {accounts}\n")

    async def _handle_reload(self, request: Request) -> Response:
        if reason := cross_site_reason(request):
            return text_response(403, f"cross-site request rejected: {reason}\n")
        if self._reload is None:
            return text_response(403, "lifecycle API is not enabled: start with --web.enable-lifecycle\n")
        # Shielded: a client that disconnects must not interrupt the reload.
        if problems := await asyncio.shield(self._reload()):
            return text_response(500, f"configuration reload failed, keeping the previous configuration:\n{problems}\n")
        return text_response(200, "OK\n")
