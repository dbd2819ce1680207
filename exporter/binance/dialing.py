"""How a socket is opened, what its end means, and how long to wait before the next one."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from exporter.binance.errors import DisconnectReason, scrub
from exporter.binance.hosts import is_address, join_host_and_port
from exporter.binance.http_headers import date_seconds, retry_after_seconds
from exporter.binance.proxies import (
    Proxy,
    UnusableProxy,
    explain_proxy_error,
    find_proxy,
)

if TYPE_CHECKING:
    from collections.abc import Callable


_LARGEST_FRAME_BYTES: Final = 8 * 2**20
_PING_SECONDS: Final = 20
_OPEN_TIMEOUT_SECONDS: Final = 10
_NEXT_ADDRESS_SECONDS: Final = 0.25  # happy eyeballs (RFC 8305): the next address of a name is tried in parallel
_EARLIEST_SECONDS, _LATEST_SECONDS = 1e9, 1e11  # an exchange of 1970 does not know the time
_CLOSE_TIMEOUT_SECONDS: Final = 1  # a peer that does not answer a close must not hold up the shutdown

# At debug level websockets logs the handshake's headers and every frame, API keys and signatures included. All that
# it has to tell of failures reaches us as exceptions.
_silent = logging.getLogger("exporter.websockets")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
_silent.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go: accounts with equal endpoints share one connection and one weight budget."""

    # The `endpoint` label: mainnet, testnet or host:port, with " via host:port" when proxied. It may tell the order of
    # endpoints, and does not make one another.
    label: str = field(compare=False)
    url: str  # ws:// or wss://
    proxy: str | None = None  # http:// or socks5:// URL; None: what the environment says; "none": no proxy

    def __repr__(self) -> str:
        return f"Endpoint({self.label})"  # a proxy's URL may hold a password

    def __reduce__(self) -> NoReturn:
        raise TypeError("an endpoint may hold a proxy's password and is never pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A connection's delays in seconds; tests shorten them."""

    reconnect_grace: float = 2.0  # a poll waits this long for a connection that is just being redialled
    # Replaced when this old, at random between the two: the exchange ends a connection after 24 hours.
    rotate_between: tuple[float, float] = (22.5 * 3600, 23.5 * 3600)
    clock_interval: float = 600.0
    clock_timeout: float = 10.0
    answer_grace: float = 1.0  # the first polls wait this long for the exchange's time where a ping was answered
    silence: float = 60.0  # nothing arrived for this long despite requests: the link is dead
    stable_after: float = 60.0  # a connection that lived this long resets the backoff
    forbidden: float = 180.0  # between dials that HTTP 403 or 451 refuses: time does not mend these soon
    backoff_first: float = 0.5
    backoff_cap: float = 60.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a dial failed, in words that may be logged; `status` and `retry_after_seconds` as in HTTP."""

    reason: DisconnectReason
    words: str
    status: int | None = None
    retry_after_seconds: float | None = None
    advice: str = ""  # where the cause has its own


class ProxyFailure(Exception):
    """The dial ended before the proxy had connected to the exchange; the cause says why."""


class _Dial(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        # Following a redirect would send signed requests to a host that nobody configured.
        return exc


async def open_socket(endpoint: Endpoint) -> ClientConnection:
    """Open a WebSocket to the endpoint; certificate and host name of wss:// are checked against the system's store.

    Raises:
        Exception: any that :func:`explain_refusal` explains.
    """
    reached = False
    proxy, proxy_url = find_proxy(endpoint.url, endpoint.proxy), None

    def create(*args: Any, **options: Any) -> ClientConnection:
        nonlocal reached
        reached = True  # called once TCP is connected, before TLS
        return ClientConnection(*args, **options)

    try:
        proxy_url = await _reachable_url(proxy) if proxy else None
        return await _Dial(
            endpoint.url,
            proxy=proxy_url,
            # Passed to loop.create_connection, for an HTTP proxy as well.
            happy_eyeballs_delay=_seconds_between_addresses(proxy.host if proxy else urlsplit(endpoint.url).hostname),
            # Measured to double the CPU of a poll; and websockets#1060 tells of a Binance that sends no data with it.
            compression=None,
            logger=_silent,
            max_size=_LARGEST_FRAME_BYTES,
            open_timeout=_OPEN_TIMEOUT_SECONDS,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
            close_timeout=_CLOSE_TIMEOUT_SECONDS,
            create_connection=cast("type[ClientConnection]", create),  # documented to take a wrapper, too
        )
    except (OSError, UnicodeError) as error:
        # With socks5:// the endpoint's name is resolved here, once the proxy was reached.
        of_endpoint = isinstance(error, socket.gaierror | UnicodeError) and proxy_url and proxy_url.startswith("socks")
        if proxy and not reached and not of_endpoint:
            raise ProxyFailure from error
        if isinstance(error, TimeoutError) and not reached:
            raise TimeoutError(errno.ETIMEDOUT, "no TCP connection") from None
        raise


def _seconds_between_addresses(host: str | None) -> float | None:
    """Return the delay of happy eyeballs; None for an address, where asyncio's race could only leave a socket open."""
    return None if is_address(host or "") else _NEXT_ADDRESS_SECONDS


async def _reachable_url(proxy: Proxy) -> str:
    """Return a proxy's URL, of a SOCKS proxy with the address that answers first."""
    if not proxy.scheme.startswith("socks"):
        return proxy.url
    # python-socks tries a single address of a name and takes no socket.
    async with asyncio.timeout(_OPEN_TIMEOUT_SECONDS):
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, proxy.host, proxy.port, happy_eyeballs_delay=_seconds_between_addresses(proxy.host)
        )
    host, port = transport.get_extra_info("peername")[:2]
    transport.abort()
    return proxy.url.removesuffix(proxy.place) + join_host_and_port(host, port)


