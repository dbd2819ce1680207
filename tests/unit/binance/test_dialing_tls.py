"""TLS of dials: certificates and host names are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.dials import at, exchange, first_answer, refusal_of
from support.proxies import certificate, listen

from exporter.binance.disconnects import DialFailure
from exporter.binance.errors import DisconnectReason

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path


async def test_trusted_certificate_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that the system trusts, for the configured host, is accepted."""
    tls = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    async with exchange(ssl=tls) as port:
        answer = await first_answer(at(port, "wss"))

    assert "币安" == answer


@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"),
    [
        ("127.0.0.1", 1, False, "self-signed certificate"),
        ("127.0.0.1", -1, True, "certificate has expired"),
        ("203.0.113.7", 1, True, "IP address mismatch, certificate is not valid for '[ip]'."),
        ("exchange.test", 1, True, "IP address mismatch, certificate is not valid for '[ip]'."),
    ],
)
async def test_bad_certificate_is_refused(
    name: str, days: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """A certificate that is untrusted, expired or of another host is rejected with a message without an address."""
    tls = certificate(tmp_path, name, days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    async with exchange(ssl=tls) as port:
        failure = await refusal_of(at(port, "wss"))

    assert DialFailure(DisconnectReason.TLS, f"certificate verification failed: {words}") == failure


async def test_wrong_host_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted certificate of another host name is refused."""
    tls = certificate(tmp_path, "exchange.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    async with exchange(ssl=tls) as port:
        failure = await refusal_of(at(port, "wss", "localhost"))

    assert (DisconnectReason.TLS, True) == (failure.reason, "not valid for 'localhost'" in failure.message)


async def test_server_without_tls_is_reported() -> None:
    """A server without TLS is distinguished from one with a bad certificate."""

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with listen(speak_plainly) as port:
        failure = await refusal_of(at(port, "wss"))

    assert (DisconnectReason.TLS, True) == (failure.reason, failure.message.startswith("TLS handshake failed: "))
