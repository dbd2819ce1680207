"""Proxies: which one a dial uses, and what proxy errors mean. Only a proxy's host and port are ever shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import python_socks
from websockets.exceptions import InvalidProxyStatus, ProxyError

from exporter import redaction
from exporter.binance.hosts import DEFAULT_PORTS, join_host_and_port, normalize_host

# The variables that curl reads, in its order, each in lower case before upper case; an empty one counts as unset.
# HTTP_PROXY, which curl ignores because of CGI scripts, and SOCKS_PROXY are additions.
_VARIABLES: Final = {
    "wss": ("wss_proxy", "https_proxy", "all_proxy", "socks_proxy"),
    "ws": ("ws_proxy", "http_proxy", "all_proxy", "socks_proxy"),
}
_SUGGESTED_VARIABLE: Final = {"wss": "HTTPS_PROXY", "ws": "HTTP_PROXY"}
_SCHEMES: Final = {name: name for name in ("http", "https", "socks4", "socks4a", "socks5", "socks5h")} | {
    "socks": "socks4"
}
# The password may contain any character, including "@": it ends at the last "@", unlike with urlsplit.
_PROXY_PATTERN: Final = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?:(?P<login>.*)@)?"
    r"(?P<host>\[[0-9a-f]*:[0-9a-f:.]+(?:%[\w.-]+)?\]|[\w.-]+)?(?::(?P<port>[0-9]{1,9}))?(?P<rest>[/?#][^@]*)?",
    re.IGNORECASE | re.DOTALL,
)

_CREDENTIALS_ADVICE: Final = (
    "check the user and password in the proxy's URL; special characters must be percent-encoded"
)
_RULES_ADVICE: Final = (
    "the proxy forbids this host or port: allow the endpoint in its rules; if they match host names, "
    "use socks5h://, with which the proxy resolves names, instead of socks5://"
)
_UNREACHABLE_ADVICE: Final = (
    "the proxy cannot reach the exchange: check its network and DNS servers; "
    "with socks5h:// instead of socks5:// the proxy resolves the name"
)
_SCHEME_ADVICE: Final = (
    "check that the scheme (http://, socks5://) and the port in the proxy's URL are those of the proxy"
)
_SOCKS_REPLIES: Final = {
    1: ("general failure", "see the proxy's log; with socks5h:// instead of socks5:// the proxy resolves the name"),
    2: ("connection not allowed by its ruleset", _RULES_ADVICE),
    3: ("network unreachable", _UNREACHABLE_ADVICE),
    4: ("host unreachable", _UNREACHABLE_ADVICE),
    5: ("connection refused by the destination", "check the endpoint's host and port, and the proxy's firewall"),
    6: ("TTL expired", _UNREACHABLE_ADVICE),
    7: ("command not supported", "the proxy does not support CONNECT, which is required: use another proxy"),
    8: ("address type not supported", "use socks5h:// instead of socks5://, or vice versa"),
    # SOCKS4
    91: ("request rejected or failed", _RULES_ADVICE),
    92: ("request rejected: no identd on this host", _CREDENTIALS_ADVICE),
    93: ("request rejected: identd reports another user", _CREDENTIALS_ADVICE),
}
_STATUS_ADVICE: Final = {
    400: _SCHEME_ADVICE,
    401: _CREDENTIALS_ADVICE,
    403: "the proxy forbids this host or port: allow CONNECT to the endpoint in its rules",
    404: _SCHEME_ADVICE,
    405: "the proxy does not allow CONNECT to this port: allow it in its rules",
    407: _CREDENTIALS_ADVICE,
    429: "the proxy's rate limit is reached: wait, or raise it",
    451: "the proxy forbids this host: allow CONNECT to the endpoint in its rules",
    501: "the proxy does not support CONNECT, which is required: use another proxy",
}


class UnusableProxy(Exception):
    """A proxy's URL is wrong; the text says how, without any part of the URL."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to dial through."""

    scheme: str
    host: str
    port: int
    url: str = field(repr=False)  # normalized, with user and password
    has_port: bool = True  # whether its URL contains one
    variable: str = ""  # of the environment; empty: from the configuration

    @property
    def host_and_port(self) -> str:
        """``host:port``, the only part of a proxy that may be shown."""
        return join_host_and_port(self.host, self.port)


def parse_proxy(text: str, variable: str = "", default_scheme: str = "http") -> Proxy:
    """Return the proxy of a URL as curl reads it, and hide its password from now on.

    Raises:
        UnusableProxy: it is not a proxy's URL.
    """
    match = _PROXY_PATTERN.fullmatch(text.strip())
    if not match:
        raise UnusableProxy("must be host:port or a URL without path, such as http://proxy:3128")
    host = normalize_host(match["host"] or "")
    if not host:
        raise UnusableProxy("must be a URL with a host")
    if (match["rest"] or "/") != "/":
        raise UnusableProxy("must not have a path, query or fragment")
    scheme = _SCHEMES.get((match["scheme"] or default_scheme).lower())
    if not scheme:
        raise UnusableProxy("must be a http://, https://, socks4://, socks4a://, socks5:// or socks5h:// URL")
    port = int(match["port"] or (443 if scheme == "https" else 1080))
    if not 0 < port < 2**16:
        raise UnusableProxy("must have a port from 1 to 65535")
    url = f"{scheme}://{_normalize_login(match['login'])}{join_host_and_port(host, port)}"
    return Proxy(scheme, host, port, url, match["port"] is not None, variable)


