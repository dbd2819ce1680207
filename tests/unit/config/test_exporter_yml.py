"""Files for --config.file: those of data/config/exporter, each good, or bad with the faults of its first lines."""

from __future__ import annotations

import json
import os
import re
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
from support.paths import DATA

from exporter.cli import run

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
        "empty.key": b"\n",
        "binary.key": b"\xff\xfe",
        "large.key": b"x" * (64 * 1024 + 1),
        "ed25519.pem": ed25519.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "locked.pem": ed25519.private_bytes(Encoding.PEM, pkcs8, BestAvailableEncryption(PASSPHRASE)),
        "rsa.pem": generate_rsa(65537, 2048).private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "weak.pem": weak.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "ec.pem": generate_ec(SECP256R1()).private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "broken.pem": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "pass": PASSPHRASE,
    }
    for file, content in contents.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    return folder


def placed(file: Path, material: Path) -> Path:
    """Put a file beside the keys, @name@ replaced by the content of that key as YAML."""
    text = re.sub(r"@(\S+)@", lambda name: json.dumps((material / name[1]).read_text()), file.read_text("utf-8"))
    path = material / "exporter.yml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", GOOD)
def test_good_file(name: str, material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good file passes --config.check without a word about it."""
    code = run([f"--config.file={placed(FILES / 'good' / name, material)}", "--config.check"])
    said = capsys.readouterr()

    assert (0, "") == (code, said.err)


@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str, material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rule that a file breaks is a fault with its path and what is allowed, as its first lines say."""
    file = FILES / "bad" / name
    path = placed(file, material)
    expected = [line[2:] for line in file.read_text("utf-8").splitlines() if line.startswith("# ")]
    code = run([f"--config.file={path}", "--config.check"])
    said = capsys.readouterr().err
    first, *faults = said.splitlines()
    pems = "".join((material / key).read_text() for key in ("ed25519.pem", "locked.pem", "ec.pem", "weak.pem"))
    secrets = [line for line in pems.splitlines() if not line.startswith("-----")]

    assert 2 == code
    assert "binance-futures-exporter: the configuration cannot be used:" == first
    assert len(expected) == len(faults), said
    for words, fault in zip(expected, faults, strict=True):
        begin, more, _ = f"{path}: {words}".partition("…")
        assert fault.startswith(begin) if more else begin == fault
    assert set() == leaks(said, [API_KEY, SECRET_KEY, PASSPHRASE.decode(), *secrets])
    assert "hunter2" not in said
