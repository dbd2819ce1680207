"""Standard streams that are closed or broken, and names that the locale cannot encode."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.builders import DEADLINE_SECONDS, wait_for
from support.config_files import key_files

from exporter.flags import PROGRAM

PROGRAM_ARGV = (sys.executable, "-m", "exporter")
# No UTF-8 anywhere: file names and output are ASCII.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CLOSED = [" ".join(some) for length in (1, 2, 3) for some in itertools.combinations(("<&-", ">&-", "2>&-"), length)]


def redirected(redirection: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program from a shell with its streams redirected."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM_ARGV, *argv]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    """Whichever streams are closed at the start, what serves runs, and no socket gets the number of one."""
    environment = os.environ | {"BINANCE_FUTURES_EXPORTER_LISTEN_ADDRESS": "127.0.0.1:0"}
    command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM_ARGV, "simulate", "--config.dir", str(tmp_path)]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: (tmp_path / "exporter.yml").exists() or process.poll() is not None)
        files = [str(Path(f"/proc/{process.pid}/fd/{descriptor}").readlink()) for descriptor in range(3)]
        process.send_signal(signal.SIGTERM)
        code = process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()

    assert (0, ["/dev/null"] * 3) == (code, files)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("argv", "code"), [(["metrics"], 0), (["--help"], 0), (["nonsense"], 2), (["check"], 2)])
def test_closed_streams_of_what_only_prints(argv: list[str], code: int, closed: str) -> None:
    """The exit code does not depend on whether anybody can read the output."""
    done = redirected(closed, *argv)

    assert code == done.returncode
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["metrics"], ["metrics", "--format", "json"]])
def test_output_that_cannot_be_written(argv: list[str]) -> None:
    """A full disk under standard output is an error, in one line."""
    done = redirected(">/dev/full", *argv)

    assert 1 == done.returncode
    assert f"{PROGRAM}: cannot write to standard output: No space left on device\n" == done.stderr.decode()


@pytest.mark.parametrize("argv", [["check"], ["run", "--config.check"], ["simulate"]])
def test_report_that_cannot_be_written(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is lost to a full disk is no success."""
    monkeypatch.setenv("BINANCE_API_KEY", "k" * 64)
    monkeypatch.setenv("BINANCE_SECRET_KEY", "s" * 64)
    monkeypatch.setenv("BINANCE_ENDPOINT", "ws://127.0.0.1:1/")
    monkeypatch.setenv("BINANCE_FUTURES_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:0")
    done = redirected(">/dev/full", *argv)

    assert 1 == done.returncode
    assert done.stderr.decode().endswith(f"{PROGRAM}: cannot write to standard output: No space left on device\n")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("streams", [">/dev/full 2>/dev/full", "2>/dev/full", "2</dev/null"])
def test_errors_that_cannot_be_written(streams: str) -> None:
    """An error that nobody can be shown still has its exit code."""
    assert 2 == redirected(streams, "nonsense").returncode
    assert 2 == redirected(streams, "run", "--config.file", "/nonexistent.yml").returncode


@pytest.mark.parametrize("argv", [["check"], ["run", "--config.check"]])
def test_file_name_that_the_locale_cannot_encode(argv: list[str], tmp_path: Path) -> None:
    """A key file with such a name is an error of the configuration that shows the name."""
    path = key_files(tmp_path)
    path.write_text("accounts: [{name: main, api_key_file: größe.key, secret_key_file: main.secret}]\n", "utf-8")
    done = subprocess.run(
        [*PROGRAM_ARGV, *argv, "--config.file", str(path)], capture_output=True, env=os.environ | ASCII, check=False
    )

    assert (2, b"") == (done.returncode, done.stdout)
    assert re.search(rb"gr\\xf6\\xdfe\.key", done.stderr)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        [b"\xff\xfe"],
        [b"--config.file", b"\xff\xfe.yml"],
        [b"check", b"--config.file", "größe.yml".encode()],
        [b"demo", b"--web.config.file", b"\xff\xfe.yml"],
        [b"--web.telemetry-path", b"/\xff"],
        [b"--shard", b"\xff"],
        [b"simulate", b"--fault", b"\xff"],
    ],
)
def test_arguments_that_are_not_text(argv: list[bytes]) -> None:
    """Bytes that are no text in this locale are shown as escapes in the error."""
    done = subprocess.run(
        [*map(os.fsencode, PROGRAM_ARGV), *argv], capture_output=True, env=os.environ | ASCII, check=False
    )

    assert (2, b"") == (done.returncode, done.stdout)
    assert done.stderr.startswith(PROGRAM.encode())
    assert b"Traceback" not in done.stderr
