"""The scrape server over TLS: what is agreed on, and whose certificates are taken."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme
from builders import DEADLINE_SECONDS, LOCAL, close
from test_prometheus import needs

from exporter.metrics.body import Body
from exporter.metrics.collector import SlowWay
from exporter.web.config import load
from exporter.web.live import LiveWebConfig
from exporter.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

BODY = b"metric 1.0\n"
REQUIRED = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients.crt"
SERVED = "HTTP/1.1 200 OK"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"


# Who signs the server's certificates, and who those of the clients that it trusts.
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
    """Put server.crt, server.key and clients.crt into a folder, and ca.crt for those who ask the server."""
    write_identity(folder, "localhost", "127.0.0.1")
    AUTHORITY.cert_pem.write_to_path(str(folder / "ca.crt"))
    CLIENTS.cert_pem.write_to_path(str(folder / "clients.crt"))
    return folder


@contextlib.asynccontextmanager
async def guarded(folder: Path, document: str, body: bytes = BODY) -> AsyncIterator[tuple[str, LiveWebConfig]]:
    """Serve with a web configuration that is looked at again all the time; yield the URL."""
    (folder / "web.yml").write_text(document)
    live = LiveWebConfig(load(folder / "web.yml"), every_seconds=0.02)
    page = "<!doctype html>"
    server = WebServer((LOCAL,), "/metrics", lambda: Body([body]), SlowWay([]), lambda: ["main"], lambda: page, live)
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
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def client_of(folder: Path) -> ssl.SSLContext:
    """Make a client's context that trusts the server's CA and agrees to any cipher."""
    return ssl.create_default_context(cafile=folder / "ca.crt")


class Answer(NamedTuple):
    """What came of a scrape: the first line, and the terms of the connection."""

    line: str
    version: str | None = None
    cipher: str = ""
    last_name: str = ""  # of the server's certificate


REFUSED = Answer("refused")


async def ask(url: str, context: ssl.SSLContext) -> Answer:
    """Scrape over a connection of our own."""
    port = int(url.rpartition(":")[2])
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        return REFUSED
    agreed = writer.get_extra_info("ssl_object")
    terms = agreed.version(), agreed.cipher()[0], agreed.getpeercert()["subjectAltName"][-1][1]
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        # By TLS 1.3 a client learns only now that its certificate was not taken.
        line = await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)
        return Answer(line.decode().strip(), *terms) if line else REFUSED
    except (ssl.SSLError, ConnectionError):
        return REFUSED
    finally:
        await close(writer)


async def until_answer(url: str, context: ssl.SSLContext, right: Callable[[Answer], bool]) -> None:
    """Scrape until the answer is right."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not right(await ask(url, context)):
            pass


async def test_curl_over_tls(tmp_path: Path) -> None:
    """Those who trust the certificate get the metrics, those who do not and those without TLS get nothing."""
    folder = prepared(tmp_path)
    async with guarded(folder, f"{TLS}}}") as (url, _):
        port = url.rpartition(":")[2]
        trusting = await curl("--cacert", folder / "ca.crt", f"https://localhost:{port}/metrics")
        doubting = await curl("--cacert", folder / "clients.crt", f"https://localhost:{port}/metrics")
        in_clear = await curl(f"http://localhost:{port}/metrics")

    assert f"https://127.0.0.1:{port}" == url
    assert (0, BODY.decode()) == trusting
    assert 60 == doubting[0]
    assert in_clear[0] in {52, 56}  # nothing came back, or the connection was reset
    assert "metric" not in in_clear[1]


async def test_inline_certificate(tmp_path: Path) -> None:
    """A certificate and key in the document itself are served like those of files."""
    folder = prepared(tmp_path)
    inline = {name: (folder / f"server.{name}").read_text().replace("\n", "\n    ") for name in ("crt", "key")}
    document = f"tls_server_config:\n  cert: |\n    {inline['crt']}\n  key: |\n    {inline['key']}\n"
    async with guarded(folder, document) as (url, _):
        answer = await ask(url, client_of(folder))

    assert SERVED == answer.line


