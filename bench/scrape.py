"""The CPU time of a scrape, compared with prometheus_client and client_golang serving the same series."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.processes import Program, cpu_seconds, started
from bench.scraping import Scraper, series_of
from bench.table import markdown, part_of, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

SIZES: Final = (1_000, 10_000, 100_000, 400_000)
ROUNDS: Final = 5
OURS: Final = "this exporter"
GO: Final = "client_golang"
PYTHON: Final = "prometheus_client"
_ENCODINGS: Final = ("gzip", "identity")
_SERIES_A_ROUND: Final = 500_000
_GO_SOURCE: Final = Path(__file__).parent / "client_golang"
_GO_PACKAGES: Final = "golang golang-github-prometheus-client-golang-dev"
# At 100,000 series by encoding: seconds, and how many times as much client_golang should need.
_AIMED_SIZE: Final = 100_000
_AIMS: Final = {"gzip": (0.012, 30), "identity": (0.030, 12)}
_AIMED_GROWTH: Final = 4.2  # from 100,000 to 400,000

Costs = dict[str, list[float]]
"""CPU seconds of one scrape by peer, round by round."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The cost of a scrape of a number of series, by encoding and peer."""

    size: int  # as requested
    series: int  # as served: whole accounts
    costs: dict[str, Costs]


def build_go(folder: Path) -> Path | str:
    """Build the peer in Go from Debian's packages; return its path, or the reason why it cannot be built."""
    if not shutil.which("go"):
        return f"Go is not installed: apt-get install {_GO_PACKAGES}"
    settings = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    target = folder / "client_golang"
    built = subprocess.run(
        ["go", "build", "-o", target, "."],  # noqa: S607 - the Go on PATH
        cwd=_GO_SOURCE,
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        return f"client_golang cannot be built, see below (apt-get install {_GO_PACKAGES})\n\n```\n{built.stderr}```"
    return target


def go_versions() -> str:
    """Return the versions of Go and of Debian's client_golang."""
    go = subprocess.run(["go", "version"], check=True, capture_output=True, text=True).stdout  # noqa: S607 - likewise
    package = ["dpkg-query", "--show", "--showformat=${Version}", _GO_PACKAGES.split()[1]]
    client = subprocess.run(package, check=False, capture_output=True, text=True).stdout
    return f"client_golang {client or '(unknown version)'} is built with {go.split()[2]}"


def compare(size: int, go: Path | str, rounds: int = ROUNDS) -> Comparison:
    """Scrape the peers alternately, so that changes in the machine's speed affect all of them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as running:
        file = Path(folder, "metrics.txt")
        commands: dict[str, list[str | Path]] = {OURS: [sys.executable, "-m", "bench.servers", str(size), file]}
        if isinstance(go, Path):
            commands[GO] = [go, file]
        commands[PYTHON] = [sys.executable, "-m", "bench.servers", file]
        servers: dict[str, tuple[Program, Scraper]] = {}
        for name, command in commands.items():
            program = running.enter_context(started(*command))
            servers[name] = program, running.enter_context(Scraper(program.line()))
        texts = {name: scraper.scrape().text for name, (_, scraper) in servers.items()}
        if len({_names_and_labels(text) for text in texts.values()}) > 1:
            raise SystemExit("the peers do not serve the same series")
        costs: dict[str, Costs] = {encoding: {name: [] for name in servers} for encoding in _ENCODINGS}
        for _ in range(rounds):
            for encoding in _ENCODINGS:
                for name, (program, scraper) in servers.items():
                    # The others are measured over many scrapes; one of the slowest takes seconds.
                    times = 1 if name == PYTHON else min(100, max(1, _SERIES_A_ROUND // size))
                    began = cpu_seconds(program.pid)
                    for _ in range(times):
                        scraper.scrape(encoding)
                    costs[encoding][name].append((cpu_seconds(program.pid) - began) / times)
        return Comparison(size, series_of(texts[OURS]), costs)


def _names_and_labels(text: str) -> frozenset[str]:
    """Return the series without histograms, which the peers do not have."""
    lines = (line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("binance_futures_"))
    return frozenset(line for line in lines if "request_duration_seconds" not in line)


def report(sizes: Iterable[int] = SIZES, rounds: int = ROUNDS) -> str:
    """Compare at several sizes, and return a table in Markdown."""
    with tempfile.TemporaryDirectory(prefix="bench-go-") as folder:
        go = build_go(Path(folder))
        comparisons = [compare(size, go, rounds) for size in sizes]
    rows = [_row(comparison, encoding, comparisons) for comparison in comparisons for encoding in _ENCODINGS]
    text = (
        "**A scrape**: CPU time of the server in ms, with new content at every scrape; in brackets, this exporter's "
        f"time as a fraction of the peer's. Medians of {rounds} alternating rounds. "
        f"{go_versions() if isinstance(go, Path) else 'Go is not installed'}.\n\n"
    )
    text += markdown(["series", "", OURS, GO, PYTHON, "target"], rows)
    return text if isinstance(go, Path) else f"{text}\n\nWithout client_golang: {go}."


def _row(comparison: Comparison, encoding: str, comparisons: list[Comparison]) -> list[str]:
    costs = comparison.costs[encoding]
    ours = statistics.median(costs[OURS])
    cells = [f"{comparison.series:,}", "plain" if encoding == "identity" else encoding, f"{1000 * ours:.1f}"]
    cells += [
        f"{1000 * statistics.median(costs[peer]):,.1f} ({part_of(1.0, _times(costs, peer))})" if peer in costs else "—"
        for peer in (GO, PYTHON)
    ]
    return [*cells, "; ".join(_verdicts(comparison, encoding, ours, comparisons))]


def _times(costs: Costs, peer: str) -> float:
    """Return how many times as much CPU a peer's scrape needs, as the median of rounds."""
    return statistics.median(theirs / ours for ours, theirs in zip(costs[OURS], costs[peer], strict=True))


def _verdicts(comparison: Comparison, encoding: str, ours: float, comparisons: list[Comparison]) -> Iterable[str]:
    if comparison.size == _AIMED_SIZE:
        seconds, part = _AIMS[encoding]
        yield verdict(f"≤ {1000 * seconds:.0f}", met=ours <= seconds)
        if GO in comparison.costs[encoding]:
            yield verdict(f"≤ 1/{part} of client_golang", met=_times(comparison.costs[encoding], GO) >= part)
    base = next((other for other in comparisons if other.size == _AIMED_SIZE), None)
    if base and comparison.size == 4 * _AIMED_SIZE:
        grown = ours / statistics.median(base.costs[encoding][OURS])
        yield verdict(f"≤ {_AIMED_GROWTH:g} times that of {_AIMED_SIZE:,} (is {grown:.1f})", met=grown <= _AIMED_GROWTH)
