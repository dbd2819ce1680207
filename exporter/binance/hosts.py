"""Host names and IP addresses: normalized spelling, loopback, host and port."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from typing import Final

DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


def normalize_host(host: str) -> str:
    """Return `host` in lower case, without brackets and trailing dot; an IP address in its shortest usual form."""
    name, percent, zone = host.strip("[]").partition("%")
    host = f"{name.lower().rstrip('.')}{percent}{zone}"  # an interface name may be upper case
    try:
        address = ip_address(host)
    except ValueError:
        try:
            return socket.inet_ntoa(socket.inet_aton(host))  # 127.1 and 2130706433 are addresses, too
        except (OSError, UnicodeError):
            return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a normalized host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def join_host_and_port(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
