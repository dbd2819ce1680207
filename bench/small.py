"""The exporter as a trader runs it: the demo's four accounts at the usual interval, by the command itself."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.processes import ROOT, cpu_seconds, peak_mib
from bench.scraping import Scraper, series_of
from bench.table import markdown, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 120.0
_SCRAPE_EVERY_SECONDS: Final = 15.0
_ACCOUNTS: Final = 4
_MOST_MIB: Final = 60
_MOST_PERCENT: Final = 0.5
_COMMAND: Final = (sys.executable, "-m", "exporter")
_END_SECONDS: Final = 10.0


def measure(seconds: float) -> tuple[int, float, float]:
    """Return how many series there are, the CPU in per cent of one core, and the highest memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        address = "--listen-address=127.0.0.1:0"
        with _running("simulate", address, f"--config.dir={folder}", until="to ask it"):
            configured = f"--config.file={Path(folder, 'exporter.yml')}"
            web = "--web.listen-address=127.0.0.1:0"
            with (
                _running(configured, web, "--log.format=logfmt", until=" metrics=") as (process, line),
                Scraper(line.split("metrics=")[1].split("/metrics")[0]) as scraper,
            ):
                while scraper.scrape().text.count("\nbinance_futures_last_success_timestamp_seconds{") < _ACCOUNTS:
                    time.sleep(0.5)
                began, cpu = time.monotonic(), cpu_seconds(process.pid)
                while time.monotonic() - began < seconds:
                    time.sleep(min(_SCRAPE_EVERY_SECONDS, seconds))
                    last = scraper.scrape()
                used = cpu_seconds(process.pid) - cpu
                return series_of(last.text), 100 * used / (time.monotonic() - began), peak_mib(process.pid)


@contextlib.contextmanager
def _running(*arguments: str, until: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command for the time of the block, which begins when a line with `until` was printed."""
    command = (*_COMMAND, *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout
        try:
            line = next((line for line in process.stdout if until in line), "")
            if not line:
                raise SystemExit(f"{arguments[0]} has ended")
            yield process, line
        finally:
            process.terminate()
            process.wait(_END_SECONDS)


def report(seconds: float = SECONDS) -> str:
    """Measure, and return a table in Markdown."""
    series, percent, mib = measure(seconds)
    rows = [
        ["series", f"{series:,}", ""],
        ["CPU, % of one core", f"{percent:.2f}", verdict(f"≤ {_MOST_PERCENT}", met=percent <= _MOST_PERCENT)],
        ["peak memory, MiB", f"{mib:.0f}", verdict(f"≤ {_MOST_MIB}", met=mib <= _MOST_MIB)],
    ]
    return (
        "**A trader's**: the demo's four accounts, polled with position risk and scraped with gzip, both every 15 s, "
        f"for {seconds:.0f} s.\n\n"
    ) + markdown(["", "the command itself", "aim"], rows)
