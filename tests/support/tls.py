"""Scrape servers with TLS, and their clients."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, NamedTuple

import trustme

from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.config import load
from exporter.web.server import WebServer
from exporter.web.watcher import WebConfigWatcher
from support.builders import LOCAL, close
from support.tools import needs
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from exporter.web.limits import Limits


BODY = b"metric 1.0\n"


REQUIRED = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients.crt"


SERVED = "HTTP/1.1 200 OK"


TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"


# The CA of the server's certificates, and that of the clients it trusts.
AUTHORITY, CLIENTS = trustme.CA(), trustme.CA()


def write_identity(folder: Path, *names: str) -> None:
    """Write a new certificate and its key, each in one step."""
    issued = AUTHORITY.issue_cert(*names)
    contents = {"server.crt": issued.cert_chain_pems[0].bytes(), "server.key": issued.private_key_pem.bytes()}
    for name, content in contents.items():
        (folder / "new").write_bytes(content)
        (folder / "new").chmod(0o600)
        (folder / "new").replace(folder / name)


def prepared(folder: Path) -> Path:
    """Put server.crt, server.key and clients.crt into a folder, and ca.crt for clients."""
    write_identity(folder, "localhost", "127.0.0.1")
    AUTHORITY.cert_pem.write_to_path(str(folder / "ca.crt"))
    CLIENTS.cert_pem.write_to_path(str(folder / "clients.crt"))
    return folder


@contextlib.asynccontextmanager
async def guarded(
    folder: Path, document: str, body: bytes = BODY, limits: Limits | None = None
) -> AsyncIterator[tuple[str, WebConfigWatcher]]:
    """Serve with a web configuration that is reread all the time; yield the URL and its watcher."""
    (folder / "web.yml").write_text(document)
    live = WebConfigWatcher(load(folder / "web.yml"), every_seconds=0.02)
    page = "<!doctype html>"
    server = WebServer(
        (LOCAL,),
        "/metrics",
        lambda: ChunkedBody([body]),
        OpenMetricsExposition(list),
        lambda: 1,
        lambda: page,
        live,
        limits=limits,
    )
    (url,) = server.bind()
    tasks = [asyncio.create_task(server.run()), asyncio.create_task(live.run())]
    try:
        yield url, live
    finally:
        server.stop()
        tasks[1].cancel()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await tasks[0]
            await asyncio.gather(tasks[1], return_exceptions=True)


async def curl(*arguments: str | Path) -> tuple[int | None, str]:
    """Run curl; return its exit code and what it printed."""
    needs("curl")
    process = await asyncio.create_subprocess_exec(
        "curl", "-q", "-sS", "--noproxy", "*", *arguments, stdout=asyncio.subprocess.PIPE, stderr=-2
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def client_of(folder: Path) -> ssl.SSLContext:
    """Return a client's context that trusts the server's CA and accepts any cipher."""
    return ssl.create_default_context(cafile=folder / "ca.crt")


class Answer(NamedTuple):
    """The result of a scrape: the first line, and the parameters of the TLS connection."""

    line: str
    version: str | None = None
    cipher: str = ""
    last_name: str = ""  # of the server's certificate


REFUSED = Answer("refused")


async def ask(url: str, context: ssl.SSLContext) -> Answer:
    """Scrape over a new connection."""
    port = int(url.rpartition(":")[2])
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        return REFUSED
    agreed = writer.get_extra_info("ssl_object")
    terms = agreed.version(), agreed.cipher()[0], agreed.getpeercert()["subjectAltName"][-1][1]
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        # With TLS 1.3 a client learns only now that its certificate was rejected.
        line = await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)
        return Answer(line.decode().strip(), *terms) if line else REFUSED
    except (ssl.SSLError, ConnectionError):
        return REFUSED
    finally:
        await close(writer)


async def until_answer(url: str, context: ssl.SSLContext, right: Callable[[Answer], bool]) -> None:
    """Scrape until the answer is as wanted."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not right(await ask(url, context)):
            pass
