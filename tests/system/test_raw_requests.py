"""Odd paths and raw requests to a server with a password: what was tried to get past it, and how each is answered."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING

import bcrypt
import pytest
import pytest_asyncio
from support.builders import close
from support.logs import warnings
from support.tls import guarded
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = b"secret_metric 1.0\n"
PASSWORD = b"Authorization: Basic " + base64.b64encode(b"prometheus:right")
# Paths that come near to one that needs no password, or to one that does, with the status after the right password.
PATHS = {
    b"/": 200,
    b"//": 404,
    b"///metrics": 404,
    b"/./metrics": 404,
    b"/../metrics": 404,
    b"/metrics/": 404,
    b"/metrics/.": 404,
    b"/metrics//": 404,
    b"/metrics;x=1": 404,
    b"/metrics%00": 404,
    b"/metrics%20": 404,
    b"/metrics%0d%0aX:1": 404,
    b"/metrics?": 200,
    b"/metrics?x=/-/healthy": 200,
    b"/metrics#/-/healthy": 200,
    b"/metrics%3f/-/healthy": 404,
    b"/%6d%65trics": 200,
    b"/%256detrics": 404,
    b"/METRICS": 404,
    b"/\\metrics": 404,
    b"/%5cmetrics": 404,
    b"/-/healthy/": 404,
    b"/-/healthy/../../metrics": 404,
    b"/-/healthy/..%2f..%2fmetrics": 404,
    b"/-/healthy%2f..%2f..%2fmetrics": 404,
    b"/-/healthy;/../metrics": 404,
    b"/-/healthy%00": 404,
    b"/-/healthy%3f": 404,
    b"/-/Healthy": 404,
    b"/-//healthy": 404,
    b"//-/healthy": 404,
    b"//-/healthy/../metrics": 404,
    b"/-/ready/../../metrics": 404,
    b"/-/ready%ff": 404,
    b"/-/status.js/../healthy": 404,
    b"http://a/metrics": 200,
    b"http://-/healthy@a/metrics": 404,
}
# Raw requests without a password, and the statuses of the answers until the connection ends.
GET = b"GET /metrics HTTP/1.1\r\n"
END = b"Connection: close\r\n\r\n"
RAW: list[tuple[bytes, list[int]]] = [
    (b"\r\n\r\n" + GET + END, [401]),
    (b"\n" + GET + END, [401]),
    (b"\0" + GET + END, [400]),
    (b" " + GET + END, [400]),
    (b"get /metrics HTTP/1.1\r\n" + END, [400]),
    (b"GET  /metrics HTTP/1.1\r\n" + END, [401]),
    (b"GET\t/metrics HTTP/1.1\r\n" + END, [400]),
    (b"GET /metrics  HTTP/1.1\r\n" + END, [401]),
    (b"GET /metrics HTTP/1.1 \r\n" + END, [400]),
    (b"GET /metrics http/1.1\r\n" + END, [400]),
    (b"GET /metrics HTTP/1.10\r\n" + END, [400]),
    (b"GET /metrics HTTP/2.0\r\n" + END, [401]),
    (b"GET /metrics HTTP/1.0\r\n\r\n", [401]),
    (b"GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [401]),
    (b"GET /metrics\r\n\r\n", [401]),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    (GET + b"Host: a\r\nHost: a\r\n" + END, [400]),
    (GET + b"Host : a\r\n" + END, [400]),
    (GET + b": a\r\n" + END, [400]),
    (GET + b"No colon\r\n" + END, [400]),
    (GET + b" folded: a\r\n" + END, [400]),
    (GET + b"A: b\r\n c\r\n" + END, [400]),
    (GET + b"A: b\rc\r\n" + END, [400]),
    (GET + b"A: b\0c\r\n" + END, [400]),
    (GET + b"A: \x80\xff\r\n" + END, [401]),
    (GET + b"Content-Length: 0\r\n" + END, [401]),
    (GET + b"Content-Length: +1\r\n" + END, [400]),
    (GET + b"Content-Length: 1, 1\r\n" + END, [400]),
    (GET + b"Content-Length: 99999999999999999999\r\n" + END, [400]),
    (GET + b"Content-Length: 1\r\nContent-Length: 1\r\n" + END, [400]),
    (GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + END + b"0\r\n\r\n", [400]),
    (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" + END + b"0\r\n\r\n", [400]),
    (GET + b"Transfer-Encoding: xchunked\r\n" + END, [400]),
    (GET + b"Transfer-Encoding: chunked, identity\r\n" + END, [400]),
    (GET + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", [400]),
    (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + PASSWORD + b"\r\n\r\n" + GET + END, [401, 401]),
    (GET + b"Content-Length: 67\r\n\r\n" + b"x" * 67 + GET + END, [401, 401]),
    (b"CONNECT /metrics HTTP/1.1\r\n" + END, [401]),
]


@pytest_asyncio.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Serve with a password."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    async with guarded(tmp_path, f"basic_auth_users: {{prometheus: {hashed}}}", SECRET) as (url, _):
        yield int(url.rpartition(":")[2])


async def statuses(port: int, request: bytes) -> tuple[list[int], bytes]:
    """Return the statuses of all answers until the connection ends, and what was received."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    received = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
    await close(writer)
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)], received


@pytest.mark.parametrize("path", PATHS)
async def test_path(port: int, path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An odd path is rejected without the password, and is no other name of a page with it, except as RFC 3986 says."""
    line = b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n"
    without, received = await statuses(port, line + b"\r\n")
    right, _ = await statuses(port, line + PASSWORD + b"\r\n\r\n")

    assert [401] == without
    assert SECRET not in received
    assert [PATHS[path]] == right
    assert [] == warnings(caplog)


@pytest.mark.parametrize(("request_text", "expected"), RAW)
async def test_raw_request(
    port: int, request_text: bytes, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A raw request gets as many answers as it contains requests, none with data, and the connection ends."""
    answers, received = await statuses(port, request_text)

    assert expected == answers
    assert SECRET not in received
    assert [] == warnings(caplog)
