"""A TLS server in front of an exchange, with valid and invalid certificates to choose from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock
from urllib.parse import urlsplit

from support.proxies import certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TlsFront:
    """Terminates TLS in front of an exchange, with a choice of certificates, of which only `good` is valid."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        trusted = b""
        for name, host, days in (("good", "127.0.0.1", 1), ("other", "exchange.test", 1), ("expired", "127.0.0.1", -1)):
            (self.folder / name).mkdir()
            certificate(self.folder / name, host, days)
            trusted += (self.folder / name / "server.pem").read_bytes()
        (self.folder / "unknown").mkdir()
        certificate(self.folder / "unknown", "127.0.0.1")
        (self.folder / "trusted.pem").write_bytes(trusted)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.choose("good")

    def choose(self, name: str) -> None:
        """Select the certificate of new connections."""
        self.context.load_cert_chain(self.folder / name / "server.pem")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; yield the URL."""
        environment = {"SSL_CERT_FILE": str(self.folder / "trusted.pem")}
        with self._stack, mock.patch.dict(os.environ, environment):
            async with await asyncio.start_server(self._pipe, "127.0.0.1", 0, ssl=self.context) as server:
                port = server.sockets[0].getsockname()[1]
                yield f"wss://127.0.0.1:{port}{self._target.path}"

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, up = await asyncio.open_connection(self._target.hostname, self._target.port)
        await asyncio.gather(_copy(reader, up), _copy(upstream, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
