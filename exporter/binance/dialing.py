"""How a socket is opened, what its end means, and how long to wait before the next one."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import random
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
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
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import parse_uri

from exporter.binance.errors import Loss, scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.datastructures import Headers

_LARGEST_FRAME_BYTES: Final = 8 * 2**20
_PING_SECONDS: Final = 20
_OPEN_TIMEOUT_SECONDS: Final = 10
_NEXT_ADDRESS_SECONDS: Final = 0.25  # happy eyeballs (RFC 8305): the next address of a name is tried in parallel
_LONGEST_RETRY_AFTER_SECONDS: Final = 1e9  # far beyond any ban; with the date of one it must stay a valid date
_LONGEST_DATE: Final = 64
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

    loss: Loss
    words: str
    status: int | None = None
    retry_after_seconds: float | None = None


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

    def create(*args: Any, **options: Any) -> ClientConnection:
        nonlocal reached
        reached = True  # called once TCP is connected, before TLS
        return ClientConnection(*args, **options)

    try:
        return await _Dial(
            endpoint.url,
            proxy=await _proxy_url(endpoint),
            happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,  # passed to loop.create_connection, for an HTTP proxy as well
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
    except TimeoutError:
        if reached:
            raise
        raise TimeoutError(errno.ETIMEDOUT, "no TCP connection") from None


async def _proxy_url(endpoint: Endpoint) -> str | None:
    """Return the URL of the proxy to dial through, None for none; of a SOCKS proxy by an address that answers."""
    proxy = endpoint.proxy
    if proxy is None:
        proxy = get_proxy(parse_uri(endpoint.url))
    if proxy is None or proxy == "none":
        return None
    parsed = parse_proxy(proxy)
    if not parsed.scheme.startswith("socks"):
        return proxy
    # python-socks tries only the first address of a name and takes no socket: find one that answers before.
    async with asyncio.timeout(_OPEN_TIMEOUT_SECONDS):
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, parsed.host, parsed.port, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS
        )
    host, port = transport.get_extra_info("peername")[:2]
    transport.abort()
    user, at, _ = urlsplit(proxy).netloc.rpartition("@")
    return f"{parsed.scheme}://{user}{at}{f'[{host}]' if ':' in host else host}:{port}"


def explain_refusal(error: Exception) -> Refusal:
    """Say why opening a socket failed."""
    match error:
        case InvalidStatus():
            status = error.response.status_code
            words = f"the handshake was answered with HTTP {status}"
            return Refusal(Loss.REJECTED, words, status, _retry_after_seconds(error.response.headers))
        case ssl.SSLCertVerificationError():
            return Refusal(Loss.TLS, f"the certificate is not trusted: {scrub(error.verify_message)}")
        case ssl.SSLError():
            return Refusal(Loss.TLS, f"no TLS connection: {scrub(error.reason or str(error))}")
        case socket.gaierror() | UnicodeError():
            why = getattr(error, "strerror", "it is not a valid name")
            return Refusal(Loss.DNS, f"the host name cannot be resolved: {why}")
        case TimeoutError():
            loss, what = (Loss.UNREACHABLE, "TCP connection") if error.errno else (Loss.SILENT, "connection")
            return Refusal(loss, f"no {what} within {_OPEN_TIMEOUT_SECONDS} s")
        case ConnectionRefusedError():
            return Refusal(Loss.UNREACHABLE, "the connection was refused")
        case ConnectionError() | EOFError() | InvalidMessage():
            return Refusal(Loss.RESET, "the connection ended during the handshake")
        case OSError():
            return Refusal(Loss.UNREACHABLE, scrub(error.strerror or str(error) or type(error).__name__))
        case InvalidProxy() | InvalidURI():
            # Their texts hold the whole URL, which may hold a password.
            return Refusal(Loss.UNREACHABLE, f"an address cannot be used: {scrub(error.msg)}")
        case _:
            # A status of the proxy's says that the exchange was not reached, as a SOCKS proxy's refusal does.
            answered = isinstance(error, InvalidHandshake) and not isinstance(error, ProxyError)
            words = scrub(f"{type(error).__name__}: {error}")
            return Refusal(Loss.REJECTED if answered else Loss.UNREACHABLE, words)


def advise_on(refusal: Refusal) -> str:
    """Return what an operator can do about a failed dial; empty where there is nothing special to say."""
    match refusal:
        case Refusal(status=403 | 451):
            return "the exchange refuses this IP or region: leave by an IP, or a proxy, that it takes"
        case Refusal(status=404):
            return "check the endpoint's URL: there is no WebSocket API at its path"
        case Refusal(status=int(status)) if status >= 500:
            return "the exchange reports trouble of its own: try again later"
        case Refusal(loss=Loss.DNS):
            return "check the endpoint's host name, and this host's network and name servers"
        case Refusal(loss=Loss.TLS):
            return "check this host's clock and certificates, and whether a proxy on the way opens TLS"
        case _:
            return ""


def name_environment_proxy(endpoint: Endpoint) -> str:
    """Return words that name the environment's proxy which a dial goes through, empty where there is none."""
    proxy = get_proxy(parse_uri(endpoint.url)) if endpoint.proxy is None else None
    return f" (through the environment's proxy {urlsplit(proxy).netloc.rpartition('@')[2]})" if proxy else ""


def explain_loss(closed: ConnectionClosed) -> tuple[Loss, str]:
    """Say why an open socket ended."""
    if is_oversized(closed):
        return Loss.CLOSED, f"a frame of more than {_LARGEST_FRAME_BYTES} bytes came"
    if closed.sent is not None and (closed.rcvd is None or not closed.rcvd_then_sent):
        if closed.sent.code == 1011:
            return Loss.SILENT, f"no pong within {_PING_SECONDS} s"
        return Loss.CLOSED, f"closed here with code {closed.sent.code}"
    if closed.rcvd is not None:
        return Loss.CLOSED, scrub(f"closed by the exchange with code {closed.rcvd.code} {closed.rcvd.reason}")
    return Loss.RESET, "the connection broke off"


def is_oversized(closed: ConnectionClosed) -> bool:
    """Whether the socket was closed here for a frame that was too large, not by an exchange that says so of ours."""
    return closed.sent is not None and closed.sent.code == 1009 and not closed.rcvd_then_sent


def handshake_date_ms(socket: ClientConnection) -> int | None:
    """Return the `Date` of the handshake's answer in epoch milliseconds; its precision is a second."""
    seconds = _http_date(_header(socket.response.headers, "Date")) if socket.response else None
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


def _retry_after_seconds(headers: Headers) -> float | None:
    """Return the seconds of a Retry-After, sent as a number or as a date; None where it is neither."""
    retry_after = _header(headers, "Retry-After")
    try:
        seconds = float(retry_after)
    except ValueError:
        until, date = _http_date(retry_after), _http_date(_header(headers, "Date"))
        if until is None:
            return None
        seconds = until - (time.time() if date is None else date)
    return None if math.isnan(seconds) else max(0.0, min(seconds, _LONGEST_RETRY_AFTER_SECONDS))


def _http_date(text: str) -> float | None:
    """Return a header's date in epoch seconds."""
    try:
        date = parsedate_to_datetime(text[:_LONGEST_DATE])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()  # HTTP's dates are in GMT
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _header(headers: Headers, name: str) -> str:
    # get() raises when a header comes twice.
    return next(iter(headers.get_all(name)), "")
