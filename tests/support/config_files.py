"""Configuration and key files as a user writes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from exporter import redaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


SECRET_KEY = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name.startswith("BINANCE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for hidden in ("_hidden_pieces", "_hidden_texts"):
        monkeypatch.setattr(redaction, hidden, set())
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    loggers = [logging.getLogger(name) for name in (None, "websockets", "uvicorn", "uvicorn.error", "uvicorn.access")]
    before = [(logger, logger.level, logger.disabled, logger.handlers[:]) for logger in loggers]
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers_before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handling in handlers_before.items():
        signal.signal(number, handling)
    logging.captureWarnings(capture=False)
    for logger, level, disabled, handlers in before:
        logger.setLevel(level)
        logger.disabled = disabled
        logger.handlers[:] = handlers
    structlog.reset_defaults()


def leaks(text: str, secrets: Iterable[str]) -> set[str]:
    """Return what of any 16 characters of a secret is in a text."""
    return {part for secret in secrets for i in range(len(secret) - 15) if (part := secret[i : i + 16]) in text}


def key_files(folder: Path, api_key: str = API_KEY, secret_key: str = SECRET_KEY) -> Path:
    """Write the files of an HMAC key, and return where the configuration belongs that names them."""
    for name, text in (("main.key", api_key), ("main.secret", secret_key)):
        path = folder / name
        path.write_text(text)
        path.chmod(0o600)
    return folder / "exporter.yml"


HMAC = "api_key_file: api.key, secret_key_file: secret.key"


def pem(passphrase: bytes | None = None) -> bytes:
    """Return a new Ed25519 key."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