def environment_proxy(url: str) -> Proxy | None:
    """Return the environment's proxy for a ws:// or wss:// URL, None for a direct connection.

    Raises:
        UnusableProxy: the variable's value cannot be used; the text names the variable.
    """
    scheme = urlsplit(url).scheme
    variable = next((name for base in _VARIABLES[scheme] if (name := _set_variable(base))), None)
    if not variable or _is_excluded(url):
        return None
    try:
        default_scheme = "socks5h" if variable.lower() == "socks_proxy" else "http"
        return parse_proxy(os.environ[variable], variable, default_scheme)
    except UnusableProxy as error:
        raise UnusableProxy(f"{variable} is invalid: {error}") from None


def find_proxy(url: str, configured: str | None) -> Proxy | None:
    """Return the proxy to dial `url` through; `configured` as in the configuration: None, ``none`` or a URL.

    Raises:
        UnusableProxy: the configured one, or the environment's, cannot be used.
    """
    if configured is None:
        return environment_proxy(url)
    return None if configured == "none" else parse_proxy(configured)


def normalize_proxy(url: str, configured: str | None) -> str | None:
    """Return None if `configured`, a URL or ``none``, is the same as the environment's proxy for `url`."""
    try:
        proxy = environment_proxy(url)
    except UnusableProxy:
        return configured
    return None if configured == (proxy.url if proxy else "none") else configured


def environment_warnings(url: str) -> list[str]:
    """Return a warning for each variable that seems to set a proxy for `url` but is not used."""
    if _is_excluded(url):
        return []
    scheme = urlsplit(url).scheme
    try:
        proxy = environment_proxy(url)
    except UnusableProxy as error:
        return [str(error)]
    proxy_variables = {base for bases in _VARIABLES.values() for base in bases}
    present = [name for name, value in sorted(os.environ.items()) if value and name.lower() in proxy_variables]
    if proxy is None:
        problem = f"has no effect on {scheme}:// endpoints, no proxy is used: set {_SUGGESTED_VARIABLE[scheme]}"
        return [f"{name} {problem}" for name in present]
    variable_used = proxy.variable
    return [
        f"{name} is ignored: {variable_used} takes precedence"
        for name in present
        if name.lower() == variable_used.lower() and os.environ[name] != os.environ[variable_used]
    ]


def explain_proxy_error(error: ProxyError) -> tuple[str, str]:
    """Return why a proxy did not connect, without quoting its response, and what an operator can do."""
    cause = error.__cause__
    match error:
        case InvalidProxyStatus():
            status = error.response.status_code
            phrase = f" ({HTTPStatus(status).phrase})" if status in set(HTTPStatus) else ""
            advice = _STATUS_ADVICE.get(status, _UNREACHABLE_ADVICE if status >= 500 else _SCHEME_ADVICE)
            return f"the proxy responded with HTTP status {status}{phrase}", advice
        case _ if isinstance(cause, python_socks.ProxyError):
            return _explain_socks_error(cause)
        case _:
            return "unexpected response from the proxy", _SCHEME_ADVICE


def _explain_socks_error(error: python_socks.ProxyError) -> tuple[str, str]:
    if error.error_code in _SOCKS_REPLIES:
        reply, advice = _SOCKS_REPLIES[error.error_code]
        return f"the SOCKS proxy replied: {reply}", advice
    text = str(error)  # the library distinguishes these only by their text
    if "No acceptable authentication" in text:
        return "the SOCKS proxy accepts none of the offered authentication methods", _CREDENTIALS_ADVICE
    if "authentication failure" in text:
        return "the SOCKS proxy rejected the user or password", _CREDENTIALS_ADVICE
    if "closed" in text:
        return "the SOCKS proxy closed the connection", f"{_CREDENTIALS_ADVICE}; {_SCHEME_ADVICE}"
    return "the proxy's response is not valid SOCKS", _SCHEME_ADVICE


def _normalize_login(login: str | None) -> str:
    if login is None:
        return ""
    user, _, password = login.partition(":")
    for text in (password, unquote(password), login):
        redaction.hide(text)
    try:
        user, password = (unquote(text, errors="strict") for text in (user, password))
        normalized = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    except UnicodeError:
        raise UnusableProxy("user and password must be percent-encoded UTF-8") from None
    if ":" in user:
        raise UnusableProxy("the user must not contain a colon")
    return normalized


def _set_variable(variable: str) -> str | None:
    return next((name for name in (variable, variable.upper()) if os.environ.get(name)), None)


def _is_excluded(url: str) -> bool:
    """Whether NO_PROXY, or no_proxy before it, names the URL's host, as curl reads it; ``host:port`` is an addition."""
    parts = urlsplit(url)
    host, port = normalize_host(parts.hostname or ""), parts.port or DEFAULT_PORTS[parts.scheme]
    excluded = os.environ.get(_set_variable("no_proxy") or "", "")
    entries = re.split(r"[,\s]+", excluded.strip())
    return entries == ["*"] or any(
        _matches_entry(host, candidate) for entry in entries for candidate in (entry, entry.removesuffix(f":{port}"))
    )


def _matches_entry(host: str, entry: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        domain = entry.lower().removeprefix(".").rstrip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    try:
        return address in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return host == normalize_host(entry)
