"""Proxies, and certificates of servers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
from base64 import b64encode
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from websockets.asyncio.server import ServerConnection

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    Behaviour = Callable[[ServerConnection], Awaitable[None]]


PROXY_USER = "desk:hunter2"


async def close_stream(writer: asyncio.StreamWriter) -> None:
    """Close a stream, also a broken one."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def listen(handler: Handler) -> AsyncIterator[int]:
    """Serve TCP on a free port, until all clients have left."""
    handled: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        await close_stream(writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.append(asyncio.create_task(handle(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*handled)


def certificate(folder: Path, name: str, days: int = 1) -> ssl.SSLContext:
    """Return a context with a new certificate for a host name or IP address, expired if `days` is negative."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    file = folder / "server.pem"
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(plain + signed.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


class Proxy:
    """An HTTP and SOCKS5 proxy; `targets` are the hosts and ports it connected to."""

    def __init__(self, refusal: bytes = b"", socks_reply: int = 0) -> None:
        self.targets: list[tuple[str, int]] = []
        self._refusal, self._socks_reply = refusal, socks_reply

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve CONNECT to clients with the password."""
        head = await reader.readuntil(b"\r\n\r\n")
        if self._refusal:
            writer.write(self._refusal)
        elif f"Proxy-Authorization: Basic {b64encode(PROXY_USER.encode()).decode()}\r\n" in head.decode():
            host, _, port = head.split()[1].decode().partition(":")
            await self._connect(host, int(port), b"HTTP/1.1 200 Connected\r\n\r\n", reader, writer)

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve SOCKS5 to clients with the password (RFC 1928, RFC 1929)."""
        _, methods = await reader.readexactly(2)
        if 2 not in await reader.readexactly(methods):
            writer.write(b"\x05\xff")
            return
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        user = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        if user + b":" + password != PROXY_USER.encode():
            writer.write(b"\x01\x01")
            return
        writer.write(b"\x01\x00")
        if self._socks_reply:
            await reader.readexactly(10)
            writer.write(bytes([5, self._socks_reply, 0, 1]) + bytes(6))
        else:
            await reader.readexactly(4)
            host = str(ipaddress.IPv4Address(await reader.readexactly(4)))
            port = int.from_bytes(await reader.readexactly(2))
            await self._connect(host, port, b"\x05\x00\x00\x01" + bytes(6), reader, writer)

    async def _connect(
        self, host: str, port: int, answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.targets.append((host, port))
        far_reader, far_writer = await asyncio.open_connection(host, port)
        writer.write(answer)
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        await close_stream(writer)
