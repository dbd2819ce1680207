"""The program, or another server, in its own process: started, observed and stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from support.http_clients import blocking_http_client
from support.waiting import DEADLINE_SECONDS, wait_for

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

UP = re.compile(r'^binance_futures_up\{account="[^"]+"\} 1\.0$', re.MULTILINE)


class Program:
    """A program in its own process, and its output."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output_file = output

    @property
    def output(self) -> str:
        """What it has written to standard output and standard error."""
        return self._output_file.read_text(encoding="utf-8")

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def wait_for(self, pattern: str, deadline: float | None = None) -> str:
        """Wait until the output matches, and return the first group."""
        wait_for(lambda: re.search(pattern, self.output) or self.over, lambda: self.output, deadline)
        match = re.search(pattern, self.output)
        assert match, self.output
        return match[1]

    def scrape(self, accounts: int) -> str:
        """Wait until so many accounts are up, and return that scrape."""
        url = self.wait_for(r" url=(http\S+)\n")
        with blocking_http_client() as client:
            wait_for(lambda: len(UP.findall(client.get(url).text)) == accounts)
            return client.get(url).text

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


@contextmanager
def started(folder: Path, *arguments: str, program: str | Path | None = None, **variables: str) -> Iterator[Program]:
    """Run a program, by default that of this checkout, in a folder for the time of the block.

    Its environment is that of the tests, without settings of the exporter and proxies, and with `variables`.
    """
    command = [program] if program else [sys.executable, "-m", "exporter"]
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("BINANCE_") and not name.lower().endswith("_proxy")
    }
    with NamedTemporaryFile(prefix="output-", dir=folder, delete=False) as file:
        process = subprocess.Popen(
            [*command, *arguments], cwd=folder, env=environment | variables, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Program(process, Path(file.name))
    finally:
        process.kill()
        process.wait()
