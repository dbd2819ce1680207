"""The CPU time of a poll, compared with other clients that set Gauges: from the socket to the text of a scrape."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from bench.peers import CCXT, OURS, OURS_BOTH, PEERS
from bench.processes import started
from bench.table import markdown, part_of, verdict
from exporter.metrics.catalog import GROUPS
from exporter.simulator.market import SYMBOLS
from tools.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIZES: Final = (10, 100, 700)
ROUNDS: Final = 5
WARM_UP: Final = 50
POLLS: Final = 200
CCXT_PYTHON: Final = ROOT / "tests" / "interop" / ".venv" / "bin" / "python"
_AIMED_SIZE: Final = 100
_AIMS: Final = {"python-binance": 4.5, "Binance's SDK": 3.5, CCXT: 10.0}

Costs = dict[str, list[float]]
"""CPU seconds of one poll by peer, round by round."""


@contextlib.contextmanager
def exchange(positions: int) -> Iterator[dict[str, Any]]:
    """Serve one account within the block, and return what peers need to poll it."""
    symbols = [(symbol.name, symbol.base_asset, symbol.margin_asset) for symbol in SYMBOLS.values()]
    with started(sys.executable, "-m", "bench.exchange", "1", str(positions)) as program:
        yield {**json.loads(program.line()), "families": families(), "symbols": symbols}


def seconds_of(peer: str, exchange: dict[str, Any], warm_up: int = WARM_UP, polls: int = POLLS) -> float:
    """Return the CPU seconds of one poll."""
    python = str(CCXT_PYTHON) if peer == CCXT else sys.executable
    command = [python, "-m", "bench.peers", peer, json.dumps(exchange), str(warm_up), str(polls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{peer}: {done.stderr}")
    return float(done.stdout)


def compare(positions: int, rounds: int = ROUNDS, warm_up: int = WARM_UP, polls: int = POLLS) -> Costs:
    """Measure the peers alternately, so that changes in the machine's speed affect all of them."""
    costs: Costs = {peer: [] for peer in PEERS if peer != CCXT or CCXT_PYTHON.exists()}
    with exchange(positions) as served:
        for _ in range(rounds):
            for peer, seconds in costs.items():
                seconds.append(seconds_of(peer, served, warm_up, polls))
    return costs


def report(sizes: Iterable[int] = SIZES, rounds: int = ROUNDS, warm_up: int = WARM_UP, polls: int = POLLS) -> str:
    """Compare at several sizes, and return a table in Markdown."""
    costs_by_size = {size: compare(size, rounds, warm_up, polls) for size in sizes}
    rows = [
        [
            peer,
            *(_cell(costs, peer) for costs in costs_by_size.values()),
            _verdict(costs_by_size.get(_AIMED_SIZE, {}), peer),
        ]
        for peer in PEERS
    ]
    return (
        "**A poll** of `v2/account.status` with 20 assets: CPU time in µs from reading the socket to the text that a "
        "scrape returns, with a new notional, PnL and margins in every position; in brackets, this exporter's time as "
        "a fraction of the peer's. The peers set Gauges, and only one of them removes those of closed positions. ccxt "
        "does not keep the positions in this response and needs a second request, `v2/account.position`; it is "
        f"compared with this exporter sending both requests. ccxt is {_ccxt_version()}. Medians of {rounds} "
        f"alternating rounds of {polls} polls.\n\n"
    ) + markdown(["", *(f"{size} positions" for size in costs_by_size), f"target at {_AIMED_SIZE}"], rows)


def _cell(costs: Costs, peer: str) -> str:
    if peer not in costs:
        return "not installed: make interop"
    micro = f"{1e6 * statistics.median(costs[peer]):,.0f}"
    return micro if peer in {OURS, OURS_BOTH} else f"{micro} ({part_of(1.0, _times(costs, peer))})"


def _times(costs: Costs, peer: str) -> float:
    """Return how many times as much CPU as this exporter a peer needs for the same requests."""
    ours = costs[OURS_BOTH if peer == CCXT else OURS]
    return statistics.median(theirs / mine for mine, theirs in zip(ours, costs[peer], strict=True))


def _ccxt_version() -> str:
    command = [str(CCXT_PYTHON), "-c", "import importlib.metadata as m; print(m.version('ccxt'))"]
    if not CCXT_PYTHON.exists():
        return "not installed"
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _verdict(costs: Costs, peer: str) -> str:
    if peer not in _AIMS or peer not in costs:
        return ""
    return verdict(f"≤ 1/{_AIMS[peer]:g}", met=_times(costs, peer) >= _AIMS[peer])


def families() -> list[list[dict[str, Any]]]:
    """Return the families that v2/account.status fills, in groups, each with Binance's name of its field."""
    return [
        [
            {
                "field": family.source.split(" ", 1)[0],
                "name": family.name,
                "help": family.help,
                "labels": ["account", *group.labels],
            }
            for family in group.families
        ]
        for group in GROUPS[:4]
    ]
