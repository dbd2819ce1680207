"""Our own polls, from the socket to rendered fragments. Prints the CPU seconds of one."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from exporter import log
from exporter.account.optional import OptionalMethods
from exporter.account.poller import Poller
from exporter.account.snapshot import AssetMode
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.clock import ExchangeClock
from exporter.binance.connection import Connection
from exporter.binance.dialing import Endpoint
from exporter.binance.signing import Credentials, Secret
from exporter.binance.weight import WeightBudget
from exporter.metrics.exposition import Exposition


async def main(about: dict[str, str], warm_up: int, polls: int) -> float:
    """Return the CPU seconds of one poll."""
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
            name="one", endpoint=endpoint, credentials=credentials, asset_mode=AssetMode.SINGLE, position_risk=False
        )
    )
    exposition = Exposition(lambda: b"", time.monotonic)
    poller = Poller(state, connection, OptionalMethods(connection), exposition.publish, exposition.invalidate)
    running = asyncio.create_task(connection.run())
    await connection.first_attempt_over.wait()
    for _ in range(warm_up):
        await poller.poll(time.monotonic() + 60)
    began = time.process_time()
    for _ in range(polls):
        await poller.poll(time.monotonic() + 60)
    spent = time.process_time() - began
    if sum(state.failures.values()) or exposition.body().count(b"position_notional{") != int(about["positions"]):
        raise SystemExit(f"polls failed: {state.last_failure}")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return spent / polls


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
