"""Funding and prices of one endpoint."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.rest import Client, replace_rest
from support.waiting import running_task, until

from exporter.binance.errors import Reason
from exporter.rest.market import Market
from exporter.rest.requests import ALL_SYMBOLS_WEIGHT
from exporter.rest.state import RestSettings
from exporter.simulator.toggles import REST

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
    async with running_task(market.run()):
        await until(lambda: "BTCUSDT" in market.funding)
        await asyncio.sleep(settlement_ms / 1000 - client.clock.seconds + 0.1)
        settled = market.funding
        replace_rest(exchange, 200, [row | {"nextFundingTime": settlement_ms + 28_800_000}])
        await until(lambda: "BTCUSDT" in market.funding)

    assert not settled


@pytest.mark.parametrize("more", [0, ALL_SYMBOLS_WEIGHT])
async def test_symbol_without_a_rate(exchange: SimulatedExchange, client: Client, more: int) -> None:
    """A symbol whose rate is null has no funding, which is counted; the others have."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"lastFundingRate": None} if row["symbol"] == "BTCUSDT" else row

    def replace(answer: dict[str, Any]) -> dict[str, Any]:
        body = answer["body"]
        return answer | {"body": [edit(row) for row in body] if isinstance(body, list) else edit(body)}

    exchange.replace_answer(REST, None, replace)
    failures = Counter[Reason]()
    held = {"BTCUSDT", "ETHUSDT", *(f"QUARTER{number}_261225" for number in range(more))}
    settings = RestSettings(funding_interval_seconds=60.0)
    market = Market("exchange", client, client.clock, settings, lambda: held, set, failures)
    async with running_task(market.run()):
        await until(lambda: market.funding)

    assert ["ETHUSDT"] == list(market.funding)
    assert {Reason.DECODE: 1} == failures
