"""Random pipelines of usual and odd requests, split anywhere, to a server with a password, with and without TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tls import guarded, prepared
from support.waiting import DEADLINE_SECONDS

from exporter import log
from exporter.web.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METRICS = b"secret_metric 1.0\n"
PASSWORD = base64.b64encode(b"prometheus:right")
HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
PATHS = {
    b"/metrics": 200,
    b"/": 200,
    b"/-/status.css": 200,
    b"/-/healthy": 200,
    b"/-/ready": 503,
    b"/-/reload": 405,
    b"/nothing": 404,
    b"/metrics/": 404,
    b"/-/healthy/..": 404,
    b"//-/healthy": 404,
    b"/%6detrics?name[]=x": 200,
    b"http://elsewhere/-/healthy": 200,
    b"*": 404,
}
PUBLIC = {b"/-/healthy", b"/-/ready", b"http://elsewhere/-/healthy"}
LAST = b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Sent:
    """A request, the statuses that may answer it, and whether it is the last one that is answered."""

    text: bytes
    statuses: frozenset[int]
    ends: bool = False
    has_body: bool = False
    is_valid: bool = True
    is_head: bool = False
    secret: bool = False  # whether the answer may show what the password protects


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """Draw a valid request."""
    path, found = draw(st.sampled_from(sorted(PATHS.items())))
    method = draw(st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"POST", b"DELETE", b"OPTIONS"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    password = draw(st.sampled_from([b"", b"Basic " + PASSWORD, b"basic  " + PASSWORD, b"Basic wrong", PASSWORD]))
    headers = draw(
        st.lists(
            st.sampled_from(
                [
                    b"Host: a",
                    b"X:",
                    b"x-long: " + b"y" * 3000,
                    b"Accept-Encoding:gzip;q=0",
                    b"accept: text/plain",
                    b"a:\t",
                ]
            ),
            max_size=4,
            unique=True,
        )
    )
    ending = draw(st.sampled_from([b"", b"", b"", b"Connection: close", b"Connection: Upgrade\r\nUpgrade: h2c"]))
    body = b"" if ending else draw(st.sampled_from([b"", b"", b"length", b"chunked", b"expect"]))
    framing = {
        b"": (b"", b""),
        b"length": (b"Content-Length: 5", b"GET /"),
        b"chunked": (
            b"Transfer-Encoding: chunked",
            b"5\r\nGET /\r\n0\r\nAuthorization: Basic " + PASSWORD + b"\r\n\r\n",
        ),
        b"expect": (b"Expect: 100-continue\r\nContent-Length: 3", b"abc"),
    }[body]
    lines = [*headers, b"Authorization: " + password if password else b"", ending, framing[0]]
    text = b"%s %s HTTP/%s\r\n" % (method, path, version) + b"".join(line + b"\r\n" for line in lines if line)
    may = password.lower().startswith(b"basic") and password.endswith(PASSWORD)
    status = found if method in {b"GET", b"HEAD"} or found == 404 else 405
    if path == b"/-/reload" and method == b"POST":
        status = 403
    if not may and path not in PUBLIC:
        status = 401
    return Sent(
        text + b"\r\n" + framing[1],
        frozenset({status}),
        ends=version == b"1.0" or ending != b"" or body == b"expect",
        has_body=body != b"",
        is_head=method == b"HEAD",
        secret=may,
    )


def broken(text: bytes, *statuses: int) -> Sent:
    """Return what is not a valid request; 401 or 405 where only the password or the method is at fault."""
    return Sent(text, frozenset(statuses or (400,)), ends=True, is_valid=False)


BROKEN = [
    broken(b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    broken(b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400, 401),
    broken(b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    broken(b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
    broken(b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    broken(b"GET /metrics HTTP/1.1\r\n folded: x\r\n\r\n"),
    broken(b"GET /metrics HTTP/1.1\r\nA: x\r\n  folded\r\n\r\n"),
    broken(b"GET /metrics HTTP/1.1\r\nA : x\r\n\r\n"),
    broken(b"GET /metrics HTTP/1.1\r\nA: \0\r\n\r\n"),
    broken(b"GET /metrics HTTP/9.9\r\n\r\n"),
    broken(b"GET metrics HTTP/1.1\r\n\r\n"),
    broken(b"BREW / HTTP/1.1\r\n\r\n"),
    broken(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    broken(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
    broken(b"GET / HTTP/1.1\r\na: " + b"b" * 30_000 + b"\r\n\r\n", 431),
    broken(b"CONNECT a:1 HTTP/1.1\r\n\r\n", 401),
]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Sent], list[bytes]]:
    """Draw a pipeline, and the pieces in which it is sent."""
    sent = draw(st.lists(requests() | st.sampled_from(BROKEN), min_size=1, max_size=5))
    text = b"".join(request.text for request in sent) + LAST
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return sent, [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@contextlib.contextmanager
def served(folder: Path, *, tls: bool) -> Iterator[int]:
    """Serve in another thread, and yield the port."""
    document = f"basic_auth_users: {{prometheus: {HASH}}}\n"
    if tls:
        prepared(folder)
        document += "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
    limits = Limits(tls_closing_seconds=0.02)  # for each connection that ends early
    ports: list[int] = []
    started, stopping = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with guarded(folder, document, METRICS, limits) as (url, _):
            ports.append(int(url.rpartition(":")[2]))
            loops.append(asyncio.get_running_loop())
            started.set()
            await stopping.wait()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(DEADLINE_SECONDS)
    yield ports[0]
    loops[0].call_soon_threadsafe(stopping.set)
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


class Replay:
    """Bytes that were received, as `http.client` expects a socket."""

    def __init__(self, received: bytes) -> None:
        self._file = io.BytesIO(received)

    def makefile(self, *_: Any) -> io.BytesIO:
        """Return the bytes as a file that responses share."""
        self._file.close = lambda: None  # type: ignore[method-assign]
        return self._file


def answers(received: bytes, sent: list[Sent]) -> list[tuple[int, bytes, bool]]:
    """Return status, body and whether the end is announced of each answer; the last byte must belong to one."""
    replay, found = Replay(received), []
    for request in [*sent, Sent(LAST, frozenset({200}), ends=True)]:
        if replay._file.tell() == len(received):
            break
        response = http.client.HTTPResponse(replay, method="HEAD" if request.is_head else "GET")  # type: ignore[arg-type]
        response.begin()
        found.append((response.status, response.read(), response.getheader("connection") == "close"))
        assert response.getheader("transfer-encoding") is None
        assert response.getheader("date")
    assert replay._file.tell() == len(received), "more answers than requests"
    return found


def converse(port: int, pieces: list[bytes], context: ssl.SSLContext | None) -> bytes:
    """Send pieces, and return everything that is received until the server closes the connection."""
    with contextlib.ExitStack() as stack:
        connected = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            connected = stack.enter_context(context.wrap_socket(connected, server_hostname="localhost"))
        try:
            for piece in pieces:
                connected.sendall(piece)
                time.sleep(0.001)
            if not context:
                connected.shutdown(socket.SHUT_WR)
        except OSError:
            assert context, "a response could be lost by a reset"
        received = b""
        try:
            while piece := connected.recv(2**16):
                received += piece
        except OSError:
            assert context, "a response could be lost by a reset"
        return received


def check(sent: list[Sent], received: bytes) -> None:
    """Compare answers with requests."""
    requests_and_last = [*sent, Sent(LAST, frozenset({200}), ends=True)]
    found = answers(received, sent)
    assert found, "no answer"
    for place, (request, (status, body, ends)) in enumerate(zip(requests_and_last, found, strict=False)):
        assert status in request.statuses
        is_last = place == len(found) - 1
        assert ends is is_last, "an end that was not announced, or an answer after it"
        assert ends or not request.ends
        following = requests_and_last[place + 1] if place + 1 < len(requests_and_last) else None
        # A body that has not arrived, or what follows if it is not HTTP, ends a connection early.
        assert not ends or request.ends or request.has_body or (following and not following.is_valid)
        assert request.secret or METRICS.strip() not in body


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_every_request_gets_one_answer(tmp_path: Path, *, tls: bool) -> None:
    """Each request gets one answer, in order and never without the password; nothing is logged."""
    logged = io.StringIO()
    log.configure("info", "json", logged)
    with served(tmp_path, tls=tls) as port:
        context = ssl.create_default_context(cafile=tmp_path / "ca.crt") if tls else None

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(conversations())
        def explore(conversation: tuple[list[Sent], list[bytes]]) -> None:
            sent, pieces = conversation
            check(sent, converse(port, pieces, context))

        explore()

    assert "" == logged.getvalue()
