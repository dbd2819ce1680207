"""Many accounts: CPU, memory, delays and missed polls while the exporter polls and is scraped."""

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

SIZES: Final = (100, 400)
POSITIONS: Final = 100
SECONDS: Final = 120.0
ROUNDS: Final = 3
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The exporter's configuration and how often it is scraped."""

    accounts: int
    positions: int = POSITIONS
    interval_seconds: float = 60.0
    scrape_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one run, over `seconds` after every account had been polled twice."""

    load: Load
    seconds: float
    cpu_seconds: float
    peak_mib: float
    delays_seconds: list[float]  # of the event loop, every 50 ms
    ages_seconds: list[float]  # of every account's data at every scrape
    scrapes_seconds: list[float]
    polls: list[float]  # of each account
    failures: float  # since the start
    weight: float
    last: Scrape
    prometheus: str  # what a real Prometheus reports; empty if it was not run

    @property
    def core_percent(self) -> float:
        """CPU time in percent of one core."""
        return 100 * self.cpu_seconds / self.seconds

    @property
    def missed(self) -> float:
        """Polls that failed, or that were due and did not take place."""
        due = int(self.seconds / self.load.interval_seconds)
        return self.failures + sum(max(0.0, due - polls) for polls in self.polls)


def measure(load: Load, seconds: float, *, by_prometheus: bool = False) -> Measured:
    """Run the exporter and the simulated exchange, each in its own process."""
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
    """Configure polls of the status alone, in a known asset mode, as often as the weight allows."""
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
    """Return the first text in which all accounts have been polled twice; the first round is faster than others."""
    deadline = time.monotonic() + 4 * load.interval_seconds + 60
    while time.monotonic() < deadline:
        time.sleep(min(5.0, load.interval_seconds))
        text = scraper.scrape().text
        if sum(polls >= 2 for polls in _values(text, "polls_total")) == load.accounts:
            return text
    raise SystemExit("not all accounts could be polled")


def _values(text: str, family: str) -> list[float]:
    values = re.findall(rf"^binance_futures_{family}{{[^}}]*}} (\S+)$", text, re.MULTILINE)
    return [float(value) for value in values]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a quantity, how to read it, and its highest acceptable value."""

    name: str
    read: Callable[[Measured], float]
    digits: int = 0
    limit: Callable[[Load], float] | None = None
    summarize: Callable[[Iterable[float]], float] = statistics.median  # of the rounds

    def value(self, rounds: Sequence[Measured]) -> float:
        """Return the value of several rounds."""
        return self.summarize(map(self.read, rounds))


_ROWS: Final = (
    Row("series", lambda run: series_of(run.last.text)),
    Row("polls per minute", lambda run: 60 * sum(run.polls) / run.seconds),
    Row("CPU, % of one core", lambda run: run.core_percent, 2, lambda _: 2.5),
    Row("peak memory, MiB", lambda run: run.peak_mib, 0, lambda _: 170.0),
    Row("event loop delay, ms, p50", lambda run: 1000 * percentile(run.delays_seconds, 50), 1),
    Row("… p99", lambda run: 1000 * percentile(run.delays_seconds, 99), 1, lambda _: 20.0),
    Row(
        "age of the data, s, p99",
        lambda run: percentile(run.ages_seconds, 99),
        1,
        lambda load: load.interval_seconds + 2,
    ),
    Row("scrape, gzip, ms, p50", lambda run: 1000 * percentile(run.scrapes_seconds, 50)),
    Row("… slowest", lambda run: 1000 * max(run.scrapes_seconds), 0, lambda _: 1000.0, max),
    Row("… size, MiB", lambda run: len(run.last.body) / _MIB, 2),
    Row("request weight per minute", lambda run: 60 * run.weight / run.seconds),
    Row("missed polls", lambda run: run.missed, 0, lambda _: 0.0, sum),
)


def report(
    sizes: Iterable[int] = SIZES, load: Load | None = None, seconds: float = SECONDS, rounds: int = ROUNDS
) -> str:
    """Run with several numbers of accounts, and return a table in Markdown; targets are for the largest number."""
    load = load or Load(accounts=0)
    loads = [replace(load, accounts=size) for size in sizes]
    measured: list[list[Measured]] = [[] for _ in loads]
    for number in range(rounds):  # alternately, so that changes in the machine's speed affect all of them
        for runs, sized in zip(measured, loads, strict=True):
            is_last = sized is loads[-1] and number == rounds - 1
            runs.append(measure(sized, seconds, by_prometheus=is_last))
    rows = [
        [row.name, *(f"{row.value(runs):,.{row.digits}f}" for runs in measured), _verdict(row, measured[-1])]
        for row in _ROWS
    ]
    head = ["", *(f"{sized.accounts:,} account{'s' * (sized.accounts > 1)}" for sized in loads), "target"]
    return (
        f"**Many accounts**: each with {load.positions} positions and 20 assets, polled without position risk every "
        f"{load.interval_seconds:.0f} s with `weight_share` 0.9 and scraped with gzip every {load.scrape_seconds:.0f} "
        f"s; measured for {seconds:.0f} s after every account had been polled twice. Medians of {rounds} alternating "
        "rounds; the slowest scrape and the missed polls are of all rounds.\n\n"
    ) + "\n\n".join([markdown(head, rows), measured[-1][-1].prometheus])


def _verdict(row: Row, rounds: Sequence[Measured]) -> str:
    if row.limit is None:
        return ""
    limit = row.limit(rounds[0].load)
    return verdict(f"≤ {limit:,g}" if limit else "none", met=row.value(rounds) <= limit)
