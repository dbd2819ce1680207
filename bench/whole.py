"""The exporter as a whole: CPU, memory, delays and missed polls while it polls accounts and is scraped."""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from bench import prometheus
from bench.processes import Program, cpu_seconds, peak_mib, started
from bench.scraping import Scrape, Scraper, series_of
from bench.table import markdown, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SIZES: Final = (1, 20, 100, 400)
POSITIONS: Final = 100
SECONDS: Final = 180.0
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the exporter is given to do."""

    accounts: int
    positions: int = POSITIONS
    interval_seconds: float = 60.0
    scrape_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run has shown once every account had been polled twice, in `seconds`."""

    load: Load
    seconds: float
    cpu_seconds: float
    peak_mib: float
    delays_seconds: list[float]  # how late the event loop was, looked at every 50 ms
    ages_seconds: list[float]  # of every account's figures at every scrape
    scrapes_seconds: list[float]
    polls: list[float]  # of each account
    failures: float  # since the start
    weight: float
    last: Scrape
    prometheus: str  # what a real one has found; empty where none was asked

    @property
    def core_percent(self) -> float:
        """CPU time in per cent of one core."""
        return 100 * self.cpu_seconds / self.seconds

    @property
    def missed(self) -> float:
        """Polls that failed, or were due and did not take place."""
        due = int(self.seconds / self.load.interval_seconds)
        return self.failures + sum(max(0.0, due - polls) for polls in self.polls)


def measure(load: Load, seconds: float, *, by_prometheus: bool = False) -> Measured:
    """Run the exporter against the simulated exchange, which needs a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "exporter.yml")
        size = (str(load.accounts), str(load.positions))
        with started(sys.executable, "-m", "bench.exchange", *size, f"--config.dir={folder}") as exchange:
            exchange.line()  # exporter.yml is written
            _configure(path, load)
            with (
                started(sys.executable, "-m", "bench.probe", path) as exporter,
                Scraper(exporter.line()) as scraper,
            ):
                return _measure(load, seconds, exporter, scraper, Path(folder) if by_prometheus else None)


def _configure(path: Path, load: Load) -> None:
    """Have the accounts polled by status alone, in a mode that is known, as often as the weight may allow."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["binance"]["weight_share"] = 0.9
    document["poll"] = {"interval": f"{load.interval_seconds:.0f}s", "position_risk": False}
    for account in document["accounts"]:
        account["asset_mode"] = "single"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _measure(load: Load, seconds: float, exporter: Program, scraper: Scraper, folder: Path | None) -> Measured:
    before = _when_polled_twice(scraper, load)
    exporter.ask("delays")
    began, cpu = time.monotonic(), cpu_seconds(exporter.pid)
    scrapes: list[Scrape] = []
    ages: list[float] = []
    while time.monotonic() - began < seconds:
        time.sleep(load.scrape_seconds)
        scrapes.append(scraper.scrape())
        now = time.time()
        ages += [now - at for at in _values(scrapes[-1].text, "last_success_timestamp_seconds")]
    lasted, used = time.monotonic() - began, cpu_seconds(exporter.pid) - cpu
    delays = json.loads(exporter.ask("delays"))
    after = scrapes[-1].text

    def grown(family: str) -> float:
        return sum(_values(after, family)) - sum(_values(before, family))

    return Measured(
        load=load,
        seconds=lasted,
        cpu_seconds=used,
        peak_mib=peak_mib(exporter.pid),
        delays_seconds=delays,
        ages_seconds=ages,
        scrapes_seconds=[scrape.seconds for scrape in scrapes],
        polls=[
            late - early
            for early, late in zip(*(_values(text, "polls_total") for text in (before, after)), strict=True)
        ],
        failures=sum(_values(after, "poll_failures_total")),
        weight=grown("request_weight_spent_total"),
        last=scrapes[-1],
        prometheus=prometheus.scrape(scraper.address, load.scrape_seconds, folder) if folder else "",
    )


def _when_polled_twice(scraper: Scraper, load: Load) -> str:
    """Return the first text in which all accounts have been polled twice: the first round is faster than the others."""
    deadline = time.monotonic() + 4 * load.interval_seconds + 60
    while time.monotonic() < deadline:
        time.sleep(min(5.0, load.interval_seconds))
        text = scraper.scrape().text
        if sum(polls >= 2 for polls in _values(text, "polls_total")) == load.accounts:
            return text
    raise SystemExit("not all accounts could be polled")


def _values(text: str, family: str) -> list[float]:
    found = re.findall(rf"^binance_futures_{family}{{[^}}]*}} (\S+)$", text, re.MULTILINE)
    return [float(value) for value in found]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many per cent of all do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a quantity, how to read it, and what it is to be at the most."""

    name: str
    read: Callable[[Measured], float]
    digits: int = 0
    most: Callable[[Load], float] | None = None


_ROWS: Final = (
    Row("series", lambda one: series_of(one.last.text)),
    Row("polls a minute", lambda one: 60 * sum(one.polls) / one.seconds),
    Row("CPU, % of one core", lambda one: one.core_percent, 2, lambda _: 4.0),
    Row("peak memory, MiB", lambda one: one.peak_mib, 0, lambda _: 260.0),
    Row("event loop late, ms, p50", lambda one: 1000 * percentile(one.delays_seconds, 50), 1),
    Row("… p99", lambda one: 1000 * percentile(one.delays_seconds, 99), 1, lambda _: 20.0),
    Row(
        "age of the figures, s, p99",
        lambda one: percentile(one.ages_seconds, 99),
        1,
        lambda load: load.interval_seconds + 2,
    ),
    Row("scrape, gzip, ms, p50", lambda one: 1000 * percentile(one.scrapes_seconds, 50)),
    Row("… the slowest", lambda one: 1000 * max(one.scrapes_seconds), 0, lambda _: 1000.0),
    Row("… sent, MiB", lambda one: len(one.last.body) / _MIB, 2),
    Row("weight a minute", lambda one: 60 * one.weight / one.seconds),
    Row("polls missed", lambda one: one.missed, 0, lambda _: 0.0),
)


def report(sizes: Iterable[int] = SIZES, load: Load | None = None, seconds: float = SECONDS) -> str:
    """Run with several numbers of accounts, and return a table in Markdown; aims are for the last one."""
    load = load or Load(accounts=0)
    loads = [replace(load, accounts=size) for size in sizes]
    found = [measure(each, seconds, by_prometheus=each is loads[-1]) for each in loads]
    rows = [
        [row.name, *(f"{row.read(one):,.{row.digits}f}" for one in found), _verdict(row, found[-1])] for row in _ROWS
    ]
    head = ["", *(f"{one.load.accounts:,} account{'s' * (one.load.accounts > 1)}" for one in found), "aim"]
    return (
        f"**The whole**: accounts of {load.positions} positions and 20 assets, status alone every "
        f"{load.interval_seconds:.0f} s with `weight_share` 0.9, scraped every {load.scrape_seconds:.0f} s with gzip; "
        f"each for {seconds:.0f} s, once every account had been polled twice.\n\n"
    ) + "\n\n".join([markdown(head, rows), found[-1].prometheus])


def _verdict(row: Row, one: Measured) -> str:
    if row.most is None:
        return ""
    most = row.most(one.load)
    return verdict(f"≤ {most:,.0f}" if most else "none", met=row.read(one) <= most)
