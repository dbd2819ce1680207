"""ccxt and Gauges; it runs in ccxt's own environment.

Of v2/account.status ccxt hands on the assets alone: positions are a second request, and totals are not to be had.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import ccxt.pro

from bench.gauges import Gauges
from bench.peer import Peer, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.peer import About


@asynccontextmanager
async def connect(about: About) -> AsyncIterator[Peer]:
    """Connect with the first poll."""
    urls = {"api": {"ws": {"ws-api": {"linear": about["url"]}}}}
    # Its rate limiter looks every millisecond whether it may go on: without it, since that would be most of the CPU.
    settings = {"apiKey": about["api_key"], "secret": about["secret_key"], "urls": urls, "enableRateLimit": False}
    exchange = ccxt.pro.binanceusdm(settings)
    exchange.set_markets(about["markets"])  # told rather than fetched, so that it needs no REST
    gauges = Gauges(about)

    async def poll() -> None:
        assets = (await exchange.fetch_balance_ws({"method": "v2/account.status"}))["info"]
        positions = await exchange.fetch_positions_ws(None, {"method": "v2/account.position"})
        gauges.set({}, assets, [position["info"] for position in positions])

    yield Peer(poll, gauges.text)
    await exchange.close()


if __name__ == "__main__":
    run(connect)
