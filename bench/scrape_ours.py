"""Our scrape server over figures that stand still: prints its URL, and serves until standard input is closed.

Every scrape is of a new body, as when accounts were polled since the last one. `python -m bench.scrape_ours SERIES
FILE` also writes the text that it serves, for the peers to serve the same.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from bench.exchange import Books, factors
from exporter import log
from exporter.account.snapshot import AssetMode, build_snapshot
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.dialing import Endpoint
from exporter.binance.messages import decode_account_status
from exporter.binance.signing import Credentials, Secret
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.openmetrics import OpenMetricsExposition, SnapshotCollector
from exporter.metrics.self_metrics import SelfMetrics
from exporter.simulator.market import Market
from exporter.web.server import ListenAddress, WebServer

if TYPE_CHECKING:
    from exporter.metrics.chunked_body import ChunkedBody

POSITIONS: Final = 100
_WITHOUT_POSITIONS: Final = 350
_A_POSITION: Final = 9


async def main(series: int, file: Path) -> None:
    """Serve so many series, rounded to whole accounts."""
    states: list[AccountState] = []
    health = SelfMetrics(Program(), lambda: states, time.monotonic)
    exposition = Exposition(health.render, time.monotonic)
    # Of few series one account's, with its assets and what there is of the exporter itself, would be too many.
    books = Books(Market(1), min(POSITIONS, max(1, (series - _WITHOUT_POSITIONS) // _A_POSITION)))
    endpoint = Endpoint("bench", "ws://127.0.0.1:9")

    def publish(number: int, factor: float) -> None:
        credentials = Credentials.hmac(Secret("x" * 64), Secret("y" * 64))
        settings = AccountSettings(name=f"account-{number:03}", endpoint=endpoint, credentials=credentials)
        state = AccountState(settings)
        states.append(state)
        status = decode_account_status(msgspec.Raw(json.dumps(books.status(factor)).encode()))
        snapshot = build_snapshot(status, asset_mode=AssetMode.SINGLE, asked_at=0.0, answered_at=0.0)
        state.last_poll_succeeded = state.first_poll_over = True
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

    slow_way = OpenMetricsExposition([SnapshotCollector(exposition.snapshots), *health.collectors])
    server = WebServer([ListenAddress("127.0.0.1", 0)], "/metrics", body, slow_way, int, str)
    print(*server.bind(), flush=True)
    serving = asyncio.create_task(server.run())
    await asyncio.to_thread(sys.stdin.read)
    server.stop()
    await serving


if __name__ == "__main__":
    log.configure("error", "json")
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
