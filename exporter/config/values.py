"""Checks of single configuration values: each returns the value in its final form or raises InvalidValue."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from exporter.account.asset_mode import AssetMode
from exporter.binance.hosts import DEFAULT_PORTS, is_loopback, join_host_and_port, normalize_host
from exporter.binance.proxies import UnusableProxy, find_proxy, parse_proxy
from exporter.config.document import InvalidValue
from exporter.rest.income_turn import Since

if TYPE_CHECKING:
    from collections.abc import Callable, Container

MAINNET: Final = "wss://ws-fapi.binance.com/ws-fapi/v1"
_TESTNET: Final = "wss://testnet.binancefuture.com/ws-fapi/v1"
# The REST API that belongs to each network, and the only one that reports what an API key may do.
REST_URLS: Final = {MAINNET: "https://fapi.binance.com", _TESTNET: "https://demo-fapi.binance.com"}
KEY_CHECK_URL: Final = "https://api.binance.com"
_NETWORK_OF_URL: Final = {MAINNET: "mainnet", _TESTNET: "testnet"}
_NETWORKS: Final = {name: url for url, name in _NETWORK_OF_URL.items()} | {"demo": _TESTNET}
_PROXY_SCHEME: Final = re.compile("(https?|socks5h?)://", re.IGNORECASE)

_REST_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_PATH: Final = 4096
_LONGEST_URL: Final = 2048

_DAY_SECONDS: Final = 86400.0
_UNIT_SECONDS: Final = {
    "y": 365 * _DAY_SECONDS,
    "w": 7 * _DAY_SECONDS,
    "d": _DAY_SECONDS,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 0.001,
}
_DURATION: Final = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in _UNIT_SECONDS))


def parse_duration(text: str) -> float:
    """Return the seconds of a Prometheus duration: ``15s``, ``1m30s``, ``500ms``, ``0``.

    Raises:
        ValueError: `text` is not a duration; the text says how to write one.
    """
    if text == "0":
        return 0.0
    if text.isdecimal():
        raise InvalidValue("must be a duration with a unit, such as 15s, 1m30s or 500ms")
    match = _DURATION.fullmatch(text)
    if not match or not text:
        raise InvalidValue("must be a duration such as 15s, 1m30s or 500ms")
    return sum(
        int(count) * seconds for count, seconds in zip(match.groups(), _UNIT_SECONDS.values(), strict=True) if count
    )


def duration(minimum: str, maximum: str | None = None) -> Callable[[object], float]:
    """Return a check for a duration from `minimum` to `maximum`, which returns seconds."""

    def check(value: object) -> float:
        # YAML turns 15 and 1:30 into numbers.
        is_number = isinstance(value, int) and not isinstance(value, bool)
        seconds = parse_duration(value if isinstance(value, str) else "15" if is_number else "")
        if seconds < parse_duration(minimum):
            raise InvalidValue(f"must be at least {minimum}")
        if maximum is not None and seconds > parse_duration(maximum):
            raise InvalidValue(f"must be at most {maximum}")
        return seconds

    return check


def weight_share(value: object) -> float:
    """Check the part of the IP's request weight that polls may be planned to use."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= 0.9:
        raise InvalidValue("must be a number from 0.01 to 0.9, such as 0.5")
    return float(value)


def account_name(value: object) -> str:
    """Check an account's name, which becomes a label's value."""
    if not isinstance(value, str):
        raise InvalidValue("must be a string; put it in quotes")
    if not 1 <= len(value) <= 100:
        raise InvalidValue("must be 1 to 100 characters long")
    # Lone surrogates cannot be written as UTF-8; the others break a line somewhere.
    if value != value.strip() or any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in value):
        raise InvalidValue("must not start or end with a space, or contain control characters")
    return value


