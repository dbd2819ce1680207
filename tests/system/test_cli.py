"""The command line: exit codes, output, which never has a key in it, and how the program ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.config_files import API_KEY, SECRET_KEY, leaks
from support.http_clients import blocking_http_client, get
from support.program import UP, started
from support.waiting import DEADLINE_SECONDS, wait_for

import exporter
from exporter.cli.flags import PROGRAM
from exporter.cli.main import run
from exporter.simulator.scenario import demo_accounts

UNREACHABLE = "ws://127.0.0.1:1/ws-fapi/v1"


def test_version_of_the_module() -> None:
    """`python -m exporter` runs the program."""
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "--version"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{PROGRAM}, version {exporter.__version__} (revision: ")


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
            with blocking_http_client() as client:
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
        answer = get(url.replace("ws:", "http:"))
        code = exchange.end(signal.SIGTERM)

    assert (451, 0) == (answer.status_code, code)
    assert f"{PROGRAM}: fault position-gone: v2/account.position does not exist: 404, code -5000\n" in exchange.output
    assert f"{PROGRAM}: fault handshake-451: new connections are rejected with 451\n" in exchange.output


def test_run_without_an_exchange(tmp_path: Path) -> None:
    """With an unreachable exchange the program serves, shows that the account is down, and can be stopped."""
    variables = {
        "BINANCE_API_KEY": API_KEY,
        "BINANCE_SECRET_KEY": SECRET_KEY,
        "BINANCE_ENDPOINT": UNREACHABLE,
        "BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0",
    }
    with started(tmp_path, "run", "--log.level", "debug", **variables) as program:
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
    variables = {
        "BINANCE_API_KEY": "k" * 64,
        "BINANCE_SECRET_KEY": "s" * 64,
        "BINANCE_ENDPOINT": "wss://slow.invalid/",
    }
    arguments = ("-c", SLOW_RESOLVER, "run", "--web.listen-address=127.0.0.1:0")
    with started(tmp_path, *arguments, program=sys.executable, **variables) as program:
        program.wait_for("(listening)")
        code = program.end(signal.SIGTERM)

    assert 0 == code
    assert "msg=stopped" in program.output


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
    assert rb"unknown command 'nonsense\u5e01'" in done.stderr
    assert b"Traceback" not in done.stderr