@pytest.mark.parametrize(
    ("settings", "most_of_client", "agreed"),
    [
        ("", "TLSv1_3", "TLSv1.3"),
        ("", "TLSv1_2", "TLSv1.2"),
        (", min_version: TLS13", "TLSv1_3", "TLSv1.3"),
        (", min_version: TLS13", "TLSv1_2", None),
        (", max_version: TLS12", "TLSv1_3", "TLSv1.2"),
    ],
)
async def test_versions(tmp_path: Path, settings: str, most_of_client: str, agreed: str | None) -> None:
    """The version is the highest that both sides allow; without one there is no connection."""
    folder = prepared(tmp_path)
    context = client_of(folder)
    context.maximum_version = ssl.TLSVersion[most_of_client]
    async with guarded(folder, f"{TLS}{settings}}}") as (url, _):
        answer = await ask(url, context)

    assert agreed == answer.version


@pytest.mark.parametrize(
    ("settings", "agreed"),
    [
        ("", "AES256-GCM"),
        (", prefer_server_cipher_suites: false", "AES128-GCM"),
        (", cipher_suites: [TLS_ECDHE_%_WITH_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384]", "AES128-GCM"),
        (", cipher_suites: [TLS_ECDHE_%_WITH_AES_256_CBC_SHA]", ""),
    ],
)
async def test_ciphers(tmp_path: Path, settings: str, agreed: str) -> None:
    """The suite is the server's choice, or the client's where that is to be preferred, among those listed."""
    folder = prepared(tmp_path)
    context = client_of(folder)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM+AES128:ECDHE+AESGCM+AES256")
    kind = "ECDSA" if b"EC PRIVATE" in (folder / "server.key").read_bytes() else "RSA"
    async with guarded(folder, f"{TLS}{settings}}}".replace("%", kind)) as (url, _):
        answer = await ask(url, context)

    assert agreed in answer.cipher
    assert bool(agreed) == (answer != REFUSED)


@pytest.mark.parametrize(("curve", "agreed"), [("CurveP384", SERVED), ("CurveP256", REFUSED.line)])
async def test_curves(tmp_path: Path, curve: str, agreed: str) -> None:
    """Nothing but the curve that was chosen is agreed on."""
    folder = prepared(tmp_path)
    context = client_of(folder)
    context.set_ecdh_curve("secp384r1")
    async with guarded(folder, f"{TLS}, curve_preferences: [{curve}]}}") as (url, _):
        answer = await ask(url, context)

    assert agreed == answer.line


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("client_auth_type: NoClientCert", {"none", "good", "strange"}),
        ("client_auth_type: VerifyClientCertIfGiven, client_ca_file: clients.crt", {"none", "good"}),
        (REQUIRED, {"good"}),
        (
            f"{REQUIRED}, client_allowed_sans: [other.example, '2001:db8::1']",
            {"good"},
        ),
        (
            f"{REQUIRED}, client_allowed_sans: [prometheus.example, other.example]",
            {"good"},
        ),
        (
            f"{REQUIRED}, client_allowed_sans: [other.example]",
            set(),
        ),
    ],
    ids=["none", "if given", "required", "address", "name", "another name"],
)
async def test_client_certificates(tmp_path: Path, policy: str, served: set[str], version: str) -> None:
    """Clients are served if their certificate, or that they have none, is what the policy wants."""
    folder = prepared(tmp_path)
    shown = {
        "none": None,
        "good": CLIENTS.issue_cert("prometheus.example", "2001:db8::1"),
        "strange": trustme.CA().issue_cert("prometheus.example"),
    }
    answers = {}
    async with guarded(folder, f"{TLS}, {policy}}}") as (url, _):
        for name, certificate in shown.items():
            context = client_of(folder)
            context.maximum_version = ssl.TLSVersion[version]
            if certificate:
                certificate.configure_cert(context)
            answers[name] = await ask(url, context)

    assert served == {name for name, answer in answers.items() if answer != REFUSED}


async def test_stops_while_a_handshake_hangs(tmp_path: Path) -> None:
    """A client that connects and says nothing does not hold the server up."""
    folder = prepared(tmp_path)
    async with guarded(folder, f"{TLS}}}") as (url, _):
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    await close(writer)


async def test_large_body_over_tls(tmp_path: Path) -> None:
    """A body of many records arrives whole."""
    folder = prepared(tmp_path)
    body = b"".join(b"metric_%d 1.0\n" % i for i in range(200_000))
    async with guarded(folder, f"{TLS}}}", body) as (url, _):
        code, _ = await curl("--cacert", folder / "ca.crt", "-o", folder / "got", f"{url}/metrics")

    assert 0 == code
    assert body == (folder / "got").read_bytes()
