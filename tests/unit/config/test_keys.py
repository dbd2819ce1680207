"""Key files: what is read from them, when they are loaded again, and their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.config_files import API_KEY, HMAC, SECRET_KEY, pem
from support.config_folder import Folder

from exporter import redaction
from exporter.config import ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with the key files of an HMAC account."""
    return Folder(tmp_path)


@pytest.mark.parametrize("content", [f"{API_KEY}\n", f"\ufeff{API_KEY}\r\n", f"  {API_KEY}  \n\n"])
def test_surrounding_whitespace_is_not_part_of_a_key(folder: Folder, content: str) -> None:
    """Line ends, spaces and a BOM around a key are dropped."""
    folder.write("api.key", content)

    (account,) = folder.load(f"accounts: [{{name: a, {HMAC}}}]").accounts
    assert account.credentials.api_key.reveal() == API_KEY


def test_keys_are_hidden_from_the_log_once_read(folder: Folder) -> None:
    """Whatever is read from a key file is redacted from then on."""
    folder.load(f"accounts: [{{name: a, {HMAC}}}]")

    assert redaction.redact(f"{API_KEY[:20]} {SECRET_KEY[30:50]}") == "[redacted] [redacted]"


def test_unchanged_private_keys_are_reused(folder: Folder) -> None:
    """A private key is not loaded again while its PEM, passphrase and API key stay the same."""
    folder.write("locked.pem", pem(b"passphrase"))
    folder.write("pass", "passphrase")
    keys = "api_key_file: api.key, private_key_file: locked.pem, private_key_passphrase_file: pass"
    path = folder.write("exporter.yml", f"accounts: [{{name: a, {keys}}}, {{name: b, {keys}}}]")
    first = load(path, {})
    second = load(path, {}, first)
    folder.write("api.key", API_KEY[::-1])
    third = load(path, {}, second)
    folder.write("locked.pem", pem(b"passphrase"))
    fourth = load(path, {}, third)
    loaded = [config.accounts[0].credentials for config in (first, second, third, fourth)]

    assert loaded[0] is loaded[1] is first.accounts[1].credentials
    assert API_KEY[::-1] == loaded[2].api_key.reveal()
    assert loaded[2] != loaded[3]
    assert {1} == {len(config.private_keys) for config in (first, second, third, fourth)}


def test_changed_passphrase_is_not_ignored(folder: Folder) -> None:
    """A passphrase that no longer fits an unchanged private key is an error, as at a start."""
    folder.write("locked.pem", pem(b"sesame open"))
    folder.write("pass", "sesame open")
    keys = "api_key_file: api.key, private_key_file: locked.pem, private_key_passphrase_file: pass"
    path = folder.write("exporter.yml", f"accounts: [{{name: a, {keys}}}]")
    first = load(path, {})
    folder.write("pass", "another")

    with pytest.raises(ConfigError, match=r"locked\.pem cannot be read as a PEM private key with this passphrase"):
        load(path, {}, first)


def test_keys_that_others_may_read_are_a_warning(folder: Folder) -> None:
    """A key file that every user may read is usable, with a warning that tells the remedy."""
    folder.write("api.key", API_KEY, mode=0o640)
    folder.write("secret.key", SECRET_KEY, mode=0o644)

    config = folder.load(f"accounts: [{{name: a, {HMAC}}}]")
    assert folder.shorten(config.warnings) == [
        "accounts[0].secret_key_file: others may read secret.key: chmod 600 secret.key"
    ]


def test_one_key_for_two_accounts_is_a_warning(folder: Folder) -> None:
    """The same API key twice on one endpoint is told, on two endpoints it is not."""
    config = folder.load(f"""
        accounts:
          - {{name: a, {HMAC}}}
          - {{name: b, {HMAC}}}
          - {{name: c, {HMAC}, binance: {{endpoint: testnet}}}}
    """)

    (warning,) = folder.shorten(config.warnings)
    assert warning.startswith("accounts[1].api_key_file: is the same key on mainnet as at ")
    assert "accounts[0].api_key_file: both accounts will show the same figures" in warning
