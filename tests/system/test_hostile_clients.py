"""Clients that are slow, greedy or hostile: what they are told, what they may take, and that others are served."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from support.builders import DEADLINE_SECONDS, LOCAL, close, serving
from support.waiting import until

from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.config import load
from exporter.web.connections import Limits
from exporter.web.server import WebServer
from exporter.web.watcher import WebConfigWatcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SMALL = b"metric 1.0\n"
LARGE = b"".join(b"metric_%d %d\n" % (i, zlib.crc32(b"%d" % i)) for i in range(100_000)) * 4
# What README promises for every connection together, beside the bodies.
MOST_MIB = 192
SERVER = """
import asyncio, zlib
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.connections import Limits
from exporter.web.server import ListenAddress, WebServer

LINE = b'metric{account="desk-%d",position_side="LONG",symbol="BTCUSDT"} %d\\n'
LINES = [LINE % (i, zlib.crc32(b"%d" % i)) for i in range(100_000)]
BODY = ChunkedBody([b"".join(LINES[start : start + 100]) for start in range(0, len(LINES), 100)])
del LINES

async def serve():
    limits = Limits(head_seconds=600.0, answer_seconds=600.0)  # for slow machines
    local = ListenAddress("127.0.0.1", 0)
    server = WebServer((local,), "/metrics", lambda: BODY, OpenMetricsExposition([]), int, str, limits=limits)
    print(server.bind()[0], BODY.size, flush=True)
    await server.run()

asyncio.run(serve())
"""


class Child:
    """A server of 100,000 series in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        url, size = process.stdout.readline().split()
        self.process = process
        self.port = int(url.rpartition(":")[2])
        self.size = int(size)

    @property
    def most_mib(self) -> int:
        """Return the most memory that it ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) // 1024

    @property
    def files(self) -> int:
        """Return how many files and sockets it holds open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def scrape(self, accept_encoding: str = "identity") -> tuple[bytes, int]:
        """Scrape as another client would, and return the status line and how many bytes came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"GET /metrics HTTP/1.1\r\nAccept-Encoding: {accept_encoding}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        status, received = await reader.readline(), 0
        while piece := await reader.read(2**20):
            received += len(piece)
        await close(writer)
        return status, received

    async def warm(self) -> int:
        """Have it do once what costs memory with one client, too; return the most that it ever had."""
        self.plain, self.zipped = await self.scrape(), await self.scrape("gzip")
        assert self.plain[0] == self.zipped[0] == b"HTTP/1.1 200 OK\r\n"
        assert self.zipped[1] < self.size < self.plain[1]
        return self.most_mib


@pytest.fixture
def child() -> Iterator[Child]:
    """A server whose memory is its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is told by /proc")
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


async def lazy_socket(port: int, window: int = 4096) -> socket.socket:
    """Connect with a socket that takes next to nothing in advance."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connected.settimeout(0)
    await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
    return connected


async def ending(reader: asyncio.StreamReader) -> bytes:
    """Return all that still comes; a connection that is cut has an end, too."""
    received = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(2**20):
                received.append(piece)
    return b"".join(received)


async def asked(port: int, *pieces: bytes) -> bytes:
    """Send bytes, and return all that is answered until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    received = await ending(reader)
    await close(writer)
    return received


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what uvicorn has logged beyond what it always does."""
    return [each.message for each in caplog.records if each.name.startswith("uvicorn") and each.levelname != "INFO"]


@contextlib.asynccontextmanager
async def served(body: bytes = SMALL, **limits: Any) -> AsyncIterator[int]:
    """Serve with limits, and yield the port; another client must be served before and after."""
    async with serving(body, limits=Limits(**limits)) as (client, _):
        assert client.base_url.port is not None
        yield client.base_url.port
        assert 200 == (await client.get("/-/healthy")).status_code


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /met",
        b"GET /metrics HTTP/1.1\r\nX-Header: 1\r\n",
        b"\r\n\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\n\r\nGET /metr",
    ],
    ids=["nothing", "half a line", "half a head", "empty lines", "half a second request"],
)
async def test_who_does_not_finish_asking_is_hung_up_on(begun: bytes) -> None:
    """A request line or headers that do not end in time end the connection."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if b"healthy" in begun:
            whole, begun = begun[:-9], begun[-9:]
            writer.write(whole)
            await reader.readuntil(b"OK\n")
        writer.write(begun)
        rest = await ending(reader)
        await close(writer)

    assert b"" == rest


