"""One account from environment variables, without a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.config_files import API_KEY, SECRET_KEY, pem

from exporter import redaction
from exporter.config.document import ConfigError
from exporter.config.exporter_yml import load

if TYPE_CHECKING:
    from support.config_folder import Folder


def test_two_variables_are_an_account() -> None:
    """An API key and a secret key in the environment are the account main on mainnet."""
    config = load(None, {"BINANCE_API_KEY": API_KEY, "BINANCE_SECRET_KEY": f"{SECRET_KEY}\n"})

    (account,) = config.accounts
    assert (account.name, account.endpoint.label, account.interval_seconds) == ("main", "mainnet", 15)
    assert account.credentials.identity.reveal() == SECRET_KEY
    assert (config.weight_share, config.warnings) == (0.5, ())
    assert redaction.redact(SECRET_KEY[:20]) == "[redacted]"


def test_every_variable_is_read(folder: Folder) -> None:
    """Key files, passphrase, name and endpoint can be given by variables; empty ones count as unset."""
    folder.write("key.pem", pem(b"passphrase"))
    folder.write("pass", "passphrase")
    config = load(
        None,
        {
            "BINANCE_ACCOUNT": "desk",
            "BINANCE_ENDPOINT": "ws://10.0.0.1:81/x",
            "BINANCE_API_KEY_FILE": str(folder.path / "api.key"),
            "BINANCE_PRIVATE_KEY_FILE": str(folder.path / "key.pem"),
            "BINANCE_PRIVATE_KEY_PASSPHRASE_FILE": str(folder.path / "pass"),
            "BINANCE_API_KEY": "",
            "BINANCE_SECRET_KEY": "",
        },
    )

    (account,) = config.accounts
    assert (account.name, account.endpoint.label) == ("desk", "10.0.0.1:81")
    assert (account.credentials.key_type, account.credentials.api_key.reveal()) == ("ed25519", API_KEY)
    assert [warning.split(":")[0] for warning in config.warnings] == ["BINANCE_ENDPOINT"]


def test_secret_key_may_come_from_a_file(folder: Folder) -> None:
    """The HMAC secret can be given by its file's path."""
    config = load(None, {"BINANCE_API_KEY": API_KEY, "BINANCE_SECRET_KEY_FILE": str(folder.path / "secret.key")})

    assert config.accounts[0].credentials.identity.reveal() == SECRET_KEY


@pytest.mark.parametrize(
    ("environ", "problems"),
    [
        ({"ENDPOINT": "testnet"}, ["BINANCE_API_KEY: is missing", "BINANCE_SECRET_KEY: is missing: set it"]),
        ({"SECRET_KEY": SECRET_KEY}, ["BINANCE_API_KEY: is missing"]),
        (
            {"API_KEY": " ", "SECRET_KEY": "a b"},
            ["BINANCE_API_KEY: must be a single line of", "BINANCE_SECRET_KEY: must be a single line of"],
        ),
        (
            {"API_KEY": API_KEY, "SECRET_KEY": "-----BEGIN PRIVATE KEY-----"},
            ["BINANCE_SECRET_KEY: must not be a PEM; set BINANCE_PRIVATE_KEY_FILE for a private key"],
        ),
        (
            {"API_KEY": API_KEY, "API_KEY_FILE": "x", "SECRET_KEY": SECRET_KEY},
            ["BINANCE_API_KEY_FILE: must not be set together with BINANCE_API_KEY"],
        ),
        (
            {"API_KEY": API_KEY, "SECRET_KEY": SECRET_KEY, "ACCOUNT": " a", "ENDPOINT": "x"},
            ["BINANCE_ENDPOINT: must be mainnet, testnet or", "BINANCE_ACCOUNT: must not start or end"],
        ),
        (
            {"API_KEY": API_KEY, "PRIVATE_KEY_FILE": "/none"},
            ["BINANCE_PRIVATE_KEY_FILE: cannot read /none: No such file or directory"],
        ),
    ],
)
def test_errors_name_the_variables(environ: dict[str, str], problems: list[str]) -> None:
    """An error in the environment names the variable."""
    with pytest.raises(ConfigError) as caught:
        load(None, {f"BINANCE_{name}": value for name, value in environ.items()})

    texts = [str(problem) for problem in caught.value.problems]
    assert [text[: len(start)] for text, start in zip(texts, problems, strict=True)] == problems


def test_key_errors_name_variables(folder: Folder) -> None:
    """If a variable names an encrypted key, the remedy in the error is a variable, too."""
    locked = str(folder.write("locked.pem", pem(b"passphrase")))

    with pytest.raises(ConfigError, match=r"encrypted: set BINANCE_PRIVATE_KEY_PASSPHRASE_FILE$"):
        load(None, {"BINANCE_API_KEY": API_KEY, "BINANCE_PRIVATE_KEY_FILE": locked})


def test_file_and_variables_together_are_an_error(folder: Folder) -> None:
    """Variables in addition to a file are an error that names them, and the file's own errors are reported too."""
    path = folder.write("exporter.yml", "")
    with pytest.raises(ConfigError) as caught:
        load(path, {"BINANCE_API_KEY": API_KEY, "BINANCE_ACCOUNT": "main", "BINANCE_OTHER": "x"})

    together, missing = str(caught.value).split("\n")
    assert together.startswith("BINANCE_ACCOUNT, BINANCE_API_KEY: must not be set together with")
    assert f"{path}: accounts: must be a list of at least one mapping" == missing
    assert API_KEY[:16] not in together
