"""The REST client on a network that fails, with TLS and through proxies."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from typing import TYPE_CHECKING

import pytest
from support.proxies import PROXY_USER, Proxy, listen
from support.rest import Client, client_of, failure
from support.tls_front import TlsFront

from exporter.binance.errors import (
    ConnectionLost,
    NoResponse,
    NotConnected,
)
from exporter.rest.requests import RestPath
from exporter.simulator.toggles import REST

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize("seconds", [11.0, None], ids=["late", "never"])
async def test_slow_response(exchange: SimulatedExchange, client: Client, seconds: float | None) -> None:
    """A response that does not arrive within 10 seconds is a timeout, after which the next request succeeds."""
    fault = exchange.lose_answers(REST) if seconds is None else exchange.delay_answers(seconds, REST)
    with fault:
        error = await failure(client, NoResponse)

    assert "no response within 10 s" == str(error)
    await client.get(RestPath.ASSET_INDEX, 10)


@pytest.mark.usefixtures("virtual_time")
async def test_response_that_drips() -> None:
    """A response that arrives byte by byte, each in time, is a timeout as a whole."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(1)

    async with listen(handle) as port, client_of(f"http://127.0.0.1:{port}") as client:
        await failure(client, NoResponse)


async def test_cut_response(exchange: SimulatedExchange, client: Client) -> None:
    """A connection that is reset in the middle of a response fails the request; the next one opens another."""
    with exchange.cut_answers(REST):
        await failure(client, ConnectionLost)
    await client.get(RestPath.ASSET_INDEX, 10)


async def test_response_that_is_not_http() -> None:
    """A response that is not HTTP fails the request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    async with listen(handle) as port, client_of(f"http://127.0.0.1:{port}") as client:
        await failure(client, ConnectionLost)


async def test_host_that_cannot_be_reached() -> None:
    """Where nothing listens, the error names the host and port, and no request weight stays in flight."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        async with client_of(f"http://127.0.0.1:{port}") as client:
            error = await failure(client, NotConnected)

    assert str(error).startswith(f"not connected to 127.0.0.1:{port}: ")
    assert not client.budget._in_flight


async def test_tls_is_verified(exchange: SimulatedExchange) -> None:
    """A certificate of another host, an expired one and one of an unknown issuer are refused; a valid one is not."""
    front = TlsFront(exchange.url)
    async with front.listening() as url:
        rest_url = url.partition("/ws-fapi")[0].replace("wss:", "https:")
        for name in ("other", "expired", "unknown"):
            front.choose(name)
            async with client_of(rest_url) as client:
                assert "certificate verify failed" in str(await failure(client, NotConnected)), name
        front.choose("good")
        async with client_of(rest_url) as client:
            await client.get(RestPath.ASSET_INDEX, 10)
            await client.close()

    assert 1 == len(exchange.received)


async def test_http_proxy(exchange: SimulatedExchange) -> None:
    """Requests to a https:// host go through the configured HTTP proxy, and TLS ends at the host."""
    proxy, front = Proxy(), TlsFront(exchange.url)
    async with front.listening() as url, listen(proxy.http) as port:
        rest_url = url.partition("/ws-fapi")[0].replace("wss:", "https:")
        async with client_of(rest_url, f"http://{PROXY_USER}@127.0.0.1:{port}") as client:
            await client.get(RestPath.ASSET_INDEX, 10)

    assert [rest_url.removeprefix("https://127.0.0.1:")] == [str(port) for _, port in proxy.targets]


async def test_proxy_of_the_environment(exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configured proxy the environment's is used, as for the WebSocket API."""
    proxy, front = Proxy(), TlsFront(exchange.url)
    async with front.listening() as url, listen(proxy.http) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{PROXY_USER}@127.0.0.1:{port}")
        async with client_of(url.partition("/ws-fapi")[0].replace("wss:", "https:"), None) as client:
            await client.get(RestPath.ASSET_INDEX, 10)

    assert 1 == len(proxy.targets)


async def test_proxy_that_refuses(exchange: SimulatedExchange) -> None:
    """The error of a proxy that refuses to connect has its status, but neither its password nor a direct request."""
    proxy = Proxy(refusal=b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    async with (
        listen(proxy.http) as port,
        client_of("https://127.0.0.1:1", f"http://{PROXY_USER}@127.0.0.1:{port}") as client,
    ):
        error = await failure(client, NotConnected)

    assert "407" in str(error)
    assert "hunter2" not in str(error)
    assert not exchange.received


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_socks_proxy(exchange: SimulatedExchange, scheme: str) -> None:
    """Requests go through a SOCKS5 proxy with its user and password."""
    proxy = Proxy()
    async with (
        listen(proxy.socks) as port,
        client_of(exchange.rest_url, f"{scheme}://{PROXY_USER}@127.0.0.1:{port}") as client,
    ):
        await client.get(RestPath.ASSET_INDEX, 10)

    assert 1 == len(proxy.targets) == len(exchange.received)


async def test_socks_proxy_that_refuses(exchange: SimulatedExchange) -> None:
    """A SOCKS5 proxy that cannot connect fails the request, and no request is sent without it."""
    async with (
        listen(Proxy(socks_reply=5).socks) as port,
        client_of(exchange.rest_url, f"socks5://{PROXY_USER}@127.0.0.1:{port}") as client,
    ):
        text = str(await failure(client, NotConnected))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # httpcore leaves the connection to the proxy to the garbage collector

    assert "hunter2" not in text
    assert not exchange.received


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
async def test_unsupported_proxy(exchange: SimulatedExchange, scheme: str) -> None:
    """A proxy that REST cannot use is an error that says so, and no request is sent without it."""
    async with client_of(exchange.rest_url, f"{scheme}://{PROXY_USER}@127.0.0.1:1") as client:
        error = await failure(client, NotConnected)

    assert f"{scheme}:// proxies cannot be used for REST: " in str(error)
    assert not exchange.received
