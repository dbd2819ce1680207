"""Files for --config.file: those of tests/data/config/exporter, good ones and bad ones with their errors."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from support.config_files import API_KEY, SECRET_KEY, leaks
from support.example_files import check, check_bad, place
from support.paths import DATA

if TYPE_CHECKING:
    from pathlib import Path

FILES = DATA / "config" / "exporter"
GOOD = sorted(path.name for path in (FILES / "good").iterdir())
BAD = sorted(path.name for path in (FILES / "bad").iterdir())
PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every key and oddity that the files of tests/data/config/exporter name."""
    folder = tmp_path_factory.mktemp("keys")
    pkcs8, ed25519 = PrivateFormat.PKCS8, Ed25519PrivateKey.generate()
    weak = generate_rsa(65537, 1024)  # noqa: S505 - so weak that Binance refuses it
    contents = {
        "api.key": API_KEY.encode(),
        "other.key": API_KEY[::-1].encode(),
        "secret.key": SECRET_KEY.encode(),
        "two-words.key": f"{API_KEY} {API_KEY}".encode(),
        "two-lines.key": f"{SECRET_KEY}\n{SECRET_KEY}".encode(),
        "not-ascii.key": "größe".encode(),
        "empty.key": b"",
        "blank.key": b" \r\n",
        "binary.key": b"\xff\xfe",
        "large.key": b"x" * (64 * 1024 + 1),
        "ed25519.pem": ed25519.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "locked.pem": ed25519.private_bytes(Encoding.PEM, pkcs8, BestAvailableEncryption(PASSPHRASE)),
        "rsa.pem": generate_rsa(65537, 2048).private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "weak.pem": weak.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "ec.pem": generate_ec(SECP256R1()).private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "base64.pem": base64.b64encode(ed25519.private_bytes(Encoding.PEM, pkcs8, NoEncryption())),
        "broken.pem": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "pass": PASSPHRASE,
    }
    for file, content in contents.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
    (folder / "folder").mkdir()
    (folder / "loop.key").symlink_to("loop.key")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("name", GOOD)
def test_good_file(name: str, material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good file passes --config.check without any output on standard error."""
    path = place(FILES / "good" / name, material / "exporter.yml")

    assert (0, "") == check(capsys, f"--config.file={path}")


@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str, material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad file is rejected with exactly the errors in its comments, and no error repeats a secret."""
    path = place(FILES / "bad" / name, material / "exporter.yml")
    output = check_bad(capsys, FILES / "bad" / name, path, f"--config.file={path}")
    pems = "".join((material / key).read_text() for key in ("ed25519.pem", "locked.pem", "ec.pem", "weak.pem"))
    secrets = [line for line in pems.splitlines() if not line.startswith("-----")]

    assert set() == leaks(output, [API_KEY, SECRET_KEY, PASSPHRASE.decode(), *secrets])
    assert "hunter2" not in output
