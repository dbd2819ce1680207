"""The Python servers of the scrape benchmark: each prints its URL and serves until standard input is closed.

`python -m bench.servers SERIES FILE` serves unchanging data with this exporter's server; every scrape renders a new
body, as if accounts had been polled since the last one. It writes the text that it serves to FILE. `python -m
bench.servers FILE` serves the same series as Gauges with prometheus_client.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.parser import text_fd_to_metric_families

from bench.exchange import Ledgers, factors
from exporter import log
from exporter.account.asset_mode import AssetMode
from exporter.account.snapshot import build_snapshot
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.dialing import Endpoint
from exporter.binance.messages import decode_account_status
from exporter.binance.signing import Credentials, Secret
from exporter.metrics.exposition import Exposition
from exporter.metrics.openmetrics import OpenMetricsExposition, process_registry
from exporter.metrics.self_catalog import Program
from exporter.simulator.market import Market
from exporter.web.listen_address import ListenAddress
from exporter.web.server import WebServer

if TYPE_CHECKING:
    from exporter.metrics.chunked_body import ChunkedBody

POSITIONS: Final = 100
_SERIES_WITHOUT_POSITIONS: Final = 350
_SERIES_OF_A_POSITION: Final = 9


async def serve_exporter(series: int, file: Path) -> None:
    """Serve about `series` series, rounded to whole accounts."""
    states: list[AccountState] = []
    process = process_registry()
    exposition = Exposition(Program(), lambda: states, time.monotonic, partial(generate_latest, process))
    # For few series, one account with all positions would already be too large.
    positions = min(POSITIONS, max(1, (series - _SERIES_WITHOUT_POSITIONS) // _SERIES_OF_A_POSITION))
    ledgers = Ledgers(Market(1), positions)
    endpoint = Endpoint("bench", "ws://127.0.0.1:9")
    credentials = Credentials.hmac(Secret("x" * 64), Secret("y" * 64))

    def publish(number: int, factor: float) -> None:
        state = AccountState(AccountSettings(name=f"account-{number:03}", endpoint=endpoint, credentials=credentials))
        states.append(state)
        status = decode_account_status(msgspec.Raw(json.dumps(ledgers.status(factor)).encode()))
        snapshot = build_snapshot(status, asset_mode=AssetMode.SINGLE, asked_at=0.0, answered_at=0.0)
        state.last_poll_succeeded = state.first_poll_finished = True
        state.last_success_unix, state.stale_at = time.time(), float("inf")
        state.polls = 1000 + number
        exposition.publish(state, snapshot)

    publish(0, 1.0)
    lines = bytes(exposition.body()).splitlines()
    of_account = sum(b'account="account-000"' in line for line in lines)
    others = sum(not line.startswith(b"#") for line in lines) - of_account
    accounts = max(1, round((series - others) / of_account))
    for number, factor in enumerate(factors(accounts)):
        if number:
            publish(number, factor)
    await asyncio.to_thread(file.write_bytes, bytes(exposition.body()))

    def body() -> ChunkedBody:
        exposition.invalidate()
        return exposition.body()

    openmetrics = OpenMetricsExposition(exposition.shown, process)
    server = WebServer([ListenAddress("127.0.0.1", 0)], "/metrics", body, openmetrics, int, str)
    print(*server.bind(), flush=True)
    serving = asyncio.create_task(server.run())
    await asyncio.to_thread(sys.stdin.read)
    server.stop()
    await serving


def serve_gauges(file: Path) -> None:
    """Serve the gauges and counters of an exposition."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    with file.open(encoding="utf-8") as text:
        for family in text_fd_to_metric_families(text):
            if family.type == "histogram":
                continue
            gauge: Gauge | None = None
            for sample in family.samples:
                gauge = gauge or Gauge(sample.name, family.documentation, list(sample.labels), registry=registry)
                (gauge.labels(**sample.labels) if sample.labels else gauge).set(sample.value)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()
    thread.join()
    server.server_close()


if __name__ == "__main__":
    *size, path = sys.argv[1:]
    if size:
        log.configure("error", "json")
        asyncio.run(serve_exporter(int(size[0]), Path(path)))
    else:
        serve_gauges(Path(path))
