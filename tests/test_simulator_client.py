"""The client that the simulated exchange's tests talk with, and the signatures Binance published."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from exporter.simulator import Key, SimulatedAccount, SimulatedExchange
from exporter.simulator.gate import signed_payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIPQmzwVKJETqVd7L9E/DFbkvrOigy1tLL+9QF0mSn6dV\n"
    "-----END PRIVATE KEY-----\n"
)


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = 1_700_000_010.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time in seconds."""
        return self.now

    @property
    def now_ms(self) -> int:
        """Tell the time as requests are stamped with it."""
        return int(self.now * 1000)


class Client:
    """One connection, asking one thing at a time."""

    def __init__(self, connection: ClientConnection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        self._ids = itertools.count(1)

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request as it is, and tell its answer."""
        request = {"id": next(self._ids), "method": method, "params": params or {}}
        return await self.ask_raw(json.dumps(request))

    async def ask_raw(self, frame: str | bytes) -> dict[str, Any]:
        """Send a frame as it is, and tell the next answer."""
        await self.connection.send(frame)
        return cast("dict[str, Any]", json.loads(await self.connection.recv()))

    async def signed(self, account: SimulatedAccount, method: str, **params: Any) -> dict[str, Any]:
        """Send a signed request, and tell its answer."""
        return await self.ask(method, sign(account, self._clock, **params))

    async def result(self, account: SimulatedAccount, method: str, **params: Any) -> Any:
        """Send a signed request that must be granted, and tell its result."""
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
    """Fail to connect."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(exchange.url + path):
            pass
    return caught.value


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something has happened on the other side of the socket."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never happened")


def sign(account: SimulatedAccount, clock: Clock, **params: Any) -> dict[str, Any]:
    """Add what Binance demands of a signed request; a parameter that is given stays as it is."""
    params = {"apiKey": account.api_key, "timestamp": clock.now_ms} | params
    payload = "&".join(
        f"{name}={json.dumps(value) if isinstance(value, bool) else value}" for name, value in sorted(params.items())
    ).encode()
    if account.secret_key is not None:
        signature = hmac.new(account.secret_key.encode(), payload, hashlib.sha256).hexdigest()
    else:
        assert account.private_key_pem is not None
        key = serialization.load_pem_private_key(account.private_key_pem.encode(), password=None)
        if isinstance(key, rsa.RSAPrivateKey):
            raw = key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert isinstance(key, ed25519.Ed25519PrivateKey)
            raw = key.sign(payload)
        signature = base64.b64encode(raw).decode()
    return params | {"signature": signature}


ORDER = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01000000",
    "price": "52000.00",
    "recvWindow": 100,
    "timestamp": 1645423376532,
    "apiKey": API_KEY,
    "signature": "left out",
}


@pytest.mark.parametrize(
    ("params", "signature"),
    [
        (ORDER, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
        (
            {"timestamp": 1702620814781, "apiKey": API_KEY},
            "87c4773c371d14a186c4871b0a42301fb4dae5606f93fc6d22b2fda5982a4024",
        ),
        (
            {"timestamp": "1702620814781", "recvWindow": "5000", "apiKey": API_KEY},
            "65d89dd9dbaab3e4290d3f05a68649fd607a1c8af90d8e932f6b01eeaa6af0dd",
        ),
    ],
)
def test_published_hmac_signatures_verify(params: dict[str, Any], signature: str) -> None:
    """HMAC signatures that are known to be right verify, and nothing else does."""
    key = Key("HMAC", API_KEY, secret_key=SECRET)

    assert key.verifies(signed_payload(params), signature)
    assert not key.verifies(signed_payload(params), signature.upper())
    assert not key.verifies(signed_payload(params) + "0", signature)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (
            "price=50000&quantity=1&side=BUY&symbol=BTCUSDT&timestamp=1631234567890&type=LIMIT",
            "a4Pm3p02D2HXtNfo3DBaVCe9Ov7kledewgYtGjekotFmZ5wXa3mC5AtLB7CpAphyNjeyovIuDP+9fyjYmsojCw==",
        ),
        (
            f"apiKey={API_KEY}&timestamp=1702620814781",
            "2Mu8YP1UgYNWRKYAhuTJXuWEOYMN9CNsQgnLd9sEItbSJzmYct74epOgRFUK+48UkZT72SazvQ1091khexmBDw==",
        ),
    ],
)
def test_published_ed25519_signatures_verify(payload: str, signature: str) -> None:
    """Ed25519 signatures that are known to be right verify, and nothing else does."""
    private = serialization.load_pem_private_key(ED25519_PEM.encode(), password=None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    key = Key("Ed25519", API_KEY, private_key_pem=ED25519_PEM, public_key=private.public_key())

    assert key.verifies(payload, signature)
    assert not key.verifies(payload + "0", signature)
    assert not key.verifies(payload, "not base64")
