"""What the scrape server relies on httptools for: which bytes are requests, and when its callbacks come."""

from __future__ import annotations

import pytest

from exporter.web.limits import Limits
from exporter.web.requests import RequestParser

GET = b"GET /metrics?a=b HTTP/1.1\r\n"
VALID = ("GET", "/metrics", "a=b", 0)
REJECTED = ("GET", "", "", 400)


def parsed(data: bytes) -> list[tuple[str, str, str, int]]:
    """Return method, path, query and error of each request in `data`."""
    parser = RequestParser(Limits())
    parser.feed(data)
    requests = []
    while (request := parser.next()) is not None:
        requests.append((request.method, request.path, request.query, request.error))
    return requests


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GET + b"\r\n" + GET + b"\r\n", [VALID, VALID]),
        (GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", [VALID]),
        # HttpParserUpgrade comes after the request is complete.
        (GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET, [VALID]),
        # The headers after a chunked body come after on_headers_complete: they are not the request's.
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\nHost: b\r\n\r\n" + GET + b"\r\n", [VALID, VALID]),
        (GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [REJECTED]),
        (GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", [REJECTED]),
        (GET + b"Transfer-Encoding: xchunked\r\n\r\n", [REJECTED]),
        (GET + b"A: b\0c\r\n\r\n", [REJECTED]),
        (GET + b"A: b\r\n c\r\n\r\n", [REJECTED]),
        (GET + b"A : b\r\n\r\n", [REJECTED]),
        (GET + b"\r\nGET\0", [VALID]),
    ],
)
def test_requests_are_found(data: bytes, expected: list[tuple[str, str, str, int]]) -> None:
    """Requests are found, and those that a proxy could understand in another way are rejected."""
    assert expected == parsed(data)


@pytest.mark.parametrize("size", [1, 7])
def test_requests_in_pieces(size: int) -> None:
    """A request is the same if it arrives in pieces, in which callbacks get parts of its target."""
    data = GET + b"Host: a\r\n\r\n"
    parser = RequestParser(Limits())
    requests = []
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])
        requests.append(parser.next())
    *earlier, last = requests

    assert [None] * len(earlier) == earlier
    assert last is not None
    assert (*VALID[:3], [(b"host", b"a")]) == (last.method, last.path, last.query, last.headers)