def boolean(value: object) -> bool:
    """Check ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise InvalidValue("must be true or false")
    return value


def asset_mode(value: object) -> AssetMode | None:
    """Check ``auto`` (None), ``single`` or ``multi``."""
    if value == "auto":
        return None
    if not isinstance(value, str) or value not in set(AssetMode):
        raise InvalidValue("must be auto, single or multi")
    return AssetMode(value)


def income_since(value: object) -> Since:
    """Check ``month`` or ``day``."""
    if not isinstance(value, str) or value not in set(Since):
        raise InvalidValue("must be month or day")
    return Since(value)


def file_name(value: object) -> str:
    """Check the path of a file, as written."""
    if not isinstance(value, str) or not value:
        raise InvalidValue("must be a file path")
    if not value.isprintable() or len(value) > _LONGEST_PATH:
        raise InvalidValue("must be a file path, not the content of the file")
    return value


def endpoint_url(value: object) -> str:
    """Check ``mainnet``, ``testnet`` (or its alias ``demo``) or a WebSocket URL, and return the URL in one spelling."""
    allowed = "must be mainnet, testnet or a ws:// or wss:// URL"
    if isinstance(value, str) and value in _NETWORKS:
        return _NETWORKS[value]
    parts = _split(value, DEFAULT_PORTS, allowed)
    if "@" in parts.netloc:
        raise InvalidValue("must not contain a user or password")
    if "#" in str(value):
        raise InvalidValue("must not contain a fragment (#…)")
    host = normalize_host(parts.hostname or "")
    if not host:
        raise InvalidValue("must be a URL with a host")
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    is_default = port == DEFAULT_PORTS[parts.scheme]
    netloc = join_host_and_port(host, port).removesuffix(f":{port}" if is_default else "")
    return parts._replace(netloc=netloc, path=parts.path or "/").geturl()


def rest_url(value: object) -> str | None:
    """Check null (None: that of the network) or the http:// or https:// URL of a REST API, without a path."""
    if value is None:
        return None
    allowed = "must be null or a http:// or https:// URL without a path"
    parts = _split(value, _REST_PORTS, allowed)
    host = normalize_host(parts.hostname or "")
    if not host or "@" in parts.netloc or parts.path.strip("/") or parts.query or "#" in str(value):
        raise InvalidValue(allowed)
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidValue("must be a https:// URL: http:// sends API keys unencrypted")
    port = parts.port or _REST_PORTS[parts.scheme]
    is_default = port == _REST_PORTS[parts.scheme]
    return f"{parts.scheme}://{join_host_and_port(host, port).removesuffix(f':{port}' if is_default else '')}"


def proxy_url(value: object) -> str | None:
    """Check null (None: from the environment), ``none`` or a proxy's URL; hide the password in it."""
    if value is None or value == "none":
        return value
    if not isinstance(value, str) or not _PROXY_SCHEME.match(value):
        raise InvalidValue("must be null, none or a http://, https://, socks5:// or socks5h:// URL")
    if len(value) > _LONGEST_URL:
        raise InvalidValue(f"must be a URL of at most {_LONGEST_URL} characters")
    # Some hosts beyond ASCII cannot be dialled.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidValue("must be a URL of printable ASCII characters without spaces")
    try:
        proxy = parse_proxy(value)
    except UnusableProxy as error:
        raise InvalidValue(str(error)) from None
    if not proxy.has_port:
        raise InvalidValue("must include the port, such as http://proxy:3128")
    if ":@" in proxy.url:
        raise InvalidValue("must contain a password if it contains a user")
    return proxy.url


def endpoint_label(url: str, proxy: str | None) -> str:
    """Return the `endpoint` label of checked URLs, without user, password, path and query."""
    label = _NETWORK_OF_URL.get(url) or _host_and_port(url)
    return label if proxy is None or proxy == "none" else f"{label} via {parse_proxy(proxy).host_and_port}"


def weight_key(url: str, proxy: str | None) -> tuple[str, ...]:
    """Return a value that is equal for checked URLs that reach the same exchange, as far as known, from the same IP."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Other ports of a host are the same exchange, but ports of this machine are tunnels or simulators.
    exchange = ("localhost", str(parts.port)) if is_loopback(host) else (host,)
    try:
        used_proxy = find_proxy(url, proxy)
    except UnusableProxy:
        return (*exchange, "unusable")
    if not used_proxy:
        return (*exchange, "")
    return (*exchange, "localhost" if is_loopback(used_proxy.host) else used_proxy.host, str(used_proxy.port))


def is_unencrypted(url: str) -> bool:
    """Return whether requests to a checked `url` leave this machine unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "ws" and not is_loopback(parts.hostname or "")


def _split(value: object, schemes: Container[str], allowed: str) -> SplitResult:
    if not isinstance(value, str):
        raise InvalidValue(allowed)
    if len(value) > _LONGEST_URL:
        raise InvalidValue(f"must be a URL of at most {_LONGEST_URL} characters")
    # urlsplit drops tabs and newlines silently, and websockets chokes on some hosts beyond ASCII.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidValue("must be a URL of printable ASCII characters without spaces")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise InvalidValue("must be a URL with a valid host and port") from None
    if parts.scheme not in schemes:
        raise InvalidValue(allowed)
    if not parts.hostname:
        raise InvalidValue("must be a URL with a host")
    return parts


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    return join_host_and_port(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
