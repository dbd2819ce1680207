"""Runs the benchmarks in turn, several times, and prints medians and ratios as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from typing import Final

import exporter

ROUNDS: Final = 5
WARM_UP: Final = 50
POLLS: Final = 300
POSITIONS: Final = 100
ASSETS: Final = 20
PEERS: Final = {
    f"binance-futures-exporter {exporter.__version__}": ("bench.poll_ours", None),
    f"python-binance {version('python-binance')} + Gauge.labels().set()": ("bench.poll_python_binance", 1 / 3),
}


def run() -> int:
    """Measure polls; return 0."""
    exchange = subprocess.Popen(
        [sys.executable, "-m", "bench.exchange", str(POSITIONS), str(ASSETS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert exchange.stdin
    assert exchange.stdout
    try:
        about = exchange.stdout.readline()
        seconds: dict[str, list[float]] = {name: [] for name in PEERS}
        for _ in range(ROUNDS):  # in turn, so that a machine whose speed drifts drifts for all
            for name, (module, _) in PEERS.items():
                command = [sys.executable, "-m", module, about, str(WARM_UP), str(POLLS)]
                seconds[name].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    finally:
        exchange.stdin.close()
        exchange.wait(10)
    _print_table(seconds)
    return 0


def _print_table(seconds: dict[str, list[float]]) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("websockets", "msgspec", "prometheus-client"))
    print(f"CPU of one poll of {POSITIONS} positions and {ASSETS} assets, from the socket to what a scrape reads")
    print(f"({machine}; {libraries}; medians of {ROUNDS} rounds of {POLLS} polls, the same simulated exchange)\n")
    print("| | µs a poll (min to max) | ours ÷ theirs, round by round | aim |\n|---|---|---|---|")
    ours = next(iter(seconds.values()))
    for name, theirs in seconds.items():
        spread = f"{_micro(statistics.median(theirs))} ({_micro(min(theirs))} to {_micro(max(theirs))})"
        aim = PEERS[name][1]
        if aim is None:
            print(f"| {name} | {spread} | | |")
            continue
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"| {name} | {spread} | {ratio:.2f} | at most {aim:.2f}: {'met' if ratio <= aim else 'short'} |")


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}"


if __name__ == "__main__":
    sys.exit(run())
