"""The scrape server's time limits, which docs/security.md lists: when a client is disconnected."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from support.builders import close, serving
from support.logs import warnings
from support.slow_clients import read_to_end, slow_socket
from support.tls import TLS, guarded, prepared
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("virtual_time")

SMALL = b"metric 1.0\n"
LARGE = SMALL * 500_000  # more than fits the sockets' buffers, which are up to 4 MiB


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def connected(body: bytes = SMALL) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve a body, and yield a connection; another client must be served afterwards."""
    async with serving(body) as (client, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        yield reader, writer
        await close(writer)
        assert 200 == (await client.get("/-/healthy")).status_code


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /met",
        b"GET /metrics HTTP/1.1\r\nX-Header: 1\r\n",
        b"\r\n\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\n\r\nGET /metr",
    ],
    ids=["nothing", "half a line", "half a head", "empty lines", "half a second request"],
)
async def test_unfinished_request(start: bytes) -> None:
    """A client whose request's head is not complete after 10 seconds is disconnected."""
    async with connected() as (reader, writer):
        if b"healthy" in start:
            whole, start = start[:-9], start[-9:]
            writer.write(whole)
            await reader.readuntil(b"OK\n")
        writer.write(start)
        began = now()
        rest = await read_to_end(reader)
        seconds = now() - began

    assert b"" == rest
    assert 10 == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("idle_seconds", [0, 30])
async def test_slow_request(idle_seconds: float) -> None:
    """A client that sends a head byte by byte is disconnected 10 seconds after its first byte."""

    async def trickle() -> None:
        writer.write(b"GET /metrics HTTP/1.1\r\nX-Header: ")
        while True:
            await asyncio.sleep(1)
            writer.write(b"a")

    async with connected() as (reader, writer):
        if idle_seconds:
            writer.write(b"GET /-/healthy HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"OK\n")
            await asyncio.sleep(idle_seconds)
        began = now()
        trickling = asyncio.create_task(trickle())
        rest = await read_to_end(reader)
        seconds = now() - began
        trickling.cancel()

    assert b"" == rest
    assert 10 == pytest.approx(seconds, abs=1)


async def test_unfinished_handshake(tmp_path: Path) -> None:
    """Clients whose TLS handshakes are not complete after 10 seconds are disconnected."""

    async def end_of(start: bytes) -> tuple[bytes, float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        began = now()
        writer.write(start)
        rest = await read_to_end(reader)
        await close(writer)
        return rest, now() - began

    async with guarded(prepared(tmp_path), f"{TLS}}}") as (url, _):
        ends = await asyncio.gather(end_of(b""), end_of(b"\x16\x03\x01\x02\x00\x01\x00\x01"))

    assert [b"", b""] == [rest for rest, _ in ends]
    assert [10, 10] == pytest.approx([seconds for _, seconds in ends], abs=1)


async def test_slow_reader(caplog: pytest.LogCaptureFixture) -> None:
    """A client that has not read a whole response after 60 seconds is disconnected, without a warning in the log."""
    received = 0

    async def read_slowly() -> None:
        nonlocal received
        while True:
            received += len(await reader.read(2**12))
            await asyncio.sleep(1)

    async with serving(LARGE) as (client, server):
        sock = await slow_socket(client.base_url.port or 0, 2**16)
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        began = now()
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        await reader.readexactly(100)
        reading = asyncio.create_task(read_slowly())
        await until(lambda: not server._listener._connections)
        seconds = now() - began
        reading.cancel()
        await close(writer)

    assert received < len(LARGE)
    assert 60 == pytest.approx(seconds, abs=1)
    assert [] == warnings(caplog)


async def test_idle_client() -> None:
    """A client that has sent no request for 75 seconds is disconnected."""
    async with connected() as (reader, writer):
        writer.write(b"GET /-/healthy HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"OK\n")
        began = now()
        rest = await read_to_end(reader)
        seconds = now() - began

    assert b"" == rest
    assert 75 == pytest.approx(seconds, abs=1)