def explain_refusal(error: Exception) -> Refusal:
    """Say why opening a socket failed."""
    match error:
        case InvalidStatus():
            status = error.response.status_code
            words = f"the handshake was answered with HTTP {status}"
            return Refusal(DisconnectReason.REJECTED, words, status, retry_after_seconds(error.response.headers))
        case OSError() | UnicodeError() | EOFError() | InvalidMessage():
            return _explain_network_error(error)
        case ProxyFailure(__cause__=Exception() as cause):
            refusal = explain_refusal(cause)
            at_proxy = (
                refusal.reason
                if refusal.reason in {DisconnectReason.DNS, DisconnectReason.TLS}
                else DisconnectReason.UNREACHABLE
            )
            advice = "check the proxy's scheme, host and port, and whether it runs and this host can reach it"
            return Refusal(at_proxy, f"failed at the proxy: {refusal.words}", advice=advice)
        case ProxyError():
            # No status: the proxy's says that the exchange was not reached, not that it wants to be left alone.
            words, advice = explain_proxy_error(error)
            return Refusal(DisconnectReason.UNREACHABLE, words, advice=advice)
        case UnusableProxy():
            return Refusal(DisconnectReason.UNREACHABLE, str(error), advice="correct the proxy's URL")
        case InvalidProxy() | InvalidURI():
            # Their texts hold the whole URL, which may hold a password.
            return Refusal(DisconnectReason.UNREACHABLE, f"an address cannot be used: {scrub(error.msg)}")
        case _:
            reason = DisconnectReason.REJECTED if isinstance(error, InvalidHandshake) else DisconnectReason.UNREACHABLE
            return Refusal(reason, scrub(f"{type(error).__name__}: {error}"))


