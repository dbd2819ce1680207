"""The scrape server over real sockets: its responses, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import re
import socket
import struct
import sys
import weakref
import zlib

import pytest
from support.builders import close, connect, raw_body, serving
from support.logs import warnings
from support.waiting import DEADLINE_SECONDS, until

import exporter
from exporter.metrics.chunked_body import ChunkedBody
from exporter.web.compression import CompressionError, Compressor, accepts_gzip, gzip_function

PATHS = ["/metrics", "/", "/-/healthy", "/-/ready"]
SMALL = b"metric 1.0\n"
# Partly repetitive, so that it stays large when compressed.
LARGE = b"".join(b"metric_%d %d\n" % (i, zlib.crc32(b"%d" % i)) for i in range(100_000))


@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
async def test_metrics(body: bytes) -> None:
    """A scrape gets the body as text, in one gzip member if it asks for gzip and not otherwise."""
    async with serving(body) as (client, _):
        plain = [await raw_body(client, offer) for offer in (None, "identity", "gzip;q=0")]
        zipped = [await raw_body(client, offer) for offer in ("gzip", "deflate, gzip, br, zstd")]
    members = [zlib.decompressobj(wbits=31) for _ in zipped]

    for response, sent in plain + zipped:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert str(len(sent)) == response.headers["Content-Length"]
    assert [body] * 3 == [sent for _, sent in plain]
    assert {None} == {response.headers.get("Content-Encoding") for response, _ in plain}
    assert [body] * 2 == [member.decompress(sent) for member, (_, sent) in zip(members, zipped, strict=True)]
    assert {"gzip"} == {response.headers["Content-Encoding"] for response, _ in zipped}
    assert [(True, b"")] * 2 == [(member.eof, member.unused_data) for member in members]


@pytest.mark.parametrize("accept_encoding", ["gzip", "identity"])
async def test_head_is_get_without_the_body(accept_encoding: str) -> None:
    """HEAD has the same length and type as GET, and the connection stays open."""
    headers = {"Accept-Encoding": accept_encoding}
    async with serving(LARGE) as (client, _):
        got = [await client.get(path, headers=headers) for path in PATHS]
        heads = [await client.head(path, headers=headers) for path in PATHS]
        again = await client.get("/-/healthy")

    assert [200] * len(PATHS) == [head.status_code for head in heads]
    assert {b""} == {head.content for head in heads}
    assert [{**response.headers, "date": ""} for response in got] == [{**head.headers, "date": ""} for head in heads]
    assert again.text == "OK\n"


async def test_other_paths_are_not_found() -> None:
    """An unknown path is answered with 404, without a redirect."""
    paths = ["/metrics/", "/metric", "/-/", "/-/healthy/", "/-/ready/", "/favicon.ico", "/METRICS", "//"]
    async with serving(SMALL) as (client, _):
        statuses = {path: (await client.get(f"{client.base_url}{path}")).status_code for path in paths}

    assert dict.fromkeys(paths, 404) == statuses


@pytest.mark.parametrize("path", PATHS)
async def test_other_methods_are_not_allowed(path: str) -> None:
    """Other methods are rejected, and the answer lists those that are allowed."""
    methods = ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
    async with serving(SMALL) as (client, _):
        answers = [await client.request(method, path) for method in methods]

    assert [405] * len(methods) == [answer.status_code for answer in answers]
    assert {frozenset({"GET", "HEAD"})} == {frozenset(answer.headers["Allow"].split(", ")) for answer in answers}


async def test_ready_counts_the_accounts_it_waits_for() -> None:
    """The service is healthy from the start, and ready once every account's first poll has ended."""
    counts = iter([2, 1, 0])
    async with serving(SMALL, waiting=lambda: next(counts)) as (client, _):
        healthy = await client.get("/-/healthy")
        before = await client.get("/-/ready")
        last = await client.get("/-/ready")
        after = await client.get("/-/ready")

    assert (healthy.status_code, healthy.text) == (200, "OK\n")
    assert (before.status_code, before.text) == (503, "not ready: waiting for the first poll of 2 accounts\n")
    assert (last.status_code, last.text) == (503, "not ready: waiting for the first poll of 1 account\n")
    assert (after.status_code, after.text) == (200, "OK\n")


