"""Addresses to listen on, and the errors of listening on them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.binance.hosts import join_host_and_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BACKLOG: Final = 1024


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and port; an empty host means all addresses, both IPv6 and IPv4."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read ``host:port``, ``[IPv6]:port`` or ``:port``.

        Raises:
            ValueError: `text` is none of these; the error says what is expected.
        """
        match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]*)):(\d{1,5})", text)
        if not match or int(match[3]) > 65535:
            raise ValueError(f"{text!r} is not a valid address: expected host:port, [IPv6]:port or :port")
        return cls(match[1] or match[2], int(match[3]))

    def bind(self) -> list[socket.socket]:
        """Return sockets that listen on this address.

        Raises:
            ListenError: the address is in use, unknown or not allowed.
        """
        with explain_listen_errors(self, "--web.listen-address"):
            if self.host:
                return _bind_all(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
            if socket.has_dualstack_ipv6():
                everywhere = ("::", self.port)
                return [socket.create_server(everywhere, family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)]
            return [socket.create_server(("", self.port), backlog=_BACKLOG)]

    def __str__(self) -> str:
        return join_host_and_port(self.host, self.port)


@contextlib.contextmanager
def explain_listen_errors(address: ListenAddress, flag: str) -> Iterator[None]:
    """Turn the errors of a block that listens on `address`, which `flag` sets, into ListenError.

    Raises:
        ListenError: the block raised OSError or UnicodeError.
    """
    try:
        yield
    except UnicodeError as error:
        raise ListenError(f"cannot listen on {address}: {address.host!r} is not a valid host name") from error
    except OSError as error:
        # Python adds the address to strerror. Name resolution has negative numbers, which os.strerror does not know.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ListenError(f"cannot listen on {address}: {reason}; set another address with {flag}") from error


def _bind_all(resolved: Iterable[tuple[Any, ...]]) -> list[socket.socket]:
    """Listen on every address of a name, except those that this machine does not have."""
    listening: list[socket.socket] = []
    unavailable: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(resolved):
        try:
            listening.append(socket.create_server(address, family=family, backlog=_BACKLOG))
        except OSError as error:
            # A container's localhost is also ::1, even where there is no IPv6.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                for bound in listening:
                    bound.close()
                raise
            unavailable = error
    if unavailable is not None and not listening:
        raise unavailable
    return listening