def _explain_network_error(error: OSError | UnicodeError | EOFError | InvalidMessage) -> Refusal:
    match error:
        case ssl.SSLCertVerificationError():
            return Refusal(DisconnectReason.TLS, f"the certificate is not trusted: {scrub(error.verify_message)}")
        case ssl.SSLError():
            return Refusal(DisconnectReason.TLS, f"no TLS connection: {scrub(error.reason or str(error))}")
        case socket.gaierror() | UnicodeError():
            why = getattr(error, "strerror", "it is not a valid name")
            return Refusal(DisconnectReason.DNS, f"the host name cannot be resolved: {why}")
        case TimeoutError():
            reason, what = (
                (DisconnectReason.UNREACHABLE, "TCP connection")
                if error.errno
                else (DisconnectReason.SILENT, "connection")
            )
            return Refusal(reason, f"no {what} within {_OPEN_TIMEOUT_SECONDS} s")
        case ConnectionRefusedError():
            return Refusal(DisconnectReason.UNREACHABLE, "the connection was refused")
        case ConnectionError() | EOFError() | InvalidMessage():
            return Refusal(DisconnectReason.RESET, "the connection ended during the handshake")
        case _:
            return Refusal(DisconnectReason.UNREACHABLE, scrub(error.strerror or str(error) or type(error).__name__))


def advise_on(refusal: Refusal) -> str:
    """Return what an operator can do about a failed dial; empty where there is nothing special to say."""
    match refusal:
        case Refusal(advice=advice) if advice:
            return advice
        case Refusal(status=403 | 451):
            return "the exchange refuses this IP or region: leave by an IP, or a proxy, that it takes"
        case Refusal(status=404):
            return "check the endpoint's URL: there is no WebSocket API at its path"
        case Refusal(status=int(status)) if status >= 500:
            return "the exchange reports trouble of its own: try again later"
        case Refusal(reason=DisconnectReason.DNS):
            return (
                "check the endpoint's host name, and this host's network and name servers; "
                "with a socks5h:// proxy instead of socks5:// the proxy resolves the name"
            )
        case Refusal(reason=DisconnectReason.TLS):
            return "check this host's clock and certificates, and whether a proxy on the way opens TLS"
        case _:
            return ""


def name_environment_proxy(endpoint: Endpoint) -> str:
    """Return words that name the environment's proxy which a dial goes through, empty where there is none."""
    try:
        proxy = find_proxy(endpoint.url, endpoint.proxy)
    except UnusableProxy:
        return ""  # its own words name the variable
    if not proxy or not proxy.variable:
        return ""
    return f" (through the environment's proxy {proxy.place}, of {proxy.variable})"


def explain_loss(closed: ConnectionClosed) -> tuple[DisconnectReason, str]:
    """Say why an open socket ended."""
    if is_oversized(closed):
        return DisconnectReason.CLOSED, f"a frame of more than {_LARGEST_FRAME_BYTES} bytes came"
    if closed.sent is not None and (closed.rcvd is None or not closed.rcvd_then_sent):
        if closed.sent.code == 1011:
            return DisconnectReason.SILENT, f"no pong within {_PING_SECONDS} s"
        return DisconnectReason.CLOSED, f"closed here with code {closed.sent.code}"
    if closed.rcvd is not None:
        return DisconnectReason.CLOSED, scrub(
            f"closed by the exchange with code {closed.rcvd.code} {closed.rcvd.reason}"
        )
    return DisconnectReason.RESET, "the connection broke off"


def is_oversized(closed: ConnectionClosed) -> bool:
    """Whether the socket was closed here for a frame that was too large, not by an exchange that says so of ours."""
    return closed.sent is not None and closed.sent.code == 1009 and not closed.rcvd_then_sent


def handshake_date_ms(socket: ClientConnection) -> int | None:
    """Return the `Date` of the handshake's answer in epoch milliseconds; its precision is a second."""
    seconds = date_seconds(socket.response.headers) if socket.response else None
    if seconds is None or not _EARLIEST_SECONDS <= seconds <= _LATEST_SECONDS:
        return None
    return int(seconds * 1000) + 500  # the middle of the second that it names


class Backoff:
    """Full-jitter exponential backoff: a random part of a delay that doubles up to a cap."""

    def __init__(
        self, first_seconds: float = 0.5, cap_seconds: float = 60.0, part: Callable[[], float] = random.random
    ) -> None:
        self._first, self._cap, self._part = first_seconds, cap_seconds, part
        self._tries = 0

    def next_seconds(self) -> float:
        """Return how long to wait before the next try."""
        ceiling = min(self._cap, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return ceiling * self._part()

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._tries = 0
