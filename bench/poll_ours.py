"""Our own polls, from the socket to rendered fragments; with `positions` as an argument v2/account.position, too."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.peer import Peer, run
from exporter import log
from exporter.account.availability import MethodAvailability
from exporter.account.pacing import EndpointPacing
from exporter.account.poller import Poller
from exporter.account.snapshot import AssetMode
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.clock import ExchangeClock
from exporter.binance.connection import Connection
from exporter.binance.dialing import Endpoint
from exporter.binance.signing import Credentials, Secret
from exporter.binance.weight import WeightBudget
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.self_metrics import SelfMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.peer import About


@asynccontextmanager
async def connect(about: About) -> AsyncIterator[Peer]:
    """Connect."""
    log.configure("error", "logfmt")
    clock = ExchangeClock()
    budget = WeightBudget(0.9, clock)
    # The limit is learnt with the first answer; until then it must not hold anything back.
    budget.limit = 10**6
    endpoint = Endpoint("bench", about["url"])
    connection = Connection(endpoint, budget, clock)
    credentials = Credentials.hmac(Secret(about["api_key"]), Secret(about["secret_key"]))
    state = AccountState(
        AccountSettings(
            name="one",
            endpoint=endpoint,
            credentials=credentials,
            asset_mode=AssetMode.SINGLE,
            position_risk="positions" in sys.argv,
        )
    )
    health = SelfMetrics(Program([connection]), lambda: [state], clock.monotonic)
    exposition = Exposition(health.render, clock.monotonic)

    def poll_over(state: AccountState) -> None:
        health.poll_over(state)
        exposition.invalidate()

    pacing = EndpointPacing(clock.monotonic)
    poller = Poller(state, connection, MethodAvailability(connection), pacing, exposition.publish, poll_over)
    running = asyncio.create_task(connection.run())
    await connection.first_attempt_over.wait()

    async def poll() -> None:
        await poller.poll(clock.monotonic() + 60)
        if not state.last_poll_succeeded:
            raise SystemExit(f"a poll failed: {state.last_failure}")

    yield Peer(poll, lambda: bytes(exposition.body()))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    run(connect)