@pytest.mark.usefixtures("virtual_time")
async def test_drops_do_not_buy_time() -> None:
    """A client that sends a byte now and then has no more time than one that sends nothing."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(DEADLINE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.sleep(1)
        await close(writer)


@pytest.mark.usefixtures("virtual_time")
async def test_handshake_that_hangs_ends(tmp_path: Path) -> None:
    """A TLS handshake that is begun and not finished ends the connection."""
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    (tmp_path / "both.pem").chmod(0o600)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: both.pem, key_file: both.pem}")
    live = WebConfigWatcher(load(tmp_path / "web.yml"))
    server = WebServer((LOCAL,), "/metrics", lambda: ChunkedBody([]), OpenMetricsExposition([]), int, str, live)
    port = int(server.bind()[0].rpartition(":")[2])
    running = asyncio.create_task(server.run())
    try:
        ends = [await asked(port, begun) for begun in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01")]
    finally:
        server.stop()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await running

    assert [b"", b""] == ends


@pytest.mark.usefixtures("virtual_time")
async def test_who_does_not_take_his_answer_is_hung_up_on(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that is not taken in time is cut short, without a line in the log."""
    async with serving(LARGE, limits=Limits(answer_seconds=5.0)) as (client, server):
        reader, writer = await asyncio.open_connection(sock=await lazy_socket(client.base_url.port or 0), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        await reader.readexactly(100)
        await until(lambda: not server._server.server_state.connections)
        received = await ending(reader)
        await close(writer)

    assert len(received) < len(LARGE)
    assert [] == complaints(caplog)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\nX-Large: " + b"a" * 5_000_000,
        b"GET /" + b"a" * 5_000_000,
        b"GET /metrics HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 500_000 + b"\r\n",
    ],
    ids=["header", "path", "headers"],
)
async def test_huge_head_is_refused(head: bytes) -> None:
    """Headers of 5 MB are refused, or cut off, before they have come."""
    async with served() as port:
        answer = await asked(port, *(head[start : start + 65536] for start in range(0, len(head), 65536)))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\nX-Large: " + b"a" * 24_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
    ],
    ids=["large", "many"],
)
async def test_head_beyond_the_limit_is_told(head: bytes) -> None:
    """A head that is somewhat too large, or of too many headers, is answered with 431 and the connection's end."""
    async with served() as port:
        answer = await asked(port, head)

    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in answer


async def test_head_within_the_limit_is_served() -> None:
    """A hundred headers of together nearly 16 KiB are no fault."""
    head = b"GET /metrics HTTP/1.1\r\nConnection: close\r\n" + (b"X: " + b"a" * 155 + b"\r\n") * 99 + b"\r\n"
    async with served() as port:
        answer = await asked(port, head)

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
    """A request with a body is answered before the body has come, and its connection ends with the answer."""
    async with served() as port:
        answer = await asked(port, head)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nconnection: close\r\n" in answer