@pytest.mark.parametrize("path", ["/metrics", "/other/path"])
async def test_index_links(path: str) -> None:
    """The page links to the metrics, whatever their path, and to the probes; each URL in it can be fetched."""
    async with serving(SMALL, path=path) as (client, _):
        index = await client.get("/")
        links = re.findall(r'(?:href|src)="([^"]*)"', index.text)
        statuses = [(await client.get(link)).status_code for link in links]
        default = await client.get("/metrics")

    assert index.headers["Content-Type"] == "text/html; charset=utf-8"
    assert exporter.__version__ in index.text
    assert ["./-/status.css", "./-/status.js", f".{path}", "./-/healthy", "./-/ready"] == links
    assert [200] * 5 == statuses
    assert (200 if path == "/metrics" else 404) == default.status_code


async def test_what_the_page_loads() -> None:
    """The page's style and script have their media types, without which browsers would ignore them."""
    async with serving(SMALL) as (client, _):
        answers = [await client.get(f"/-/status.{suffix}") for suffix in ("css", "js")]

    assert ["text/css; charset=utf-8", "text/javascript; charset=utf-8"] == [
        answer.headers["Content-Type"] for answer in answers
    ]
    assert [True, True] == ["status page" in answer.text for answer in answers]


async def test_server_software_is_not_revealed() -> None:
    """Answers do not say which software sends them."""
    async with serving(SMALL) as (client, _):
        response = await client.get("/metrics")

    assert "Server" not in response.headers


async def test_body_is_current() -> None:
    """Each scrape gets the current body, not one that was compressed before."""
    bodies = [LARGE, LARGE + SMALL, SMALL]
    async with serving(iter(bodies).__next__) as (client, _):
        answers = [(await client.get("/metrics", headers={"Accept-Encoding": "gzip"})).content for _ in bodies]

    assert bodies == answers


