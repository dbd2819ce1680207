"""A client of the simulated exchange."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from exporter.simulator import Market, SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from support.clocks import Clock


class Client:
    """One connection with one request at a time."""

    def __init__(self, connection: ClientConnection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        self._ids = itertools.count(1)

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request as it is, and return its answer."""
        request = {"id": next(self._ids), "method": method, "params": params or {}}
        return await self.ask_raw(json.dumps(request))

    async def ask_raw(self, frame: str | bytes) -> dict[str, Any]:
        """Send a frame as it is, and return the next answer."""
        await self.connection.send(frame)
        return cast("dict[str, Any]", json.loads(await self.connection.recv()))

    async def signed(self, account: SimulatedAccount, method: str, **params: Any) -> dict[str, Any]:
        """Send a signed request, and return its answer."""
        return await self.ask(method, sign(account, self._clock, **params))

    async def result(self, account: SimulatedAccount, method: str, **params: Any) -> Any:
        """Send a signed request that must succeed, and return its result."""
        answer = await self.signed(account, method, **params)
        assert answer["status"] == 200, answer
        return answer["result"]


@asynccontextmanager
async def client_of(exchange: SimulatedExchange, clock: Clock, query: str = "") -> AsyncIterator[Client]:
    """Connect to an exchange."""
    async with connect(exchange.url + query) as connection:
        yield Client(connection, clock)


@asynccontextmanager
async def exchange_of(
    *accounts: SimulatedAccount, clock: Clock, **options: Any
) -> AsyncIterator[tuple[SimulatedExchange, Client]]:
    """Start an exchange and connect to it."""
    async with SimulatedExchange(accounts, clock=clock, **options) as exchange, client_of(exchange, clock) as client:
        yield exchange, client


async def refusal_of(exchange: SimulatedExchange, path: str = "") -> InvalidStatus:
    """Return how the exchange rejects a connection."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(exchange.url + path):
            pass
    return caught.value


def sign(account: SimulatedAccount, clock: Clock, **params: Any) -> dict[str, Any]:
    """Return parameters with what Binance requires of a signed request; given ones stay as they are."""
    params = {"apiKey": account.api_key, "timestamp": clock.now_ms} | params
    payload = "&".join(
        f"{name}={json.dumps(value) if isinstance(value, bool) else value}" for name, value in sorted(params.items())
    )
    return params | {"signature": signature_of(account, payload)}


def sign_query(account: SimulatedAccount, clock: Clock, **params: Any) -> str:
    """Return a signed REST query; given parameters stay as they are."""
    query = urlencode({"timestamp": clock.now_ms} | params)
    return f"{query}&signature={quote(signature_of(account, query), safe='')}"


def signature_of(account: SimulatedAccount, text: str) -> str:
    """Return an account's signature of a text: hexadecimal or base64."""
    payload = text.encode()
    if account.secret_key is not None:
        return hmac.new(account.secret_key.encode(), payload, hashlib.sha256).hexdigest()
    assert account.private_key_pem is not None
    key = _private_key(account.private_key_pem)
    if isinstance(key, rsa.RSAPrivateKey):
        raw = key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        raw = key.sign(payload)
    return base64.b64encode(raw).decode()


@cache  # loading an RSA key takes longer than signing
def _private_key(pem: str) -> PrivateKeyTypes:
    return serialization.load_pem_private_key(pem.encode(), password=None)


def funded_account(**options: Any) -> SimulatedAccount:
    """Return an account with money and a market whose prices tests can pin."""
    account = SimulatedAccount("funded_account", seed=1, **options)
    account.market = Market(7)
    account.move_to(0.0, 1_700_000_000_000)
    account.deposit("USDT", "100000")
    account.deposit("USDC", "5000.12345678")
    return account


def money(row: dict[str, str], *names: str) -> str:
    """Return the sum of fields as the exchange writes it."""
    return f"{sum(Decimal(row[name]) for name in names):.8f}"


def port_of(exchange: SimulatedExchange) -> int:
    """Return the port of an exchange."""
    return int(exchange.url.split(":")[2].split("/")[0])
