"""The command line without starting a server: exit codes and output."""

from __future__ import annotations

import socket
import tempfile
from typing import TYPE_CHECKING

import pytest
from support.config_files import API_KEY, SECRET_KEY, key_files

from exporter.cli.flags import PROGRAM
from exporter.cli.main import run
from exporter.config.keys import VARIABLES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["demo", "-h"], ["simulate", "--help"]])
def test_help_and_version_go_to_standard_output(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help and version are not errors."""
    code = run(argv)
    captured = capsys.readouterr()

    assert (code, captured.err) == (0, "")
    assert PROGRAM in captured.out


@pytest.mark.parametrize("command", ["run", "demo", "simulate"])
def test_wrong_arguments(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments are an error on standard error, and the exit code is 2."""
    code = run([command, "--nonsense"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (2, "")
    assert "unrecognized arguments: --nonsense\ntry: " in captured.err


def test_nothing_configured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file, and with empty variables, the error names the ways to configure the program."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    code = run(["run"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (2, "")
    assert captured.err.startswith(f"{PROGRAM}: invalid configuration:\n")
    for way in ("--config.file", "BINANCE_API_KEY", "BINANCE_SECRET_KEY", f"{PROGRAM} demo"):
        assert way in captured.err


def test_valid_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid file is reported as such, with a warning about readable keys."""
    path = key_files(tmp_path)
    (tmp_path / "main.key").chmod(0o644)
    path.write_text("accounts: [{name: main, api_key_file: main.key, secret_key_file: main.secret}]\n")
    code = run(["--config.file", str(path), "--config.check"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (0, f"{PROGRAM}: the configuration is valid: 1 account\n")
    warning = f"{path}: accounts[0].api_key_file: main.key is readable by other users; run: chmod 600 main.key"
    assert f"warning: {warning}\n" == captured.err


def test_valid_variables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Variables alone can configure an account, and a variable can request the check."""
    monkeypatch.setenv("BINANCE_API_KEY", API_KEY)
    monkeypatch.setenv("BINANCE_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BINANCE_FUTURES_EXPORTER_CONFIG_CHECK", "true")
    code = run([])
    captured = capsys.readouterr()

    assert (code, captured.err) == (0, "")
    assert "the configuration is valid: 1 account" in captured.out


@pytest.mark.parametrize("command", ["run", "demo"])
def test_scrape_port_in_use(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that is in use is named in the error, and the exit code is 1."""
    if command == "run":
        monkeypatch.setenv("BINANCE_API_KEY", API_KEY)
        monkeypatch.setenv("BINANCE_SECRET_KEY", SECRET_KEY)
        monkeypatch.setenv("BINANCE_ENDPOINT", "ws://127.0.0.1:1/ws-fapi/v1")
    with socket.create_server(("127.0.0.1", 0)) as used:
        address = f"127.0.0.1:{used.getsockname()[1]}"
        code = run([command, "--web.listen-address", address])
    captured = capsys.readouterr()

    assert (code, captured.out) == (1, "")
    assert captured.err.startswith(f"{PROGRAM}: cannot listen on {address}: Address already in use")


def test_exchange_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """The simulated exchange reports a port that is in use, too."""
    with socket.create_server(("127.0.0.1", 0)) as used:
        address = f"127.0.0.1:{used.getsockname()[1]}"
        code = run(["simulate", "--listen-address", address])
    captured = capsys.readouterr()

    assert (code, captured.out) == (1, "")
    reason = "Address already in use; set another address with --listen-address"
    assert f"{PROGRAM}: cannot listen on {address}: {reason}\n" == captured.err


@pytest.mark.parametrize("argv", [["demo", "--web.listen-address"], ["simulate", "--listen-address"]])
def test_no_temporary_directory(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a temporary directory demo and simulate exit with 1 and name the remedy."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    code = run([*argv, "127.0.0.1:0"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (1, "")
    reason = "No such file or directory: set TMPDIR to a writable directory"
    assert f"{PROGRAM}: cannot create a temporary directory: {reason}\n" == captured.err


def test_no_directory_for_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If its directory cannot be written to, the simulated exchange exits with 1."""
    (tmp_path / "file").touch()
    code = run(["simulate", "--listen-address", "127.0.0.1:0", "--config.dir", str(tmp_path / "file")])
    captured = capsys.readouterr()

    assert (code, captured.out) == (1, "")
    assert f"{PROGRAM}: cannot write the configuration to {tmp_path / 'file'}: Not a directory\n" == captured.err


@pytest.mark.parametrize(
    ("shard", "total", "expected"),
    [("0", "1", "1 account"), ("0", "2", "0 account"), ("1", "2", "1 account"), ("2", "2", "2 must be less than")],
)
def test_shard_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shard: str, total: str, expected: str
) -> None:
    """A shard checks the accounts that it owns, which may be none; an index beyond the last is rejected."""
    path = key_files(tmp_path)
    path.write_text("accounts: [{name: main, api_key_file: main.key, secret_key_file: main.secret}]\n")
    flags = ["--config.check", "--config.file", str(path), "--shard", shard, "--total-shards", total]
    code = run(flags)
    captured = capsys.readouterr()

    assert (2 if "must" in expected else 0) == code
    assert expected in captured.out + captured.err
