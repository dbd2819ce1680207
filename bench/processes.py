"""Programs that are measured: started, ended by the end of their standard input, and looked at from outside (Linux)."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
_END_SECONDS: Final = 30.0


class Program:
    """A program that says where it is in its first line; whatever it complains of is shown."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self.pid = process.pid
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout

    def line(self) -> str:
        """Wait for the next line that it prints, and return it."""
        line = self._stdout.readline()
        if not line:
            raise SystemExit("a program that is measured has ended")
        return line.strip()

    def ask(self, question: str) -> str:
        """Write a line, and return the line that comes back."""
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


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that all threads of a process have used, those that ended included."""
    return time.clock_gettime(~pid << 3 | 2)  # the kernel's number for the CPU clock of another process


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had resident, in MiB."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return int(found[1]) / 1024
