"""Funding and prices of one endpoint."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.rest import Client, replace_rest
from support.waiting import until

from exporter.rest.market import Market
from exporter.rest.state import RestSettings

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


@pytest.mark.usefixtures("virtual_time")
async def test_settled_funding_is_not_shown(exchange: SimulatedExchange, client: Client) -> None:
    """A rate is shown until its settlement, and then not before the next read."""
    settlement_ms = client.clock.milliseconds + 20_000
    row = {"symbol": "BTCUSDT", "lastFundingRate": "0.0001", "nextFundingTime": settlement_ms}
    replace_rest(exchange, 200, [row])
    settings = RestSettings(funding_interval_seconds=60.0)
    market = Market("exchange", client, client.clock, settings, lambda: {"BTCUSDT"}, set, Counter())
    reading = asyncio.create_task(market.run())
    try:
        await until(lambda: "BTCUSDT" in market.funding)
        await asyncio.sleep(settlement_ms / 1000 - client.clock.seconds + 0.1)
        settled = market.funding
        replace_rest(exchange, 200, [row | {"nextFundingTime": settlement_ms + 28_800_000}])
        await until(lambda: "BTCUSDT" in market.funding)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    assert not settled
