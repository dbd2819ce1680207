"""Accounts with keys of every type, exchanges that record signatures, and proxies that require a password.

Every account is named for a fault, and every secret for its account, so that a leak shows its cause.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64encode
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

import yaml
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.simulator import SimulatedAccount, SimulatedExchange, new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from exporter.simulator import Key, KeyType
    from exporter.simulator.answer_edits import Answer
    from exporter.simulator.auth import Session
    from exporter.simulator.handlers import Answered
    from exporter.simulator.rest import RestRequest

MARK: Final = "echoed:"  # what an echo begins with
PASSPHRASE: Final = "Tr0ub4dor&3 battery staple"
PROXY_USER: Final = "desk"
PROXY_PASSWORD: Final = "hunter2-of-the-desk"
_WITH_RSA: Final = {
    "signature quoted",
    "well 2",
    "rest 2",
    "wrong 2",
    "query",
    "frame as hex",
    "signature alone",
    "signature at the limit",
}


def funded_account(name: str, kind: KeyType = "HMAC") -> SimulatedAccount:
    """Return an account with money and its own API key; there is one private key of each type."""
    account = SimulatedAccount(name)
    account.deposit("USDT", "10000")
    if kind != "HMAC":
        account.key = replace(_pair(kind), api_key=account.api_key)
        account.key_type, account.secret_key = account.key.key_type, None
        account.private_key_pem = account.key.private_key_pem
    return account


@cache
def _pair(key_type: KeyType) -> Key:
    return new_key(key_type)


class Recorder(SimulatedExchange):
    """An exchange that records requests: `last` is the last frame, `signatures` are those of each API key.

    With `echoes_rest`, an error in response to a REST request contains its query and API key.
    """

    def __init__(self, *accounts: SimulatedAccount) -> None:
        super().__init__(accounts, weight_limit=100_000)
        self.last = ""
        self.echoes_rest = False
        self.signatures: defaultdict[str, set[str]] = defaultdict(set)
        answer_request = self._handler.answer

        def answer(message: str | bytes, session: Session, ip: str) -> Answered:
            self.last = str(message)
            params = json.loads(message).get("params", {})
            if params:
                self.signatures[params["apiKey"]].add(params["signature"])
            return answer_request(message, session, ip)

        self._handler.answer = answer  # type: ignore[method-assign]
        respond = self._rest._respond

        def respond_to_rest(request: RestRequest) -> Answer:
            for sent in parse_qs(request.query).get("signature", []):
                self.signatures[request.api_key] |= {sent, quote(sent, safe="")}
            response = respond(request)
            if self.echoes_rest:
                response |= {"status": 400, "body": {"code": -1102, "msg": f"{MARK} {request.query} {request.api_key}"}}
            return response

        self._rest._respond = respond_to_rest  # type: ignore[method-assign]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the last request."""
        params: dict[str, Any] = json.loads(self.last).get("params", {})
        return params


