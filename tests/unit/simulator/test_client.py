"""The client of the simulated exchange's tests, and signatures published by Binance."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from exporter.simulator import Key
from exporter.simulator.auth import signed_payload

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIPQmzwVKJETqVd7L9E/DFbkvrOigy1tLL+9QF0mSn6dV\n"
    "-----END PRIVATE KEY-----\n"
)


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
    """Published HMAC signatures verify, and others do not."""
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
    """Published Ed25519 signatures verify, and others do not."""
    private = serialization.load_pem_private_key(ED25519_PEM.encode(), password=None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    key = Key("Ed25519", API_KEY, private_key_pem=ED25519_PEM, public_key=private.public_key())

    assert key.verifies(payload, signature)
    assert not key.verifies(payload + "0", signature)
    assert not key.verifies(payload, "not base64")
