"""A small installation: the demo's four accounts at the default interval, polled by the command."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import yaml

from bench.processes import cpu_seconds, logging, peak_mib
from bench.scraping import Scraper, series_of
from bench.table import markdown, verdict
from tools.paths import ROOT

SECONDS: Final = 120.0
_SCRAPE_EVERY_SECONDS: Final = 15.0
_ACCOUNTS: Final = 4
_MAX_MIB: Final = {False: 50, True: 60}  # with REST
_MAX_PERCENT: Final = 0.3
_RUNTIME: Final = ROOT / ".venv" / "bench" / "bin" / "python"
_READ_LAST: Final = {False: "last_success", True: "income_read_until"}
_REST: Final = ("funding", "prices", "key_check", "income")


def measure(seconds: float, *, rest: bool) -> tuple[int, float, float]:
    """Return the number of series, the CPU in percent of one core, and the peak memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        exchange, log = Path(folder, "exchange.log"), Path(folder, "exporter.log")
        command = (_RUNTIME if _RUNTIME.exists() else sys.executable, "-m", "exporter")
        simulate = ("simulate", "--listen-address=127.0.0.1:0", f"--config.dir={folder}/configured")
        with logging(exchange, r"to poll it, run: .*--config\.file (\S+)", *command, *simulate) as (_, path):
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            for name in _REST:  # at the default intervals, unlike the demo
                document[name] = {"enabled": rest}
            Path(path).write_text(yaml.safe_dump(document), encoding="utf-8")
            run = (f"--config.file={path}", "--web.listen-address=127.0.0.1:0", "--log.format=logfmt")
            with (
                logging(log, r" url=(http://\S+)/metrics", *command, *run) as (pid, url),
                Scraper(url) as scraper,
            ):
                read = f"\nbinance_futures_{_READ_LAST[rest]}_timestamp_seconds{{"
                while scraper.scrape().text.count(read) < _ACCOUNTS:
                    time.sleep(0.5)
                began, cpu = time.monotonic(), cpu_seconds(pid)
                while time.monotonic() - began < seconds:
                    time.sleep(min(_SCRAPE_EVERY_SECONDS, seconds))
                    last = scraper.scrape()
                used = cpu_seconds(pid) - cpu
                return series_of(last.text), 100 * used / (time.monotonic() - began), peak_mib(pid)


def report(seconds: float = SECONDS) -> str:
    """Measure, and return a table in Markdown."""
    rows = []
    for rest in (False, True):
        series, percent, mib = measure(seconds, rest=rest)
        rows.append(
            [
                "with funding, prices, key checks and income" if rest else "without REST",
                f"{series:,}",
                f"{percent:.2f}",
                verdict(f"≤ {_MAX_PERCENT}", met=percent <= _MAX_PERCENT),
                f"{mib:.0f}",
                verdict(f"≤ {_MAX_MIB[rest]}", met=mib <= _MAX_MIB[rest]),
            ]
        )
    return (
        "**A small installation**: the demo's four accounts, polled with position risk and scraped with gzip every 15 "
        f"s, measured for {seconds:.0f} s once everything had been read"
        f"{'' if _RUNTIME.exists() else '; packages for development may add to the memory'}.\n\n"
    ) + markdown(["", "series", "CPU, % of one core", "target", "peak memory, MiB", "target"], rows)
