"""Slow, greedy and hostile clients: how they are answered or disconnected, while others are served."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import close, serving
from support.logs import warnings
from support.slow_clients import read_to_end, slow_socket
from support.waiting import DEADLINE_SECONDS, until

from exporter.web.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.web.protocol import ClientConnection
    from exporter.web.server import WebServer

SMALL = b"metric 1.0\n"
LARGE = b"".join(b"metric_%d %d\n" % (i, zlib.crc32(b"%d" % i)) for i in range(100_000)) * 4


def connections_of(server: WebServer) -> tuple[ClientConnection, ...]:
    """Return the open connections."""
    return tuple(server._listener._connections)


async def answer_to(port: int, *pieces: bytes) -> bytes:
    """Send bytes, and return all that is received until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    received = await read_to_end(reader)
    await close(writer)
    return received


@contextlib.asynccontextmanager
async def served(body: bytes = SMALL, **limits: Any) -> AsyncIterator[int]:
    """Serve with limits, and yield the port; another client must be served afterwards."""
    async with serving(body, limits=Limits(**limits)) as (client, _):
        assert client.base_url.port is not None
        yield client.base_url.port
        assert 200 == (await client.get("/-/healthy")).status_code


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\nX-Large: " + b"a" * 5_000_000,
        b"GET /" + b"a" * 5_000_000,
        b"GET /metrics HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 500_000 + b"\r\n",
    ],
    ids=["header", "path", "headers"],
)
async def test_huge_head_is_rejected(head: bytes) -> None:
    """A head of 5 MB is rejected or disconnected before it is complete."""
    async with served() as port:
        answer = await answer_to(port, *(head[start : start + 65536] for start in range(0, len(head), 65536)))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\nX-Large: " + b"a" * 24_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
    ],
    ids=["large", "many"],
)
async def test_head_beyond_the_limit_is_answered(head: bytes) -> None:
    """A head that is slightly too large, or has too many headers, is answered with 431, and the connection closed."""
    async with served() as port:
        answer = await answer_to(port, head)

    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in answer


async def test_head_within_the_limit_is_served() -> None:
    """A hundred headers with nearly 16 KiB in total are accepted."""
    head = b"GET /metrics HTTP/1.1\r\nConnection: close\r\n" + (b"X: " + b"a" * 155 + b"\r\n") * 99 + b"\r\n"
    async with served() as port:
        answer = await answer_to(port, head)

    assert len(head) < 16 * 1024
    assert answer.endswith(SMALL)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n", b"405"),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"405"),
        (b"POST /metrics HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 50000000\r\n\r\n", b"405"),
    ],
    ids=["large", "large of GET", "chunked", "announced"],
)
async def test_body_is_not_waited_for(head: bytes, status: bytes) -> None:
    """A request with a body is answered before the body has arrived, and its connection is closed."""
    async with served() as port:
        answer = await answer_to(port, head)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nconnection: close\r\n" in answer


