"""Local endpoints, and the results of connecting to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidHandshake

from exporter.binance.dialing import Endpoint, ProxyFailure, open_socket
from exporter.binance.disconnects import DialFailure, explain_dial_failure
from exporter.binance.proxies import UnusableProxy
from support.proxies import listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Behaviour = Callable[[ServerConnection], Awaitable[None]]

PATH = "/ws-fapi/v1"


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """Serve a fixed answer to every HTTP request."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with listen(answer_once) as port:
        yield port


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[tuple[str, int]]]) -> None:
    """Make the running loop resolve names to addresses and ports, in this order; a name without any is unknown."""
    loop = asyncio.get_running_loop()
    resolve_others = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        if host not in names:
            return await resolve_others(host, port, **options)
        if not names[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in names[host]]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


@contextlib.asynccontextmanager
async def exchange(behaviour: Behaviour | None = None, **options: Any) -> AsyncIterator[int]:
    """Serve WebSockets; by default every message is echoed."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(behaviour or echo, "127.0.0.1", 0, close_timeout=0.1, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def at(port: int, scheme: str = "ws", host: str = "127.0.0.1", proxy: str | None = "none") -> Endpoint:
    """Return the endpoint on a local port."""
    return Endpoint("test", f"{scheme}://{host}:{port}{PATH}", proxy)


async def refusal_of(endpoint: Endpoint) -> DialFailure:
    """Return why a connection could not be opened."""
    with pytest.raises((OSError, InvalidHandshake, UnicodeError, ProxyFailure, UnusableProxy)) as caught:
        await open_socket(endpoint)
    return explain_dial_failure(caught.value)


async def first_answer(endpoint: Endpoint) -> str | bytes:
    """Open a connection, send a message and return the answer."""
    async with await open_socket(endpoint) as connection:
        await connection.send("币安")
        return await connection.recv()


@contextlib.contextmanager
def dropping_packets(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, int]]:
    """Return an address of this machine at which the kernel drops further SYNs, since its backlog is full."""
    with socket.socket() as full, contextlib.ExitStack() as clients:
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):  # the backlog is full after the first or second
            client = clients.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(full.getsockname())
        yield full.getsockname()
