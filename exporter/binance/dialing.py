"""Opening a WebSocket to an endpoint: through which proxy, within which times, and how long between two attempts."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection

from exporter.binance.hosts import is_address, join_host_and_port
from exporter.binance.http_headers import date_seconds
from exporter.binance.proxies import Proxy, UnusableProxy, find_proxy
from exporter.binance.websockets_internals import ConnectWithoutRedirects

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_FRAME_BYTES: Final = 8 * 2**20
PING_SECONDS: Final = 20
OPEN_TIMEOUT_SECONDS: Final = 10
_HAPPY_EYEBALLS_SECONDS: Final = 0.25  # until the next address of a name is tried in parallel (RFC 8305)
_MIN_DATE_SECONDS, _MAX_DATE_SECONDS = 1e9, 1e11  # a Date of 1970 comes from a clock that was never set
_CLOSE_TIMEOUT_SECONDS: Final = 1  # a peer that does not answer a close must not hold up the shutdown

# At debug level websockets logs handshake headers and frames, including API keys and signatures. Every failure is also
# raised as an exception.
_disabled_logger = logging.getLogger("exporter.websockets")
_disabled_logger.addHandler(logging.NullHandler())
_disabled_logger.propagate = False
_disabled_logger.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go: accounts with equal endpoints share one connection and one weight budget."""

    # The `endpoint` label: mainnet, testnet or host:port, with " via host:port" when proxied. It may depend on the
    # order of the endpoints, and is not part of an endpoint's identity.
    label: str = field(compare=False)
    url: str  # ws:// or wss://
    proxy: str | None = None  # http:// or socks5:// URL; None: the environment's proxy; "none": no proxy
    rest_url: str | None = field(default=None, compare=False)  # of the REST API, without a path; None: not used

    def __repr__(self) -> str:
        return f"Endpoint({self.label})"  # a proxy's URL may hold a password

    def __reduce__(self) -> NoReturn:
        raise TypeError("an endpoint may hold a proxy's password and is never pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A connection's delays in seconds; tests shorten them."""

    reconnect_grace: float = 2.0  # how long a poll waits for a connection that is being redialled
    # The age at which a connection is replaced, random between the two: the exchange ends a connection after 24 hours.
    rotate_between: tuple[float, float] = (22.5 * 3600, 23.5 * 3600)
    clock_interval: float = 600.0
    clock_timeout: float = 10.0
    clock_grace: float = 1.0  # after an answered ping, how long the first polls wait for the exchange's time
    silence_timeout: float = 60.0  # a link that is silent for this long despite requests is dropped
    stable_after: float = 60.0  # a connection of this age resets the backoff
    forbidden_delay: float = 180.0  # least delay after a dial rejected with HTTP 403 or 451, which a retry rarely fixes
    backoff_first: float = 0.5
    backoff_cap: float = 60.0


class ProxyFailure(Exception):
    """A dial failed before the proxy had connected to the exchange; the cause says why."""


async def open_socket(endpoint: Endpoint) -> ClientConnection:
    """Open a WebSocket to the endpoint; with wss:// the certificate is verified against the system's store.

    Raises:
        Exception: any that `disconnects.explain_dial_failure` explains.
    """
    tcp_connected = False
    proxy, proxy_url = find_proxy(endpoint.url, endpoint.proxy), None

    def create(*args: Any, **options: Any) -> ClientConnection:
        nonlocal tcp_connected
        tcp_connected = True  # called once TCP is connected, before TLS
        return ClientConnection(*args, **options)

    try:
        proxy_url = await _resolve_proxy_url(proxy) if proxy else None
        return await ConnectWithoutRedirects(
            endpoint.url,
            proxy=proxy_url,
            # Passed to loop.create_connection, for an HTTP proxy as well.
            happy_eyeballs_delay=_happy_eyeballs_delay(proxy.host if proxy else urlsplit(endpoint.url).hostname),
            # It doubles the CPU time of a poll, and websockets#1060 reports that Binance sends no data with it.
            compression=None,
            logger=_disabled_logger,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_TIMEOUT_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=_CLOSE_TIMEOUT_SECONDS,
            create_connection=cast("type[ClientConnection]", create),  # documented to take a wrapper, too
        )
    except (OSError, UnicodeError) as error:
        # With socks5:// the endpoint's name is resolved here, after the proxy was reached.
        is_endpoint_name = (
            isinstance(error, socket.gaierror | UnicodeError) and proxy_url and proxy_url.startswith("socks")
        )
        if proxy and not tcp_connected and not is_endpoint_name:
            raise ProxyFailure from error
        if isinstance(error, TimeoutError) and not tcp_connected:
            raise TimeoutError(errno.ETIMEDOUT, "no TCP connection") from None
        raise


def _happy_eyeballs_delay(host: str | None) -> float | None:
    """Return the delay of happy eyeballs; None for an IP address, where racing could only leave a socket open."""
    return None if is_address(host or "") else _HAPPY_EYEBALLS_SECONDS


async def _resolve_proxy_url(proxy: Proxy) -> str:
    """Return a proxy's URL; for a SOCKS proxy, with the address that accepts a connection first."""
    if not proxy.scheme.startswith("socks"):
        return proxy.url
    # python-socks tries only one address of a name, and cannot be given a socket.
    async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, proxy.host, proxy.port, happy_eyeballs_delay=_happy_eyeballs_delay(proxy.host)
        )
    host, port = transport.get_extra_info("peername")[:2]
    transport.abort()
    return proxy.url.removesuffix(proxy.host_and_port) + join_host_and_port(host, port)


def name_environment_proxy(endpoint: Endpoint) -> str:
    """Return a phrase that names the environment's proxy if a dial uses it, else an empty text."""
    try:
        proxy = find_proxy(endpoint.url, endpoint.proxy)
    except UnusableProxy:
        return ""  # its own message names the variable
    if not proxy or not proxy.variable:
        return ""
    return f" (through the proxy {proxy.host_and_port} from {proxy.variable})"


def handshake_date_ms(socket: ClientConnection) -> int | None:
    """Return the `Date` of the handshake's response in epoch milliseconds; it is precise to a second."""
    seconds = date_seconds(socket.response.headers) if socket.response else None
    if seconds is None or not _MIN_DATE_SECONDS <= seconds <= _MAX_DATE_SECONDS:
        return None
    return int(seconds * 1000) + 500  # the middle of the second that it names


class Backoff:
    """Full-jitter exponential backoff: a random fraction of a delay that doubles up to a cap."""

    def __init__(
        self, first_seconds: float = 0.5, cap_seconds: float = 60.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first_seconds, self._cap_seconds, self._jitter = first_seconds, cap_seconds, jitter
        self._attempts = 0

    def next_seconds(self) -> float:
        """Return how long to wait before the next try."""
        ceiling = min(self._cap_seconds, self._first_seconds * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return ceiling * self._jitter()

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._attempts = 0
