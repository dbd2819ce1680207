"""The CPU of a poll, against other clients that set Gauges: from the socket to what a scrape reads."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from bench.processes import ROOT, started
from bench.table import markdown, part_of, verdict
from exporter.metrics.catalog import GROUPS
from exporter.simulator.market import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIZES: Final = (10, 100, 700)
ROUNDS: Final = 5
WARM_UP: Final = 50
POLLS: Final = 200
OURS: Final = "this exporter"
OURS_BOTH: Final = "this exporter, two requests"
CCXT: Final = "ccxt, two requests"
CCXT_PYTHON: Final = ROOT / "tests" / "interop" / ".venv" / "bin" / "python"
PEERS: Final[dict[str, tuple[str, ...]]] = {
    OURS: (sys.executable, "bench.poll_ours"),
    "python-binance": (sys.executable, "bench.poll_python_binance"),
    "the same, clearing": (sys.executable, "bench.poll_python_binance", "clears"),
    "Binance's SDK": (sys.executable, "bench.poll_sdk"),
    CCXT: (str(CCXT_PYTHON), "bench.poll_ccxt"),
    OURS_BOTH: (sys.executable, "bench.poll_ours", "positions"),
}
"""The Python that runs a peer, its module, and its further arguments."""
_AIMED_SIZE: Final = 100
_AIMS: Final = {"python-binance": 3.0, "Binance's SDK": 3.5, CCXT: 15.0}

Costs = dict[str, list[float]]
"""CPU seconds of one poll by peer, round by round."""


@contextlib.contextmanager
def exchange(positions: int) -> Iterator[dict[str, Any]]:
    """Serve one account for the time of the block, and return what peers have to know."""
    with started(sys.executable, "-m", "bench.exchange", "1", str(positions)) as program:
        yield {**json.loads(program.line()), "families": families(), "markets": list(_markets())}


def seconds_of(peer: str, about: dict[str, Any], warm_up: int = WARM_UP, polls: int = POLLS) -> float:
    """Return the CPU seconds of one poll."""
    python, module, *arguments = PEERS[peer]
    command = [python, "-m", module, json.dumps(about), str(warm_up), str(polls), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{peer}: {done.stderr}")
    return float(done.stdout)


def compare(positions: int, rounds: int = ROUNDS, warm_up: int = WARM_UP, polls: int = POLLS) -> Costs:
    """Poll in turn, so that a machine whose speed drifts drifts for all."""
    costs: Costs = {peer: [] for peer in PEERS if peer != CCXT or CCXT_PYTHON.exists()}
    with exchange(positions) as about:
        for _ in range(rounds):
            for peer, seconds in costs.items():
                seconds.append(seconds_of(peer, about, warm_up, polls))
    return costs


def report(sizes: Iterable[int] = SIZES, rounds: int = ROUNDS, warm_up: int = WARM_UP, polls: int = POLLS) -> str:
    """Compare at several sizes, and return a table in Markdown."""
    found = {size: compare(size, rounds, warm_up, polls) for size in sizes}
    rows = [
        [peer, *(_cell(costs, peer) for costs in found.values()), _verdict(found.get(_AIMED_SIZE, {}), peer)]
        for peer in PEERS
    ]
    return (
        "**A poll** of `v2/account.status` with 20 assets: CPU in µs from the socket to what a scrape reads, each "
        "position's notional, profit and margins new; in brackets what part of the peer's ours is. Peers set Gauges, "
        "and only one of them clears those of closed positions. ccxt keeps no positions of that answer and has to ask "
        "`v2/account.position`, too, for the figures that ours has of one; with both questions, and all that they "
        f"tell, ours is the last line, in brackets what part of ccxt's. ccxt is {_ccxt_version()}. {rounds} rounds in "
        f"turn of {polls} polls, medians.\n\n"
    ) + markdown(["", *(f"{size} positions" for size in found), f"aim at {_AIMED_SIZE}"], rows)


def _cell(costs: Costs, peer: str) -> str:
    if peer not in costs:
        return "not installed: make interop"
    micro = f"{1e6 * statistics.median(costs[peer]):,.0f}"
    if peer == OURS:
        return micro
    if peer == OURS_BOTH:
        return f"{micro} ({part_of(1.0, _times(costs, CCXT, peer))})" if CCXT in costs else micro
    return f"{micro} ({part_of(1.0, _times(costs, peer))})"


def _times(costs: Costs, peer: str, ours: str = OURS) -> float:
    return statistics.median(theirs / mine for mine, theirs in zip(costs[ours], costs[peer], strict=True))


def _ccxt_version() -> str:
    command = [str(CCXT_PYTHON), "-c", "import importlib.metadata as m; print(m.version('ccxt'))"]
    found = subprocess.run(command, check=False, capture_output=True, text=True) if CCXT_PYTHON.exists() else None
    return found.stdout.strip() if found else "not installed"


def _verdict(costs: Costs, peer: str) -> str:
    if peer not in _AIMS or peer not in costs:
        return ""
    return verdict(f"≤ 1/{_AIMS[peer]:g}", met=_times(costs, peer) >= _AIMS[peer])


def families() -> list[list[dict[str, Any]]]:
    """Return the families that one v2/account.status fills, in their groups, with Binance's name of each figure."""
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


def _markets() -> Iterator[dict[str, Any]]:
    """Describe the symbols as ccxt would after it had asked for them."""
    for symbol in SYMBOLS.values():
        asset = symbol.margin_asset
        yield {
            "id": symbol.name,
            "symbol": f"{symbol.base_asset}/{asset}:{asset}",
            "base": symbol.base_asset,
            "quote": asset,
            "settle": asset,
            "type": "swap",
            "contractSize": 1,
            "spot": False,
            "swap": True,
            "contract": True,
            "linear": True,
            "inverse": False,
            "precision": {},
        }
