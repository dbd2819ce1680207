"""Runs the benchmarks, `python -m bench [--write] [PART …]`; prints Markdown, and can update docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import exporter
from bench import poll, scrape, small, whole
from tools.generate import with_table
from tools.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: Final[dict[str, Callable[[], str]]] = {
    "small": small.report,
    "whole": whole.report,
    "poll": poll.report,
    "scrape": scrape.report,
}
PAGE: Final = ROOT / "docs" / "benchmarks.md"
_LIBRARIES: Final = ("websockets", "msgspec", "isal", "httptools", "prometheus-client", "python-binance")
_LOOPS: Final = 100_000_000  # shows how fast the machine is
_SDK: Final = "binance-sdk-derivatives-trading-usds-futures"


def header() -> str:
    """Return date, machine and versions."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    machine = f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in (*_LIBRARIES, _SDK))
    today = dt.datetime.now(dt.UTC).date()
    began = time.process_time()
    for _ in range(_LOOPS):
        pass
    loop_seconds = time.process_time() - began
    return (
        f"Measured on {today} by `make bench` with version {exporter.__version__}: {machine}, Linux "
        f"{platform.release().split('-')[0]}, CPython {platform.python_version()}, whose empty loop of a hundred "
        f"million rounds took {loop_seconds:.1f} s; {libraries}. "
        "CPU time is that of the measured process, user and system; the simulated exchange and the scraper run on the "
        "same machine."
    )


def main() -> int:
    """Run the parts of the command line, by default all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the exporter, compared with other clients and with targets."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--write", action="store_true", help="also write the results to docs/benchmarks.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    if arguments.write and arguments.parts:
        parser.error("--write measures all parts: it cannot be combined with a part")
    # So that started processes end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    texts = [header()]
    print(texts[0], flush=True)
    for name in arguments.parts or PARTS:
        texts.append(PARTS[name]())
        print(f"\n{texts[-1]}", flush=True)
    if arguments.write:
        text = with_table(PAGE.read_text(encoding="utf-8"), "bench", "\n\n".join(texts))
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
