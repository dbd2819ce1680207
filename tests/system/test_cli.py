"""The command line: exit codes, output, which never has a key in it, and how the program ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest
from support.builders import DEADLINE_SECONDS, wait_for
from support.config_files import API_KEY, SECRET_KEY, key_files, leaks
from support.program import UP, started

import exporter
from exporter.cli.flags import PROGRAM
from exporter.cli.main import run
from exporter.simulator.scenario import demo_accounts

UNREACHABLE = "ws://127.0.0.1:1/ws-fapi/v1"


def test_version_of_the_module() -> None:
    """`python -m exporter` runs the program."""
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "--version"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{PROGRAM}, version {exporter.__version__} (revision: ")


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["demo", "-h"], ["simulate", "--help"]])
def test_help_and_version_go_to_standard_output(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help and version are not errors."""
    code = run(argv)
    captured = capsys.readouterr()

    assert (code, captured.err) == (0, "")
    assert PROGRAM in captured.out


@pytest.mark.parametrize("command", ["run", "demo", "simulate"])
def test_unknown_flag(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown flag is named in the error, and the exit code is 2."""
    code = run([command, "--nonsense"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (2, "")
    assert "unrecognized arguments: --nonsense\ntry: " in captured.err


def test_nothing_configured(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any configuration the error names the ways to configure the program."""
    code = run(["run"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (2, "")
    assert captured.err.startswith(f"{PROGRAM}: invalid configuration:\n")
    for way in ("--config.file", "BINANCE_API_KEY", "BINANCE_SECRET_KEY", f"{PROGRAM} demo"):
        assert way in captured.err


@pytest.mark.parametrize("check", [[], ["--config.check"]])
def test_invalid_file(check: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All errors of a file are reported at once, without showing misplaced keys."""
    path = key_files(tmp_path, secret_key=f"{SECRET_KEY} {SECRET_KEY}")
    path.write_text(
        f"poll: {{interval: soon}}\nnonsense: {SECRET_KEY}\n"
        f"accounts:\n- {{name: main, api_key_file: {API_KEY}, secret_key_file: main.secret}}\n"
        f"- {{name: main, api_key_file: main.key, secret_key_file: gone.secret, asset_mode: {SECRET_KEY}}}\n"
    )
    code = run(["--config.file", str(path), "--log.level", "debug", *check])
    captured = capsys.readouterr()
    lines = captured.err.splitlines()

    assert (code, captured.out) == (2, "")
    assert lines[0] == f"{PROGRAM}: invalid configuration:"
    assert {
        "poll.interval",
        "nonsense",
        "accounts[0].api_key_file",
        "accounts[0].secret_key_file",
        "accounts[1].name",
        "accounts[1].secret_key_file",
        "accounts[1].asset_mode",
    } == {line.removeprefix(f"{path}: ").partition(":")[0] for line in lines[1:]}
    assert set() == leaks(captured.err, (API_KEY, SECRET_KEY))


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
        monkeypatch.setenv("BINANCE_ENDPOINT", UNREACHABLE)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo(number: signal.Signals, tmp_path: Path) -> None:
    """The demo serves four accounts, shows none of their keys, and exits with 0 on a signal."""
    arguments = ("--web.listen-address", "127.0.0.1:0", "--log.level", "debug", "--seed", "7", "--interval", "500ms")
    with started(tmp_path, "demo", *arguments) as program:
        text = program.scrape(accounts=4)
        code = program.end(number)
    keys = {key for account in demo_accounts(7) for key in (account.api_key, account.secret_key) if key}

    assert code == 0
    assert "msg=stopped" in program.output.splitlines()[-1]
    assert "\nprocess_start_time_seconds " in text
    assert {'asset_mode="single"', 'asset_mode="multi"'} == set(re.findall(r'asset_mode="\w+"', text))
    assert set() == leaks(program.output + text, keys)


def test_development_mode_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's development mode finds no unclosed resource, lost coroutine or call from another thread in the demo."""
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    with started(tmp_path, "demo", "--web.listen-address", "127.0.0.1:0", "--interval", "500ms") as program:
        program.scrape(accounts=4)
        code = program.end(signal.SIGTERM)

    assert code == 0
    assert not re.search(r"Error|Traceback|Warning|never awaited", program.output)


def test_simulate_and_run(tmp_path: Path) -> None:
    """The simulated exchange writes a valid configuration that `run` can poll with; no key is shown."""
    folder = tmp_path / "simulated"
    simulation = ("--listen-address", "127.0.0.1:0", "--config.dir", str(folder), "--log.level", "debug")
    serving = (
        *("--web.listen-address", "127.0.0.1:0", "--web.telemetry-path", "/other", "--log.format", "json"),
        *("--log.level", "debug", "--web.disable-exporter-metrics"),
    )
    with started(tmp_path, "simulate", *simulation) as exchange:
        path = exchange.wait_for(r"--config\.file (.+)\n")
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("poll: {interval: 1s}\n")  # the default is too long for a test
        checked = run(["--config.check", "--config.file", path])
        with started(tmp_path, "run", "--config.file", path, *serving) as program:
            url = program.wait_for(r'"url": "([^"]+)"')
            with httpx.Client(trust_env=False, timeout=DEADLINE_SECONDS) as client:
                wait_for(lambda: len(UP.findall(client.get(url).text)) == 4)
                text = client.get(url).text
            code = program.end(signal.SIGTERM)
        ended = exchange.end(signal.SIGINT)
    keys = [line for file in (folder / "keys").iterdir() for line in file.read_text().split("\n") if "---" not in line]

    assert (checked, code, ended) == (0, 0, 0)
    assert url.endswith("/other")
    assert "\nprocess_" not in text
    assert '"msg": "stopped"' in program.output.splitlines()[-1]
    assert len(keys) > 8
    assert set() == leaks(exchange.output + program.output + text, keys)


def test_simulate_cleans_up(tmp_path: Path) -> None:
    """Without --config.dir the configuration is written to a temporary directory, removed at the end."""
    with started(tmp_path, "simulate", "--listen-address", "127.0.0.1:0") as exchange:
        path = Path(exchange.wait_for(r"--config\.file (.+)\n"))
        existed = path.exists()
        code = exchange.end(signal.SIGTERM)

    assert (existed, code) == (True, 0)
    assert not path.parent.exists()


def test_simulate_with_faults(tmp_path: Path) -> None:
    """The faults of the command line are logged and are on from the start."""
    faults = ("--fault", "position-gone", "--fault", "handshake-451")
    with started(tmp_path, "simulate", "--listen-address", "127.0.0.1:0", *faults) as exchange:
        url = exchange.wait_for(r"exchange listening on (ws://\S+)\n")
        exchange.wait_for(r"(--config\.file)")
        with httpx.Client(trust_env=False, timeout=DEADLINE_SECONDS) as client:
            answer = client.get(url.replace("ws:", "http:"))
        code = exchange.end(signal.SIGTERM)

    assert (451, 0) == (answer.status_code, code)
    assert f"{PROGRAM}: fault position-gone: v2/account.position does not exist: 404, code -5000\n" in exchange.output
    assert f"{PROGRAM}: fault handshake-451: new connections are rejected with 451\n" in exchange.output


def test_unknown_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown fault is an error that lists all faults."""
    code = run(["simulate", "--fault", "nonsense"])
    captured = capsys.readouterr()

    assert (2, "") == (code, captured.out)
    assert "'nonsense' is not a known fault; --help lists the faults" in captured.err


def test_run_without_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an unreachable exchange the program serves, shows that the account is down, and can be stopped."""
    monkeypatch.setenv("BINANCE_API_KEY", API_KEY)
    monkeypatch.setenv("BINANCE_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BINANCE_ENDPOINT", UNREACHABLE)
    monkeypatch.setenv("BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS", "127.0.0.1:0")
    with started(tmp_path, "run", "--log.level", "debug") as program:
        program.wait_for(r"msg=\"(poll failed)\"")
        text = program.scrape(accounts=0)
        code = program.end(signal.SIGTERM)

    assert code == 0
    assert '\nbinance_futures_up{account="main"} 0.0\n' in text
    assert "binance_futures_account_open_positions{" not in text
    assert set() == leaks(program.output, (API_KEY, SECRET_KEY))


SLOW_RESOLVER = """
import socket, sys, time

resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *a, **k: time.sleep(300) if host == "slow.invalid" else resolve(host, *a, **k)
from exporter.cli.main import run

sys.exit(run(sys.argv[1:]))
"""


def test_hanging_name_lookup_does_not_delay_the_exit(tmp_path: Path) -> None:
    """The program exits on a signal while the look-up of the exchange's name hangs."""
    environ = os.environ | {
        "BINANCE_API_KEY": "k" * 64,
        "BINANCE_SECRET_KEY": "s" * 64,
        "BINANCE_ENDPOINT": "wss://slow.invalid/",
    }
    log_file = tmp_path / "log"
    with log_file.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW_RESOLVER, "run", "--web.listen-address=127.0.0.1:0"],
            env=environ,
            stderr=written,
        )
        try:
            wait_for(lambda: "listening" in log_file.read_text())
            process.send_signal(signal.SIGTERM)
            code = process.wait(DEADLINE_SECONDS)
        finally:
            process.kill()

    assert 0 == code
    assert "msg=stopped" in log_file.read_text()


def test_closed_output_is_not_an_error() -> None:
    """Closed output ends the program without an error message, as in `--help | head`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "--help"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)

    assert (1, b"") == (done.returncode, done.stderr)


def test_output_in_ascii() -> None:
    """Characters that the output's encoding lacks are written as escapes."""
    argv = [sys.executable, "-m", "exporter", "nonsense币"]
    done = subprocess.run(argv, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)

    assert 2 == done.returncode
    assert b"unknown command" in done.stderr
    assert b"Traceback" not in done.stderr
