"""Sends REST requests to one host: charges their weight, signs them, bounds their responses, and pauses after refusals.

httpx is imported with the first request, since most exporters do not use REST. Only its transport is used, which
follows no redirect, keeps no cookie and logs nothing: query strings contain signatures.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Raw

from exporter.binance.errors import (
    Action,
    BinanceError,
    ConnectionLost,
    DecodeError,
    ExchangeError,
    NoResponse,
    NotConnected,
    OverBudget,
    ProtocolError,
    Reason,
    classify,
    scrub,
)
from exporter.binance.http_headers import parse_retry_after
from exporter.binance.messages import RateLimit
from exporter.binance.proxies import UnusableProxy, find_proxy
from exporter.binance.request_sender import PAUSE_REASONS
from exporter.redaction import hidden
from exporter.rest.requests import REQUEST_WEIGHT_LIMIT, RestPath, decode_rest_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    import httpx

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.histogram import Histogram
    from exporter.binance.signing import Credentials
    from exporter.binance.weight import WeightBudget

MAX_BODY_BYTES: Final = 8 * 2**20
TIMEOUT_SECONDS: Final = 10.0
_MAX_WAIT_SECONDS: Final = 90.0  # for request weight: until the first seconds of the next minute
_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
# The pause after a response of a firewall (403) or for a region (451), where retries rarely help.
_FORBIDDEN_SECONDS: Final = 180.0
_SCHEMES: Final = {"https": "wss", "http": "ws"}

# At debug level it logs each step of a request; it must not be relied on to leave out the target, with its signature.
_logger = logging.getLogger("httpcore")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False


class Response(NamedTuple):
    """The body of a response, and when its request was sent, in seconds of `HostClock.data_time`."""

    body: Raw
    asked_at: float


class RestClient:
    """Requests from one host.

    Args:
        url: the host's URL, without a path.
        proxy: as in `Endpoint.proxy`.
        budget: the host's request weight, apart from that of the WebSocket API.
        clock: the endpoint's clock; requests are signed with its time.
        raise_if_paused: raises Paused while nothing may be sent for another reason than the host's own.
        resync_clock: reads the exchange's time again, unless that was done after a moment in monotonic seconds; raises
            BinanceError.
        durations: receives the durations of responses, by path.
        recv_window_ms: how long after its timestamp a signed request is valid.
        tls: returns the context for https:// hosts and proxies.
    """

    def __init__(
        self,
        url: str,
        proxy: str | None,
        budget: WeightBudget,
        clock: ExchangeClock,
        raise_if_paused: Callable[[], None],
        resync_clock: Callable[[float], Awaitable[None]],
        durations: MutableMapping[RestPath, Histogram],
        recv_window_ms: int = 5000,
        *,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self.url = url
        self.budget = budget
        self._proxy = proxy
        self._clock = clock
        self._raise_if_paused = raise_if_paused
        self._resync_clock = resync_clock
        self._durations = durations
        self._recv_window_ms = recv_window_ms
        self._tls = tls
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def get(
        self,
        path: RestPath,
        weight: int,
        params: Mapping[str, str | int] | None = None,
        credentials: Credentials | None = None,
    ) -> Response:
        """Send a request; once more if its timestamp was rejected, after reading the exchange's time.

        Args:
            path: what to request.
            weight: what the request costs.
            params: its parameters, without timestamp and signature.
            credentials: signs the request; None: it needs no signature.

        Raises:
            Paused: this IP is paused, on this host or on the WebSocket API.
            OverBudget: there was not enough request weight within 90 seconds.
            NotConnected: the host cannot be reached.
            ConnectionLost: the connection ended before the response.
            NoResponse: there was no response within 10 seconds.
            ExchangeError: the host refused the request.
            ProtocolError, DecodeError: the response is a redirect, of a firewall, or too large.
        """
        began_at = self._clock.monotonic()
        try:
            return await self._get(path, weight, params or {}, credentials)
        except ExchangeError as error:
            if credentials is None or classify(error).action is not Action.RESYNC:
                raise
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._resync_clock(began_at)
            except (BinanceError, TimeoutError):
                raise error from None
        return await self._get(path, weight, params or {}, credentials)

    async def close(self) -> None:
        """Close all connections."""
        if self._transport:
            await self._transport.aclose()
            self._transport = None

    async def _get(
        self, path: RestPath, weight: int, params: Mapping[str, str | int], credentials: Credentials | None
    ) -> Response:
        self._raise_if_paused()
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS), self.budget.queue:
                reservation = await self.budget.acquire(weight)
        except TimeoutError:
            raise OverBudget("not enough request weight left on this IP") from None
        used: RateLimit | None = None
        sent_at, asked_at = self._clock.monotonic(), self._clock.host.data_time()
        try:
            self._raise_if_paused()  # since it waited for weight
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status, headers, body = await self._send(path, params, credentials)
            self._durations[path].observe(self._clock.monotonic() - sent_at)
            used = _used_weight(headers)
        except TimeoutError:
            raise NoResponse(f"no response within {TIMEOUT_SECONDS:g} s") from None
        finally:
            self.budget.settle(reservation, used)
        if status != 200:
            raise self._refusal(status, headers, body, sent_at)
        return Response(Raw(body), asked_at)

    async def _send(
        self, path: RestPath, params: Mapping[str, str | int], credentials: Credentials | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        import httpx  # noqa: PLC0415 - not loaded unless it is used

        headers = {"Accept-Encoding": "identity"}
        signatures = []
        query = urlencode(params)
        if credentials:
            headers["X-MBX-APIKEY"] = credentials.api_key.reveal()
            query = urlencode({**params, "recvWindow": self._recv_window_ms, "timestamp": self._clock.milliseconds})
            signatures.append(credentials.sign_text(query))
            query += f"&signature={quote(signatures[0], safe='')}"
        # Not any text: the paths are a closed list.
        url = f"{self.url}{RestPath(path).value}{query and '?'}{query}"
        request = httpx.Request("GET", url, headers=headers)
        request.extensions = {"timeout": httpx.Timeout(TIMEOUT_SECONDS).as_dict()}
        try:
            with hidden(signatures):
                self._transport = self._transport or self._open(httpx)
                response = await self._transport.handle_async_request(request)
                try:
                    return response.status_code, response.headers, await _read(response)
                finally:
                    await response.aclose()
        except httpx.TimeoutException:
            raise TimeoutError from None
        except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol, UnusableProxy, OSError) as error:
            raise NotConnected(f"not connected to {urlsplit(self.url).netloc}: {_reason(error)}") from None
        except (httpx.TransportError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ConnectionLost(_reason(error)) from None

    def _open(self, module: Any) -> httpx.AsyncHTTPTransport:
        """Return a transport for the host.

        Raises:
            UnusableProxy: the proxy's URL is wrong, or REST requests cannot be sent through such a proxy.
        """
        parts = urlsplit(self.url)
        proxy = find_proxy(parts._replace(scheme=_SCHEMES[parts.scheme]).geturl(), self._proxy)
        try:
            transport: httpx.AsyncHTTPTransport = module.AsyncHTTPTransport(
                verify=self._tls(),
                proxy=module.Proxy(proxy.url) if proxy else None,
                limits=module.Limits(max_connections=2, max_keepalive_connections=1),
                trust_env=False,
            )
        except ValueError:
            scheme = proxy.scheme if proxy else "this"
            raise UnusableProxy(
                f"{scheme}:// proxies cannot be used for REST: use a http://, https://, socks5:// or socks5h:// proxy"
            ) from None
        return transport

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes, sent_at: float) -> BinanceError:
        """Return the error of a response, and pause if it asks for that."""
        if 300 <= status < 400:
            return ProtocolError(f"redirected with HTTP status {status}, which is not followed")
        seconds = parse_retry_after(headers.get("Retry-After", ""), headers.get("Date", ""))
        error = decode_rest_error(status, body, None if seconds is None else self._after(seconds))
        if status in PAUSE_REASONS:
            self.budget.pause(PAUSE_REASONS[status], error.retry_at_ms, sent_at=sent_at)
        elif status == 451 or (status == 403 and not error.code):
            retry_at_ms = self._after(max(_FORBIDDEN_SECONDS, seconds or 0.0))
            self.budget.pause(Reason.RATE_LIMITED, retry_at_ms, sent_at=sent_at)
            whose = "for this region" if status == 451 else "by a firewall"
            return ProtocolError(f"rejected with HTTP status {status} {whose}")
        return error

    def _after(self, seconds: float) -> int:
        return self._clock.milliseconds + int(seconds * 1000)


async def _read(response: httpx.Response) -> bytes:
    """Return the body.

    Raises:
        DecodeError: it is larger than `MAX_BODY_BYTES`.
    """
    chunks, size = [], 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise DecodeError("response", f"is larger than {MAX_BODY_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _used_weight(headers: Mapping[str, str]) -> RateLimit | None:
    used = headers.get(_WEIGHT_HEADER, "")
    if not used.isdecimal() or len(used) > 9:
        return None
    return RateLimit(
        kind="REQUEST_WEIGHT", interval="MINUTE", interval_num=1, limit=REQUEST_WEIGHT_LIMIT, count=int(used)
    )


def _reason(error: Exception) -> str:
    return scrub(str(error)) or type(error).__name__