@pytest.mark.parametrize("accept_encoding", ["gzip", "identity"])
async def test_client_that_disconnects_during_a_body(accept_encoding: str, caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects during a large body affects no other client, and is not logged."""
    body = LARGE * 20  # more than fits the sockets' buffers
    async with serving(body) as (client, _):
        request = f"GET /metrics HTTP/1.1\r\nAccept-Encoding: {accept_encoding}"
        reader, writer = await connect(client, request, limit=1024)
        await reader.readexactly(512)
        other = asyncio.create_task(client.get("/metrics", headers={"Accept-Encoding": accept_encoding}))
        writer.transport.abort()
        await close(writer)
        answers = [await other, await client.get("/metrics", headers={"Accept-Encoding": accept_encoding})]

    assert [body, body] == [answer.content for answer in answers]
    assert [] == warnings(caplog)


async def test_stops_with_an_idle_connection() -> None:
    """A connection that is kept alive does not keep the server from stopping."""
    async with serving(SMALL) as (client, server):
        reader, writer = await connect(client, "GET /-/healthy")
        await reader.readuntil(b"OK\n")
        server.stop()
        rest = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
        await close(writer)

    assert rest == b""


async def test_stops_with_a_reader_that_does_not_read(caplog: pytest.LogCaptureFixture) -> None:
    """A client that stops reading a large body is disconnected at the stop, without a warning in the log."""
    async with serving(LARGE * 20) as (client, _):
        reader, writer = await connect(client, "GET /metrics", limit=1024)
        await reader.readexactly(512)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
    await close(writer)

    assert [] == warnings(caplog)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("identity, gzip;q=0.5", True),
        ("gzip;q=1.0", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;Q=0.0,identity", False),
        ("gzip;q=0.001", True),
        ("x-gzip, *", False),
        ("deflate", False),
    ],
)
def test_gzip_is_sent_if_accepted(*, header: str, accepted: bool) -> None:
    """Gzip is sent to clients that list it with a quality above 0."""
    assert accepted is accepts_gzip(header)


@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("module", ["isal", None])
async def test_every_gzip_is_gzip(body: bytes, module: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without isal, the body can be decompressed whole, and is compressed the same each time."""
    if module is None:
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip(module)
    # A body may be split anywhere; all fragments are of one stream.
    shown = ChunkedBody([body[:1000], b"", body[1000:]])
    compressed = bytes(await Compressor().compress(shown))

    assert body == gzip.decompress(compressed)
    assert bytes(gzip_function()(shown)) == compressed


async def test_large_body_is_compressed_once() -> None:
    """Scrapes of one large body share its compression, even if one disconnects; another body is compressed again."""
    compressor, body, other = Compressor(), ChunkedBody([LARGE]), ChunkedBody([LARGE, SMALL])
    leaving = asyncio.create_task(compressor.compress(body))
    staying = asyncio.create_task(compressor.compress(body))
    await asyncio.sleep(0)
    leaving.cancel()
    first = await staying
    second = await compressor.compress(body)
    third = await compressor.compress(other)

    assert first is second
    assert LARGE == gzip.decompress(bytes(first))
    assert LARGE + SMALL == gzip.decompress(bytes(third))
    assert leaving.cancelled()


async def test_compressed_body_is_freed_with_its_body() -> None:
    """Neither a body nor its compressed form is kept once the body is no longer in use."""
    compressor, body = Compressor(), ChunkedBody([LARGE])
    kept = [weakref.ref(body), weakref.ref(await compressor.compress(body))]
    await asyncio.sleep(0)  # the task that compressed drops its reference
    del body
    gc.collect()

    assert [None, None] == [reference() for reference in kept]


async def test_body_that_cannot_be_compressed_is_sent_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """If memory for compression is lacking, a scrape gets plain text, the next one gzip, and nothing is kept."""
    failures = [MemoryError(), RuntimeError("can't start new thread")]
    zip_body, body = gzip_function(), ChunkedBody([LARGE])

    def compress(body: ChunkedBody) -> ChunkedBody:
        if failures:
            raise failures.pop()
        return zip_body(body)

    monkeypatch.setattr("exporter.web.compression.gzip_function", lambda: compress)
    async with serving(LARGE) as (client, _):
        answers = [await client.get("/metrics", headers={"Accept-Encoding": "gzip"}) for _ in range(3)]
    failures.append(MemoryError())
    compressor = Compressor()
    with pytest.raises(CompressionError):
        await compressor.compress(body)
    kept = weakref.ref(body)
    del body
    await until(lambda: gc.collect() >= 0 and kept() is None)  # the thread drops its exception

    assert [(200, LARGE)] * 3 == [(answer.status_code, answer.content) for answer in answers]
    assert [None, None, "gzip"] == [answer.headers.get("Content-Encoding") for answer in answers]
    assert kept() is None


async def test_client_that_resets_after_a_response(caplog: pytest.LogCaptureFixture) -> None:
    """A client that resets the connection right after its last response causes no error."""
    loop = asyncio.get_running_loop()
    async with serving(SMALL) as (client, server):
        with socket.socket() as sock:
            sock.settimeout(0)
            await loop.sock_connect(sock, ("127.0.0.1", client.base_url.port))
            await loop.sock_sendall(sock, b"GET /-/healthy HTTP/1.1\r\n\r\n")
            assert (await loop.sock_recv(sock, 1024)).startswith(b"HTTP/1.1 200 ")
            (connection,) = server._listener._connections
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await connection._end()  # before the loop has seen the reset
        await until(lambda: not server._listener._connections)

    assert [] == warnings(caplog)
