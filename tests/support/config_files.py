"""Configuration and key files for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


MAINNET = "wss://ws-fapi.binance.com/ws-fapi/v1"
TESTNET = "wss://testnet.binancefuture.com/ws-fapi/v1"
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


SECRET_KEY = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


def leaks(text: str, secrets: Iterable[str]) -> set[str]:
    """Return the parts of secrets, 16 characters each, that are in a text."""
    return {part for secret in secrets for i in range(len(secret) - 15) if (part := secret[i : i + 16]) in text}


def key_files(folder: Path, api_key: str = API_KEY, secret_key: str = SECRET_KEY) -> Path:
    """Write the files of an HMAC key, and return the path for a configuration that names them."""
    for name, text in (("main.key", api_key), ("main.secret", secret_key)):
        path = folder / name
        path.write_text(text)
        path.chmod(0o600)
    return folder / "exporter.yml"


HMAC = "api_key_file: api.key, secret_key_file: secret.key"


def pem(passphrase: bytes | None = None) -> bytes:
    """Return a new Ed25519 key as PEM."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