async def test_body_without_an_end_is_not_read() -> None:
    """Who sends a body for ever is hung up on."""
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with asyncio.timeout(DEADLINE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
                    await writer.drain()
        await close(writer)


async def test_small_body_does_no_harm() -> None:
    """A body that came whole with its head leaves the connection as it was."""
    async with serving(SMALL) as (client, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST /-/healthy HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
        await reader.readuntil(b"Method Not Allowed")
        writer.write(b"GET /-/healthy HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"OK\n")
        await close(writer)


async def test_pipelined_requests_are_answered_in_order() -> None:
    """A few requests in one breath have their answers in the same order."""
    async with served() as port:
        end = b"GET /-/ready HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = await asked(port, b"GET /-/healthy HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n" + end)

    assert [b"OK\n", SMALL, b"OK\n"] == re.findall(rb"\r\n\r\n(.*\n)", answer)


async def test_too_many_pipelined_requests() -> None:
    """Thousands of requests in one breath, and none of the answers taken, end the connection."""
    async with served(LARGE) as port:
        reader, writer = await asyncio.open_connection(sock=await lazy_socket(port), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n" * 10_000)
        received = await ending(reader)
        await close(writer)

    assert len(received) < len(LARGE)


async def test_what_follows_nonsense_does_not_matter() -> None:
    """A request before one that cannot be read has its answer; then the connection ends."""
    async with served() as port:
        answer = await asked(port, b"GET /-/healthy HTTP/1.1\r\n\r\n\x00\x01nonsense\r\n\r\n")

    assert answer.endswith(b"\r\n\r\nOK\n")


@pytest.mark.parametrize(
    "headers",
    [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    ],
)
async def test_upgrade_is_answered_without(headers: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who offers another protocol is answered in this one, without a word in the log."""
    async with served() as port:
        answer = await asked(port, f"GET /metrics HTTP/1.1\r\n{headers}\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(SMALL)
    assert [] == complaints(caplog)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"BREW /metrics HTTP/1.1", b"400"),
        (b"CONNECT 192.0.2.1:443 HTTP/1.1", b"400"),
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
async def test_absurd_requests(request_line: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a request asks for, it has an answer, and the log has no line of it."""
    async with served() as port:
        answer = await asked(port, request_line + b"\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert [] == complaints(caplog)


async def test_newcomer_takes_the_place_of_who_idles() -> None:
    """Where all places are taken the longest idle goes, not who is being answered."""
    async with served(LARGE, connections=3) as port:
        reading, writer = await asyncio.open_connection(sock=await lazy_socket(port, 65536), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
        await reading.readexactly(100)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        answer = await asked(port, b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        first = await ending(idle[0][0])
        idle[1][1].write(b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        second = await ending(idle[1][0])
        rest = await ending(reading)
        for each in (writer, *(one for _, one in idle)):
            await close(each)

    assert answer.endswith(b"OK\n")
    assert b"" == first
    assert second.endswith(b"OK\n")
    assert rest.endswith(LARGE[-1000:])


async def test_crowd_drives_out_itself() -> None:
    """Connections of one address without an end do not end the one of another, however long it idles."""
    async with served(connections=4) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        await asyncio.gather(*(ending(each) for each, _ in crowd[:17]))
        writer.write(b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = await ending(reader)
        for each in (writer, *(one for _, one in crowd)):
            await close(each)

    assert answer.endswith(b"OK\n")


async def test_without_files_the_server_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process can open no more files, nobody is served until it can, and then all are."""
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
    """Readers of older bodies are hung up on when all that are being read come to too much."""
    bodies = iter([LARGE + b"%d" % i for i in range(5)])
    async with serving(lambda: next(bodies), limits=Limits(body_bytes=3 * len(LARGE))) as (client, server):
        readers = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection(
                sock=await lazy_socket(client.base_url.port or 0, 65536), limit=1024
            )
            writer.write(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
            await reader.readexactly(100)
            readers.append((reader, writer))
        held = len(server._bodies._readers)
        await until(lambda: len(server._server.server_state.connections) == 2)
        received = [await ending(reader) for reader, _ in readers]
        for _, writer in readers:
            await close(writer)

    assert 2 == held
    assert [False, False, False, True, True] == [len(one) > len(LARGE) - 1000 for one in received]


async def test_parallel_scrapes_share_memory(child: Child) -> None:
    """Five hundred scrapes of a large body at once are all answered, within the memory that README states."""
    before = await child.warm()
    answers = await asyncio.gather(*(child.scrape(coding) for coding in ["identity"] * 100 + ["gzip"] * 400))
    grown = child.most_mib - before

    assert [child.plain] * 100 + [child.zipped] * 400 == answers
    assert grown < MOST_MIB


@pytest.mark.parametrize("attack", ["slow readers", "pipelining", "many headers", "bodies", "idle"])
async def test_memory_under_attack(attack: str, child: Child) -> None:
    """Twice as many hostile clients as there are places cost no more than README states, and a scrape is served."""
    requests = {
        "slow readers": b"GET /metrics HTTP/1.1\r\n\r\n",
        "pipelining": b"GET /metrics HTTP/1.1\r\n\r\n" * 2500,
        "many headers": b"GET /metrics HTTP/1.1\r\n" + b"a:\r\n" * 4000,
        "bodies": b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + b"a" * 60_000,
        "idle": b"",
    }
    before = await child.warm()
    hostile = []
    for _ in range(1024):
        with contextlib.suppress(ConnectionError):
            sending = await lazy_socket(child.port)
            hostile.append(sending)
            with contextlib.suppress(BlockingIOError):
                sending.send(requests[attack])
    during = await child.scrape()
    grown = child.most_mib - before
    await until(lambda: child.files < 512 + 50)  # those that were driven out are closed soon after
    for each in hostile:
        each.close()
    after = await child.scrape("gzip")

    assert child.plain == during
    assert child.zipped == after
    assert grown < MOST_MIB
    assert child.process.poll() is None
