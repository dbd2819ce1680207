"""The scrape server's addresses, and the errors if it cannot listen."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest
from support.builders import LOCAL, serving
from support.ports import closed_port

from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.listen_address import ListenAddress, ListenError
from exporter.web.server import WebServer

SMALL = b"metric 1.0\n"


async def test_listens_on_ipv6() -> None:
    """An IPv6 address is served, and its URL has brackets."""
    async with serving(SMALL, addresses=[ListenAddress("::1", 0)]) as (client, _):
        response = await client.get("/metrics")

    assert client.base_url.host == "::1"
    assert SMALL == response.content


async def test_empty_host_is_both_families() -> None:
    """Without a host, one socket takes IPv4 and IPv6."""
    async with serving(SMALL, addresses=[ListenAddress("", 0)]) as (client, _):
        port = client.base_url.port
        bodies = [(await client.get(f"http://{host}:{port}/metrics")).content for host in ("127.0.0.1", "[::1]")]

    assert [SMALL, SMALL] == bodies


async def test_empty_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without IPv6, an empty host is all of IPv4."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    async with serving(SMALL, addresses=[ListenAddress("", 0)]) as (client, _):
        response = await client.get("/metrics")

    assert client.base_url.host == "0.0.0.0"  # noqa: S104 - this is tested
    assert SMALL == response.content


async def test_listens_on_several_addresses() -> None:
    """Each address is served."""
    with closed_port() as port:
        other = ListenAddress("127.0.0.2", port)
        async with serving(SMALL, addresses=[LOCAL, other]) as (client, _):
            bodies = [(await client.get(f"{url}/metrics")).content for url in (client.base_url, f"http://{other}")]

    assert [SMALL, SMALL] == bodies


def resolve_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Make every name resolve to these addresses, in this order."""
    resolve = socket.getaddrinfo

    def resolved(_host: str, port: int, **options: Any) -> list[Any]:
        return [address for host in hosts for address in resolve(host, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


async def test_name_of_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address of a name is served, except those that are not this machine's."""
    with monkeypatch.context() as patch:
        resolve_to(patch, "203.0.113.1", "::1", "127.0.0.1", "127.0.0.1")
        bound = ListenAddress("exporter.example", 0).bind()
    addresses = {listening.getsockname()[0] for listening in bound}
    for listening in bound:
        listening.close()

    assert {"::1", "127.0.0.1"} == addresses
    assert 2 == len(bound)


def test_name_with_an_address_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one address of a name is in use, the others are released."""
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")
        with pytest.raises(ListenError, match=rf"^cannot listen on exporter\.example:{port}: Address already in use"):
            ListenAddress("exporter.example", port).bind()

    with closing(socket.create_server(("127.0.0.2", port))) as again:
        assert again.getsockname() == ("127.0.0.2", port)


def test_name_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose addresses are all another machine's cannot be listened on."""
    resolve_to(monkeypatch, "203.0.113.1", "198.51.100.1")
    with pytest.raises(ListenError, match=r"^cannot listen on exporter\.example:9: Cannot assign requested address"):
        ListenAddress("exporter.example", 9).bind()


def test_port_in_use() -> None:
    """An address in use is an error that names it, and the addresses before it are released."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        used = ListenAddress("127.0.0.1", listening.getsockname()[1])
        free = ListenAddress("127.0.0.2", used.port)
        server = WebServer([free, used], "/metrics", lambda: ChunkedBody([]), OpenMetricsExposition(list), int, str)
        with pytest.raises(ListenError, match=rf"^cannot listen on {used}: Address already in use"):
            server.bind()

    with closing(socket.create_server((free.host, free.port))) as again:
        assert again.getsockname() == (free.host, free.port)


def test_impossible_host_name() -> None:
    """An invalid host name is an error that names it."""
    with pytest.raises(ListenError, match=r"^cannot listen on a\.\.b:80: 'a\.\.b' is not a valid host name"):
        ListenAddress("a..b", 80).bind()


def test_foreign_address() -> None:
    """An address of another machine is an error that names it."""
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:9: "):
        ListenAddress("192.0.2.1", 9).bind()


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("127.0.0.1:10427", "127.0.0.1", 10427, "127.0.0.1:10427"),
        ("localhost:0", "localhost", 0, "localhost:0"),
        ("[::1]:80", "::1", 80, "[::1]:80"),
        ("[::]:65535", "::", 65535, "[::]:65535"),
        (":10427", "", 10427, ":10427"),
    ],
)
def test_addresses(text: str, host: str, port: int, shown: str) -> None:
    """An address is a host and a port, an IPv6 host in brackets, or a port alone."""
    address = ListenAddress.parse(text)

    assert ListenAddress(host, port) == address
    assert shown == str(address)


@pytest.mark.parametrize(
    "text",
    [
        *("", "localhost", "10427", "localhost:", "localhost:x", "localhost:-1", "localhost:65536"),
        *("::1:80", "::1", "[::1:80", "::1]:80", "[]:80", "localhost:" + "9" * 5000),
    ],
)
def test_bad_addresses(text: str) -> None:
    """An invalid address is rejected with an error that quotes it and shows the expected form."""
    with pytest.raises(ValueError, match=r"expected host:port, \[IPv6\]:port or :port$") as caught:
        ListenAddress.parse(text)

    assert repr(text) in str(caught.value)
