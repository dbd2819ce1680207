"""Headers of every response, and cross-site requests to /-/reload."""

from __future__ import annotations

import pytest
from support.builders import close, connect, serving

EXPECTED = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/-/status.css", 200),
        ("GET", "/-/status.js", 200),
        ("GET", "/metrics", 200),
        ("GET", "/metrics?name[]=up", 200),
        ("GET", "/-/healthy", 200),
        ("GET", "/-/ready", 503),
        ("GET", "/nothing", 404),
        ("DELETE", "/metrics", 405),
        ("POST", "/-/reload", 403),
    ],
)
async def test_every_response(method: str, path: str, status: int) -> None:
    """Every response has each security header once, without a web configuration."""
    async with serving(b"", waiting=lambda: 1) as (client, _):
        response = await client.request(method, path)

    assert status == response.status_code
    assert {name: [value] for name, value in EXPECTED.items()} == {
        name: response.headers.get_list(name) for name in EXPECTED
    }


async def test_error_inside_the_server() -> None:
    """A response to a request that raised has the headers as well."""

    def broken() -> bytes:
        raise RuntimeError

    async with serving(broken) as (client, _):
        response = await client.get("/metrics")

    assert 500 == response.status_code
    assert EXPECTED == {name: response.headers[name] for name in EXPECTED}


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET", b"400"), ("GET / HTTP/1.1\r\n" + "a: b\r\n" * 200 + "c: d", b"431")],
    ids=["malformed", "many-headers"],
)
async def test_rejected_requests(request_line: str, status: bytes) -> None:
    """Responses to requests that are rejected before routing have the headers as well."""
    async with serving(b"") as (client, _):
        reader, writer = await connect(client, request_line)
        response = await reader.read()
        await close(writer)
    head = response.lower().decode().split("\r\n\r\n")[0].split("\r\n")

    assert status == response.split()[1]
    assert {f"{name}: {value}" for name, value in EXPECTED.items()} <= set(head)


HOST = "exporter.example:9876"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": f"HTTPS://{HOST.upper()}"}, 200),
        ({"Origin": "https://desk.example", "Host": "desk.example"}, 200),
        ({"Origin": "https://desk.example", "Host": "desk.example:443"}, 200),
        ({"Origin": "http://[::1]:9876", "Host": "[::1]:9876"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "Cross-Site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://exporter.example"}, 403),
        ({"Origin": "http://exporter.example:1"}, 403),
        ({"Origin": f"http://{HOST}.evil.example"}, 403),
        ({"Origin": f"http://{HOST}@evil.example"}, 403),
        ({"Origin": "http://exporter.example:x"}, 403),
        ({"Origin": f"ftp://{HOST}"}, 403),
        ({"Origin": "https://desk.example", "Host": ""}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_cross_site_reload(headers: dict[str, str], status: int, method: str) -> None:
    """A reload that another site makes a browser send is rejected with the reason; others are accepted."""
    reloads = []

    async def reload() -> str:
        reloads.append(1)
        return ""

    async with serving(b"", reload=reload) as (client, _):
        response = await client.request(method, "/-/reload", headers={"Host": HOST, **headers})

    assert status == response.status_code
    assert (status == 200) is bool(reloads)
    assert (status == 403) is response.text.startswith("cross-site request rejected: ")
