"""The scrape server over TLS: negotiation, and which client certificates are accepted."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from support.builders import close
from support.tls import (
    BODY,
    CLIENTS,
    REFUSED,
    REQUIRED,
    SERVED,
    TLS,
    ask,
    client_of,
    curl,
    guarded,
    prepared,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_curl_over_tls(tmp_path: Path) -> None:
    """Clients that trust the certificate get the metrics, those that do not and those without TLS get nothing."""
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
    """A certificate and key in the document itself are used like those in files."""
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
    """The version is the highest that both sides allow; without a common one there is no connection."""
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
    """The suite is the server's choice among those listed, or the client's if that is preferred."""
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
    """Only the configured curve is negotiated."""
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
    """Clients are served if their certificate, or its absence, meets the policy."""
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
    """A client that connects and sends nothing does not delay the stop."""
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
