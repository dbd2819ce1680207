"""The program in its own process: started, observed and stopped."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from support.builders import DEADLINE_SECONDS, wait_for

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path

UP = re.compile(r'^binance_futures_up\{account="[^"]+"\} 1\.0$', re.MULTILINE)


class Program:
    """The program in its own process, and its output."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output_file = output

    @property
    def output(self) -> str:
        """What it has written to standard output and standard error."""
        return self._output_file.read_text(encoding="utf-8")

    def wait_for(self, pattern: str) -> str:
        """Wait until the output matches, and return the first group."""
        wait_for(lambda: re.search(pattern, self.output) or self.process.poll() is not None)
        match = re.search(pattern, self.output)
        assert match, self.output
        return match[1]

    def scrape(self, accounts: int) -> str:
        """Wait until so many accounts are up, and return that scrape."""
        url = self.wait_for(r" url=(http\S+)\n")
        with httpx.Client(trust_env=False, timeout=DEADLINE_SECONDS) as client:
            wait_for(lambda: len(UP.findall(client.get(url).text)) == accounts)
            return client.get(url).text

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


@contextmanager
def started(folder: Path, *arguments: str, program: Path | None = None) -> Iterator[Program]:
    """Run the program, by default that of this checkout, for the time of the block."""
    command = [program] if program else [sys.executable, "-m", "exporter"]
    output = folder / f"output of {arguments[0]}"
    with output.open("wb") as file:
        process = subprocess.Popen([*command, *arguments], cwd=folder, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield Program(process, output)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
