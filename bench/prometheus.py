"""A real Prometheus that scrapes a measured exporter: its scrape duration, its samples and its warnings."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from bench.processes import logging

if TYPE_CHECKING:
    from pathlib import Path

SCRAPES: Final = 4
_TIMEOUT_SECONDS: Final = 60.0


def warnings_in(log: str) -> list[str]:
    """Return the warnings and errors in a log of Prometheus, except that of its end."""
    lines = [line for line in log.splitlines() if re.search(r"level=(warn|error)", line, re.IGNORECASE)]
    return [line for line in lines if "SIGTERM" not in line and "signal=terminated" not in line]  # 2.x, 3.x


def scrape(target: str, interval_seconds: float, folder: Path) -> str:
    """Let Prometheus scrape a few times, and return a sentence about the result."""
    if not shutil.which("prometheus"):
        return "Prometheus is not installed: run make test-tools."
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {interval_seconds:.0f}s}}\n"
        f"scrape_configs: [{{job_name: bench, static_configs: [{{targets: ['{target}']}}]}}]\n",
        encoding="utf-8",
    )
    log = folder / "prometheus.log"
    listening = r'msg="Listening on".* address=(127\.0\.0\.1:\d+)'
    config, data = f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"
    with logging(log, listening, "prometheus", config, data, "--web.listen-address=127.0.0.1:0") as (_, address):
        highest = _ask(address, interval_seconds)
    output = log.read_text(encoding="utf-8")
    warnings = warnings_in(output)
    version = re.search(r'version="?\(?version=([\d.]+)', output)
    return (
        f"Prometheus {version[1] if version else '(?)'} needs at most {highest['scrape_duration_seconds']:.2f} s to "
        "scrape the largest number of accounts, including parsing and storing: "
        f"{highest['scrape_samples_scraped']:,.0f} samples, "
        f"{'no warnings' if not warnings else 'WARNINGS: ' + ' '.join(warnings)}."
    )


def _ask(address: str, interval_seconds: float) -> dict[str, float]:
    """Wait for a few scrapes, and return the highest duration and number of samples."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS + SCRAPES * interval_seconds
    while time.monotonic() < deadline:
        if _query(address, "count_over_time(up[1h])") >= SCRAPES:
            if _query(address, "min_over_time(up[1h])") < 1:
                raise SystemExit("a scrape by Prometheus failed")
            families = ("scrape_duration_seconds", "scrape_samples_scraped")
            return {family: _query(address, f"max_over_time({family}[1h])") for family in families}
        time.sleep(min(1.0, interval_seconds))
    raise SystemExit("Prometheus did not scrape the exporter in time")


def _query(address: str, expression: str) -> float:
    """Return the value of an expression, 0 if there is none yet."""
    parameters = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/query?{parameters}", timeout=_TIMEOUT_SECONDS) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except OSError:  # it is still starting
        return 0.0
    return float(result[0]["value"][1]) if result else 0.0