class SecretsSetup:
    """Exchanges, the configuration of their accounts, and all secrets in it."""

    def __init__(self) -> None:
        self.exchanges: list[Recorder] = []
        self.secrets: defaultdict[str, list[str]] = defaultdict(list)
        self._entries: list[dict[str, Any]] = []
        self._files: dict[str, str] = {}

    def add(
        self,
        exchange: Recorder,
        account: SimulatedAccount,
        *,
        proxy: str = "none",
        wrong: bool = False,
        timeout: str = "30s",
        key_check: bool = False,
    ) -> None:
        """Configure an account, if `wrong` with a secret or private key that is not its own."""
        name = account.name
        kind = account.key_type
        key = new_key(kind) if wrong else account.key
        entry: dict[str, Any] = {"name": name, "api_key_file": self._file(name, "key", account.api_key)}
        if key.secret_key is not None:
            entry["secret_key_file"] = self._file(name, "secret", key.secret_key)
        else:
            assert key.private_key_pem is not None
            pem = key.private_key_pem
            if kind == "Ed25519":
                self.secrets[name].append(pem)
                pem = encrypted(pem)
                entry["private_key_passphrase_file"] = self._file(name, "passphrase", PASSPHRASE)
            entry["private_key_file"] = self._file(name, "pem", pem)
        entry["binance"] = {"endpoint": exchange.url, "proxy": proxy, "request_timeout": timeout}
        if key_check:
            entry["binance"]["rest_endpoint"], entry["key_check"] = exchange.rest_url, {"enabled": True}
        self._entries.append(entry)

    def write(self, folder: Path, *, without: Collection[str] = ()) -> Path:
        """Write the configuration, without some accounts, and the key files; return its path."""
        folder.mkdir()
        for name, text in self._files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        path = folder / "exporter.yml"
        entries = [entry for entry in self._entries if entry["name"] not in without]
        path.write_text(yaml.safe_dump({"poll": {"interval": "5s"}, "accounts": entries}))
        return path

    def all_secrets(self) -> dict[str, list[str]]:
        """Return every secret by its account's name, with the signatures sent so far."""
        owners = {account.api_key: name for exchange in self.exchanges for name, account in exchange.accounts.items()}
        secrets = {name: list(texts) for name, texts in self.secrets.items()}
        for exchange in self.exchanges:
            for api_key, signatures in exchange.signatures.items():
                secrets.setdefault(owners[api_key], []).extend(signatures)
        login = f"{PROXY_USER}:{PROXY_PASSWORD}"
        secrets["the proxy"] = [PROXY_PASSWORD, b64encode(login.encode()).decode()]
        return secrets

    def _file(self, name: str, suffix: str, text: str) -> str:
        self.secrets[name].append(text)
        self._files[f"{name}.{suffix}"] = text
        return f"{name}.{suffix}"


def encrypted(pem: str) -> str:
    """Return a private key's PEM encrypted with the passphrase."""
    key = load_pem_private_key(pem.encode(), None)
    protection = BestAvailableEncryption(PASSPHRASE.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()


def kind_of(name: str) -> KeyType:
    """Return the key type of an account; RSA is rare, since it is slow to load."""
    if name in _WITH_RSA:
        return "RSA"
    return "Ed25519" if len(name) % 2 else "HMAC"


@contextlib.asynccontextmanager
async def proxy(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """Run a proxy, and yield its port."""
    open_writers: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        open_writers.discard(writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()
        await server.wait_closed()


async def http_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve CONNECT."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().partition(":")
    await _pass_on(host, int(port), b"HTTP/1.1 200 Connected\r\n\r\n", reader, writer)


async def echoing_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reject CONNECT, with the whole request in status, headers and body of the answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    login = head.split(b"Proxy-Authorization: ")[1].split(b"\r\n")[0]
    answer = b"HTTP/1.1 407 %b\r\nProxy-Authenticate: %b\r\nConnection: close\r\n\r\n%b" % (login, login, head)
    writer.write(answer)
    await writer.drain()


async def socks_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve SOCKS5 to clients that send a user and a password (RFC 1928, RFC 1929)."""
    await _socks_login(reader, writer)
    writer.write(b"\x01\x00")
    await reader.readexactly(4)
    host = ".".join(map(str, await reader.readexactly(4)))
    port = int.from_bytes(await reader.readexactly(2))
    await _pass_on(host, port, b"\x05\x00\x00\x01" + bytes(6), reader, writer)


async def refusing_socks_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reject every password."""
    await _socks_login(reader, writer)
    writer.write(b"\x01\x01")
    await writer.drain()


async def _socks_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly((await reader.readexactly(2))[1])
    writer.write(b"\x05\x02")
    await reader.readexactly((await reader.readexactly(2))[1])
    await reader.readexactly((await reader.readexactly(1))[0])


async def _pass_on(
    host: str, port: int, answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    far_reader, far_writer = await asyncio.open_connection(host, port)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    writer.write(answer)
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