async def test_body_without_an_end_is_not_read() -> None:
    """A client that sends an endless body is disconnected."""
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with asyncio.timeout(DEADLINE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
                    await writer.drain()
        await close(writer)


async def test_small_body_keeps_the_connection() -> None:
    """A connection stays open after a body that arrived with its head."""
    async with serving(SMALL) as (client, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST /-/healthy HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
        await reader.readuntil(b"Method Not Allowed")
        writer.write(b"GET /-/healthy HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"OK\n")
        await close(writer)


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Pipelined requests are answered in their order."""
    async with served() as port:
        end = b"GET /-/ready HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = await answer_to(port, b"GET /-/healthy HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n" + end)

    assert [b"OK\n", SMALL, b"OK\n"] == re.findall(rb"\r\n\r\n(.*\n)", answer)


async def test_too_many_pipelined_requests() -> None:
    """Thousands of pipelined requests whose answers are not read are disconnected."""
    async with served(LARGE) as port:
        reader, writer = await asyncio.open_connection(sock=await slow_socket(port), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n" * 10_000)
        received = await read_to_end(reader)
        await close(writer)

    assert len(received) < len(LARGE)


async def test_request_before_an_invalid_one_is_answered() -> None:
    """A request before an invalid one is answered; then the connection is closed."""
    async with served() as port:
        answer = await answer_to(port, b"GET /-/healthy HTTP/1.1\r\n\r\n\x00\x01nonsense\r\n\r\n")

    assert answer.endswith(b"\r\n\r\nOK\n")


@pytest.mark.parametrize(
    "headers",
    [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    ],
)
async def test_upgrade_is_ignored(headers: str, caplog: pytest.LogCaptureFixture) -> None:
    """A request to upgrade is answered over HTTP/1.1, without a warning in the log."""
    async with served() as port:
        answer = await answer_to(port, f"GET /metrics HTTP/1.1\r\n{headers}\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(SMALL)
    assert [] == warnings(caplog)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"BREW /metrics HTTP/1.1", b"400"),
        (b"CONNECT 192.0.2.1:443 HTTP/1.1", b"405"),
        (b"TRACE / HTTP/1.1", b"405"),
        (b"PROPFIND /metrics HTTP/1.1", b"405"),
        (b"OPTIONS * HTTP/1.1", b"404"),
        (b"GET http://elsewhere/metrics HTTP/1.1", b"200"),
        (b"GET http://elsewhere HTTP/1.1", b"400"),
        (b"GET /../../etc/passwd HTTP/1.1", b"404"),
        (b"GET /%00%ff%2e%2e/ HTTP/1.1", b"404"),
        (b"GET /metrics;a=b HTTP/1.1", b"404"),
        (b"GET /\xff HTTP/1.1", b"400"),
        (b"GET metrics HTTP/1.1", b"400"),
        (b"GET /metrics HTTP/3.7", b"400"),
        (b"GET /metrics", b"200"),
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"SSH-2.0-OpenSSH_9.2", b"400"),
    ],
)
async def test_unusual_requests(request_line: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Unusual and invalid requests are answered, without a warning in the log."""
    async with served() as port:
        answer = await answer_to(port, request_line + b"\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert [] == warnings(caplog)


async def test_new_connection_replaces_the_longest_idle() -> None:
    """At the limit of connections the longest idle one is closed, not one that is being answered."""
    async with served(LARGE, connections=3) as port:
        reading, writer = await asyncio.open_connection(sock=await slow_socket(port, 65536), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
        await reading.readexactly(100)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        answer = await answer_to(port, b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        first = await read_to_end(idle[0][0])
        idle[1][1].write(b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        second = await read_to_end(idle[1][0])
        rest = await read_to_end(reading)
        for open_writer in (writer, *(idle_writer for _, idle_writer in idle)):
            await close(open_writer)

    assert answer.endswith(b"OK\n")
    assert b"" == first
    assert second.endswith(b"OK\n")
    assert rest.endswith(LARGE[-1000:])


async def test_many_connections_of_one_address_replace_each_other() -> None:
    """Many connections from one address do not close an idle one from another."""
    async with served(connections=4) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        await asyncio.gather(*(read_to_end(crowd_reader) for crowd_reader, _ in crowd[:17]))
        writer.write(b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = await read_to_end(reader)
        for open_writer in (writer, *(crowd_writer for _, crowd_writer in crowd)):
            await close(open_writer)

    assert answer.endswith(b"OK\n")


async def test_server_without_free_files_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process can open no more files, connections wait until it can, and are then served."""
    accept, refusals = socket.socket.accept, iter([OSError(24, "Too many open files")] * 3)

    def scarce(listening: socket.socket) -> Any:
        for refusal in refusals:
            raise refusal
        return accept(listening)

    async with serving(SMALL) as (client, _):
        monkeypatch.setattr("socket.socket.accept", scarce)
        answer = await client.get("/metrics")

    assert SMALL == answer.content


async def test_bodies_of_slow_readers_are_bounded() -> None:
    """Readers of the oldest bodies are disconnected when the bodies being read are too large together."""
    bodies = iter([LARGE + b"%d" % i for i in range(5)])
    async with serving(lambda: next(bodies), limits=Limits(body_bytes=3 * len(LARGE))) as (client, server):
        readers = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection(
                sock=await slow_socket(client.base_url.port or 0, 65536), limit=1024
            )
            writer.write(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
            await reader.readexactly(100)
            readers.append((reader, writer))
        held = len(server.bodies._readers)
        await until(lambda: len(connections_of(server)) == 2)
        received = [await read_to_end(reader) for reader, _ in readers]
        for _, writer in readers:
            await close(writer)

    assert 2 == held
    assert [False, False, False, True, True] == [len(body) > len(LARGE) - 1000 for body in received]
