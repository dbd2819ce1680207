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
from support.tls import TLS, client_of, prepared
from support.waiting import until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

# The limit in docs/security.md for all connections together, without the bodies.
MAX_MIB = 192
MAX_MIB_WITH_TLS = 384
SERVER = """
import asyncio, pathlib, sys, zlib
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.limits import Limits
from exporter.web.config import load
from exporter.web.server import ListenAddress, WebServer
from exporter.web.watcher import WebConfigWatcher

LINE = b'metric{account="desk-%d",position_side="LONG",symbol="BTCUSDT"} %d\\n'
LINES = [LINE % (i, zlib.crc32(b"%d" % i)) for i in range(100_000)]
BODY = ChunkedBody([b"".join(LINES[start : start + 100]) for start in range(0, len(LINES), 100)])
del LINES

async def serve():
    limits = Limits(head_seconds=600.0, answer_seconds=600.0)  # for slow machines
    local = ListenAddress("127.0.0.1", 0)
    live = WebConfigWatcher(load(pathlib.Path(sys.argv[1]))) if sys.argv[1:] else None
    server = WebServer((local,), "/metrics", lambda: BODY, OpenMetricsExposition(list), int, str, live, limits=limits)
    print(server.bind()[0], BODY.size, flush=True)
    await server.run()

asyncio.run(serve())
"""


class ServerProcess:
    """A server of 100,000 series in its own process; `context` is for its clients, if it uses TLS."""

    def __init__(self, process: subprocess.Popen[str], context: ssl.SSLContext | None = None) -> None:
        assert process.stdout is not None
        url, size = process.stdout.readline().split()
        self.process = process
        self.context = context
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
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname="localhost" if self.context else None
        )
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


@contextlib.contextmanager
def served(*arguments: Path, context: ssl.SSLContext | None = None) -> Iterator[ServerProcess]:
    """Run the server; its memory is read from /proc."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    command = [sys.executable, "-c", SERVER, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ServerProcess(process, context)
        finally:
            process.kill()


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """Run the server without TLS."""
    with served() as running:
        yield running


async def test_parallel_scrapes_share_memory(server: ServerProcess) -> None:
    """Five hundred concurrent scrapes of a large body are answered within the memory limit."""
    before = await server.warm()
    answers = await asyncio.gather(*(server.scrape(coding) for coding in ["identity"] * 100 + ["gzip"] * 400))
    grown = server.peak_mib - before

    assert [server.plain] * 100 + [server.zipped] * 400 == answers
    assert grown < MAX_MIB


@pytest.mark.parametrize("attack", ["slow readers", "pipelining", "many headers", "bodies", "idle"])
async def test_memory_under_attack(attack: str, server: ServerProcess) -> None:
    """Twice as many hostile clients as connections are allowed stay within the limit, and scrapes are served."""
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


@pytest.mark.parametrize(("attack", "clients"), [("half-open handshakes", 1000), ("slow readers", 600)])
async def test_memory_under_attack_with_tls(attack: str, clients: int, tmp_path: Path) -> None:
    """With TLS, half-open handshakes and readers that stop reading stay within the limit, and scrapes are served."""
    folder = prepared(tmp_path)
    (folder / "web.yml").write_text(f"{TLS}}}")
    context = client_of(folder)
    with served(folder / "web.yml", context=context) as server:
        before = await server.warm()
        hostile: list[asyncio.StreamWriter] = []
        for _ in range(clients):
            reader, writer = await asyncio.open_connection(sock=await slow_socket(server.port), limit=1024)
            hostile.append(writer)
            with contextlib.suppress(ConnectionError, EOFError):
                if attack == "slow readers":
                    await writer.start_tls(context, server_hostname="localhost")
                    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
                    await reader.readexactly(100)
                else:
                    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the start of a handshake
        during = await server.scrape()
        grown = server.peak_mib - before
        for writer in hostile:
            writer.transport.abort()
        after = await server.scrape("gzip")

        assert server.plain == during
        assert server.zipped == after
        assert grown < MAX_MIB_WITH_TLS
        assert server.process.poll() is None
