"""The memory of the scrape server while many slow or hostile clients are connected; its server is a process."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.builders import close
from support.slow_clients import slow_socket
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

# README's limit for all connections together, without the bodies.
MAX_MIB = 192
SERVER = """
import asyncio, zlib
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.limits import Limits
from exporter.web.server import ListenAddress, WebServer

LINE = b'metric{account="desk-%d",position_side="LONG",symbol="BTCUSDT"} %d\\n'
LINES = [LINE % (i, zlib.crc32(b"%d" % i)) for i in range(100_000)]
BODY = ChunkedBody([b"".join(LINES[start : start + 100]) for start in range(0, len(LINES), 100)])
del LINES

async def serve():
    limits = Limits(head_seconds=600.0, answer_seconds=600.0)  # for slow machines
    local = ListenAddress("127.0.0.1", 0)
    server = WebServer((local,), "/metrics", lambda: BODY, OpenMetricsExposition(list), int, str, limits=limits)
    print(server.bind()[0], BODY.size, flush=True)
    await server.run()

asyncio.run(serve())
"""


class ServerProcess:
    """A server of 100,000 series in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        url, size = process.stdout.readline().split()
        self.process = process
        self.port = int(url.rpartition(":")[2])
        self.size = int(size)

    @property
    def peak_mib(self) -> int:
        """Its highest resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match
        return int(match[1]) // 1024

    @property
    def files(self) -> int:
        """The number of its open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def scrape(self, accept_encoding: str = "identity") -> tuple[bytes, int]:
        """Scrape, and return the status line and the number of bytes after it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"GET /metrics HTTP/1.1\r\nAccept-Encoding: {accept_encoding}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        status, received = await reader.readline(), 0
        while piece := await reader.read(2**20):
            received += len(piece)
        await close(writer)
        return status, received

    async def warm(self) -> int:
        """Let it allocate what a single client needs, too; return its peak memory."""
        self.plain, self.zipped = await self.scrape(), await self.scrape("gzip")
        assert self.plain[0] == self.zipped[0] == b"HTTP/1.1 200 OK\r\n"
        assert self.zipped[1] < self.size < self.plain[1]
        return self.peak_mib


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """Run the server; its memory is read from /proc."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


async def test_parallel_scrapes_share_memory(server: ServerProcess) -> None:
    """Five hundred concurrent scrapes of a large body are answered within README's memory limit."""
    before = await server.warm()
    answers = await asyncio.gather(*(server.scrape(coding) for coding in ["identity"] * 100 + ["gzip"] * 400))
    grown = server.peak_mib - before

    assert [server.plain] * 100 + [server.zipped] * 400 == answers
    assert grown < MAX_MIB


@pytest.mark.parametrize("attack", ["slow readers", "pipelining", "many headers", "bodies", "idle"])
async def test_memory_under_attack(attack: str, server: ServerProcess) -> None:
    """Twice as many hostile clients as connections are allowed stay within README's limit, and scrapes are served."""
    requests = {
        "slow readers": b"GET /metrics HTTP/1.1\r\n\r\n",
        "pipelining": b"GET /metrics HTTP/1.1\r\n\r\n" * 2500,
        "many headers": b"GET /metrics HTTP/1.1\r\n" + b"a:\r\n" * 4000,
        "bodies": b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + b"a" * 60_000,
        "idle": b"",
    }
    before = await server.warm()
    hostile = []
    for _ in range(1024):
        with contextlib.suppress(ConnectionError):
            client = await slow_socket(server.port)
            hostile.append(client)
            with contextlib.suppress(BlockingIOError):
                client.send(requests[attack])
    during = await server.scrape()
    grown = server.peak_mib - before
    await until(lambda: server.files < 512 + 50)  # those that were dropped are closed soon after
    for client in hostile:
        client.close()
    after = await server.scrape("gzip")

    assert server.plain == during
    assert server.zipped == after
    assert grown < MAX_MIB
    assert server.process.poll() is None
