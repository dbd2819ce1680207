"""Key files: what is read from them, when they are loaded again, and their warnings."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from support.config_files import API_KEY, HMAC, SECRET_KEY, leaks, pem

from exporter import redaction
from exporter.config.document import ConfigError
from exporter.config.exporter_yml import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.config_folder import Folder


@pytest.mark.parametrize("content", [f"{API_KEY}\n", f"\ufeff{API_KEY}\r\n", f"  {API_KEY}  \n\n"])
def test_surrounding_whitespace_is_not_part_of_a_key(folder: Folder, content: str) -> None:
    """Line ends, spaces and a BOM around a key are dropped."""
    folder.write("api.key", content)

    (account,) = folder.load(f"accounts: [{{name: a, {HMAC}}}]").accounts
    assert account.credentials.api_key.reveal() == API_KEY


def test_keys_are_hidden_from_the_log_once_read(folder: Folder) -> None:
    """The content of a key file is redacted once it has been read."""
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
    """A passphrase that no longer fits an unchanged private key is an error, as at the start."""
    folder.write("locked.pem", pem(b"sesame open"))
    folder.write("pass", "sesame open")
    keys = "api_key_file: api.key, private_key_file: locked.pem, private_key_passphrase_file: pass"
    path = folder.write("exporter.yml", f"accounts: [{{name: a, {keys}}}]")
    first = load(path, {})
    folder.write("pass", "another")

    with pytest.raises(ConfigError, match=r"locked\.pem cannot be read as a PEM private key with this passphrase"):
        load(path, {}, first)


def test_keys_that_others_may_read_are_a_warning(folder: Folder) -> None:
    """A key file that every user may read is used, with a warning that names the remedy."""
    folder.write("api.key", API_KEY, mode=0o640)
    folder.write("secret.key", SECRET_KEY, mode=0o644)

    config = folder.load(f"accounts: [{{name: a, {HMAC}}}]")
    assert folder.shorten(config.warnings) == [
        "accounts[0].secret_key_file: secret.key is readable by other users; run: chmod 600 secret.key"
    ]


def test_one_key_for_two_accounts_is_a_warning(folder: Folder) -> None:
    """The same API key twice on one endpoint is a warning, on two endpoints it is not."""
    config = folder.load(f"""
        accounts:
          - {{name: a, {HMAC}}}
          - {{name: b, {HMAC}}}
          - {{name: c, {HMAC}, binance: {{endpoint: testnet}}}}
    """)

    (warning,) = folder.shorten(config.warnings)
    assert warning.startswith("accounts[1].api_key_file: is the same API key on mainnet as at ")
    assert "accounts[0].api_key_file; both accounts will show the same data" in warning


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MISTAKES = [
    (f'"{API_KEY}"', "is quoted"),
    (f"'{API_KEY}'", "is quoted"),
    (f"{API_KEY}`", "is quoted"),
    ("<api-key>", "is a <placeholder>"),
    (f"<{API_KEY}>", "is a <placeholder>"),
    ("${BINANCE_SECRET_KEY}", "is a variable"),
    ("$BINANCE_SECRET_KEY", "is a variable"),
    ("%BINANCE_SECRET_KEY%", "is a variable"),
    ("{{api_key}}", "is a variable"),
    (f"BINANCE_SECRET_KEY={API_KEY}", "a name precedes the key"),
    (f"apiKey:{API_KEY}", "a name precedes the key"),
    (_encoded(API_KEY), "this is base64-encoded text"),
    (_encoded(f"{API_KEY}\n").rstrip("="), "this is base64-encoded text"),
    (base64.urlsafe_b64encode(API_KEY.encode()).decode(), "this is base64-encoded text"),
    ("/run/secrets/api.key", "may be a file path"),
    (API_KEY[:-1], "does not look like a Binance key"),
    (f"{API_KEY}{API_KEY}", "does not look like a Binance key"),
    ("YOUR_API_KEY", "does not look like a Binance key"),
    (f"{API_KEY[:-1]}-", "does not look like a Binance key"),
]


@pytest.mark.parametrize(("text", "warning"), MISTAKES)
@pytest.mark.parametrize("key", ["api_key", "secret_key"])
def test_text_that_cannot_be_a_key_is_a_warning_without_the_value(
    folder: Folder, key: str, text: str, warning: str
) -> None:
    """A text that cannot be a key is a warning with its place, a file or a variable, and is not shown."""
    folder.write(f"{key.removesuffix('_key')}.key", text)

    (in_file,) = folder.shorten(folder.load(f"accounts: [{{name: a, {HMAC}}}]").warnings)
    (in_variable,) = load(
        None, {"BINANCE_API_KEY": API_KEY, "BINANCE_SECRET_KEY": SECRET_KEY, f"BINANCE_{key.upper()}": text}
    ).warnings

    assert in_file.startswith(f"accounts[0].{key}_file: ")
    assert in_variable.startswith(f"BINANCE_{key.upper()}: ")
    assert warning in in_file
    assert warning in in_variable
    assert not leaks(in_file + in_variable, [API_KEY, _encoded(API_KEY)])


def test_key_after_a_name_is_hidden(folder: Folder) -> None:
    """A key of fewer than 16 characters after a name is hidden like one that stands alone; the name is not."""
    folder.write("api.key", "BINANCE_SECRET_KEY=short-secret")
    folder.load(f"accounts: [{{name: a, {HMAC}}}]")

    assert redaction.redact("BINANCE_SECRET_KEY short-secret") == "BINANCE_SECRET_KEY [redacted]"


def test_two_keys_in_one_place_are_hidden(folder: Folder) -> None:
    """Two keys with a colon between them are both hidden."""
    folder.write("api.key", f"{API_KEY}:{SECRET_KEY}")
    folder.load(f"accounts: [{{name: a, {HMAC}}}]")

    assert not leaks(redaction.redact(f"{API_KEY[:30]} {SECRET_KEY[:30]}"), [API_KEY, SECRET_KEY])


@pytest.mark.parametrize("passphrase", ["correct_one:battery", "HORSE_BATTERY_STAPLE"])
def test_passphrase_is_hidden_whole(folder: Folder, passphrase: str) -> None:
    """A passphrase that looks like a name, or like a name and a value, is hidden, too."""
    folder.write("a.pem", pem(passphrase.encode()))
    folder.write("pass", passphrase)
    keys = "api_key_file: api.key, private_key_file: a.pem, private_key_passphrase_file: pass"
    folder.load(f"accounts: [{{name: a, {keys}}}]")

    assert "[redacted]" == redaction.redact(passphrase)


def test_keys_of_every_kind_give_no_warning(folder: Folder) -> None:
    """Keys as Binance and its testnet issue them, in letters and digits or hexadecimal, give no warning."""
    for text in (API_KEY, "0123456789abcdef" * 4):
        folder.write("api.key", text)

        assert folder.load(f"accounts: [{{name: a, {HMAC}}}]").warnings == ()


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("\n", "\\r\\n"),
        lambda text: text.replace("\n", "\\\\n"),
        lambda text: '"' + text.replace("\n", "\\n") + '"',
        lambda text: text.strip().replace("\n", " "),
        lambda text: text.replace("\n", ""),
        lambda text: text.replace("\n", "\n    "),
        lambda text: f"'{text}'",
    ],
)
@pytest.mark.parametrize("passphrase", [None, b"passphrase"])
def test_pem_without_its_line_breaks_is_accepted(
    folder: Folder, mangle: Callable[[str], str], passphrase: bytes
) -> None:
    """A PEM signs the same with escaped, replaced or lost line breaks, with indents and in quotes."""
    content = pem(passphrase).decode()
    folder.write("pass", "passphrase")
    keys = "api_key_file: api.key, private_key_file: a.pem"
    if passphrase:
        keys += ", private_key_passphrase_file: pass"
    signatures = set()
    for text in (content, mangle(content)):
        folder.write("a.pem", text)
        (account,) = folder.load(f"accounts: [{{name: a, {keys}}}]").accounts
        signatures.add(account.credentials.sign({"timestamp": 1}))

    assert len(signatures) == 1
