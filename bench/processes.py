"""Starts and stops measured programs and observes them from outside (Linux)."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from tools.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 30.0


class Program:
    """A program that prints its address in its first line; its standard error is shown."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self.pid = process.pid
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout

    def line(self) -> str:
        """Wait for the next line of output, and return it."""
        line = self._stdout.readline()
        if not line:
            raise SystemExit("a measured program has exited")
        return line.strip()

    def ask(self, question: str) -> str:
        """Send a line, and return the line of the answer."""
        self._stdin.write(f"{question}\n")
        self._stdin.flush()
        return self.line()


@contextlib.contextmanager
def started(*command: str | Path) -> Iterator[Program]:
    """Run a program for the time of the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdin
        try:
            yield Program(process)
        finally:
            process.stdin.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def logging(log: Path, until: str, *command: str | Path) -> Iterator[tuple[int, str]]:
    """Run a server that logs its address, for the time of the block.

    Args:
        log: the file for all its output.
        until: a pattern whose first group is the address.
        command: the program and its arguments.

    Yields:
        Its process id and its address.
    """
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT) as process:
        try:
            yield process.pid, _address(process, log, until)
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[bytes], log: Path, until: str) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        if match := re.search(until, log.read_text(encoding="utf-8")):
            return match[1]
        if ended:
            break
        time.sleep(0.1)
    raise SystemExit(f"a measured program does not start:\n{log.read_text(encoding='utf-8')}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, of all threads of a process, ended ones included."""
    return time.clock_gettime(~pid << 3 | 2)  # the kernel's number for the CPU clock of another process


def peak_mib(pid: int) -> float:
    """Return the peak resident memory of a process, in MiB."""
    match = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    assert match
    return int(match[1]) / 1024
