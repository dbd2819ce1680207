"""Standard streams that are closed or broken, and names that the locale cannot encode."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import DEADLINE_SECONDS, wait_for

from exporter.cli.flags import PROGRAM

PROGRAM_ARGV = (sys.executable, "-m", "exporter")
# Without UTF-8: file names and output are ASCII.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ALL_CLOSED = "<&- >&- 2>&-"
# Runs each argument, a command line of hexadecimal words, in a fork of one process, since starting the program takes
# longer than anything else here. Prints its exit code, standard output and standard error.
FORKING = """
import json, os, sys, tempfile
from exporter import __main__; from exporter.cli import main  # what takes the time

for argument in sys.argv[1:]:
    files = [tempfile.TemporaryFile() for _ in range(2)]
    if not (child := os.fork()):
        for descriptor, file in enumerate(files, 1):
            os.dup2(file.fileno(), descriptor)
        sys.argv[1:] = [os.fsdecode(bytes.fromhex(word)) for word in argument.split()]
        __main__.main()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for file in files:
        file.seek(0)
    print(json.dumps([code, *(file.read().hex() for file in files)]), flush=True)
"""


def redirected(redirection: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program from a shell with its streams redirected."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM_ARGV, *argv]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ALL_CLOSED])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    """Whichever streams are closed at the start, the servers run, and no socket gets a stream's number."""
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


@pytest.mark.parametrize(
    ("argv", "closed", "code"),
    [
        (["metrics"], ">&-", 0),
        (["metrics"], ALL_CLOSED, 0),
        (["--help"], ">&-", 0),
        (["--help"], "2>&-", 0),
        (["nonsense"], "2>&-", 2),
        (["check"], "2>&-", 2),
        (["check"], ALL_CLOSED, 2),
    ],
)
def test_closed_streams_of_what_only_prints(argv: list[str], closed: str, code: int) -> None:
    """The exit code does not depend on whether the output can be written."""
    done = redirected(closed, *argv)

    assert code == done.returncode
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["metrics"]])
def test_output_that_cannot_be_written(argv: list[str]) -> None:
    """A full disk under standard output is an error, in one line."""
    done = redirected(">/dev/full", *argv)

    assert 1 == done.returncode
    assert f"{PROGRAM}: cannot write to standard output: No space left on device\n" == done.stderr.decode()


@pytest.mark.parametrize("argv", [["check"], ["run", "--config.check"], ["simulate"]])
def test_report_that_cannot_be_written(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is lost to a full disk is an error."""
    monkeypatch.setenv("BINANCE_API_KEY", "k" * 64)
    monkeypatch.setenv("BINANCE_SECRET_KEY", "s" * 64)
    monkeypatch.setenv("BINANCE_ENDPOINT", "ws://127.0.0.1:1/")
    monkeypatch.setenv("BINANCE_FUTURES_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:0")
    done = redirected(">/dev/full", *argv)

    assert 1 == done.returncode
    assert done.stderr.decode().endswith(f"{PROGRAM}: cannot write to standard output: No space left on device\n")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("streams", "argv"),
    [
        (">/dev/full 2>/dev/full", ["nonsense"]),
        ("2>/dev/full", ["run", "--config.file", "/nonexistent.yml"]),
        ("2</dev/null", ["nonsense"]),
        ("2</dev/null", ["run", "--config.file", "/nonexistent.yml"]),
    ],
)
def test_errors_that_cannot_be_written(streams: str, argv: list[str]) -> None:
    """An error that cannot be shown still has its exit code."""
    assert 2 == redirected(streams, *argv).returncode


def in_ascii(*commands: list[bytes]) -> list[tuple[int, bytes, bytes]]:
    """Run the program with each list of arguments in a locale of ASCII; return exit codes and what was written."""
    words = [" ".join(word.hex() for word in command) for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", FORKING, *words],
        capture_output=True,
        env=os.environ | ASCII,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    assert b"" == done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(commands) == len(ends)
    return [(code, bytes.fromhex(out), bytes.fromhex(err)) for code, out, err in ends]


def test_arguments_that_are_not_text() -> None:
    """Bytes that cannot be decoded in this locale are shown as escapes in the error."""
    commands = [
        [b"\xff\xfe"],
        [b"--config.file", b"\xff\xfe.yml"],
        [b"check", b"--config.file", "größe.yml".encode()],
        [b"demo", b"--web.config.file", b"\xff\xfe.yml"],
        [b"--web.telemetry-path", b"/\xff"],
        [b"--shard", b"\xff"],
        [b"simulate", b"--fault", b"\xff"],
    ]
    for code, out, err in in_ascii(*commands):
        assert (2, b"") == (code, out)
        assert err.startswith(PROGRAM.encode())
        assert b"Traceback" not in err
