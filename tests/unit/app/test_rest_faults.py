"""REST that fails, is banned or lies, in the whole exporter: polls go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.rest_system import System, rest_series
from support.service import scrape, until_counted, value
from support.waiting import until

from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import PREMIUM_INDEX


async def test_ban_of_the_websocket_api_pauses_rest(system: System) -> None:
    """While the WebSocket API is banned, no REST request is sent; that is no pause of REST itself."""
    endpoint = system.endpoint
    async with system.open():
        await until_counted(system.client, 0.5, "asset_index_price", endpoint=endpoint, asset="USDT")
        with system.exchange.ban(100.0):
            await system.shows(1.0, "paused", endpoint=endpoint, reason="banned")
            requests = system.requests()
            await asyncio.sleep(40)
            samples = await scrape(system.client)
            assert requests == system.requests()
        await until(lambda: requests < system.requests())

    assert 0.0 == value(samples, "rest_paused", endpoint=endpoint, reason="banned")
    assert not {"binance_futures_funding_rate", "binance_futures_asset_index_price"} & rest_series(samples)
    assert 0 < (value(samples, "rest_request_failures_total", endpoint=endpoint, reason="banned") or 0)


async def test_ban_of_rest_leaves_polls_alone(system: System) -> None:
    """While REST is banned, polls go on, and the WebSocket API does not count as paused."""
    endpoint = system.endpoint
    with REST_FAULTS["rest-banned"].switch(system.exchange):
        async with system.open():
            await system.shows(1.0, "rest_paused", endpoint=endpoint, reason="banned")
            requests = system.requests()
            await asyncio.sleep(30)
            samples = await scrape(system.client)

    assert requests == system.requests()
    assert 0.0 == value(samples, "paused", endpoint=endpoint, reason="banned")
    for account in ("alice", "bob"):
        assert 1.0 == value(samples, "up", account=account)
        assert 25 < (value(samples, "polls_total", account=account) or 0)


FAULTS = {
    "rest-hanging": "timeout",
    "rest-cut": "connection",
    "rest-429": "rate_limited",
    "rest-403": "protocol",
    "rest-451": "protocol",
    "rest-503": "exchange",
    "rest-html": "decode",
    "rest-redirects": "protocol",
    "rest-truncated": "decode",
    "rest-wrong-types": "decode",
    "rest-huge": "decode",
    "rest-empty": "decode",
    "rest-empty-rates": "decode",
    "rest-null-rates": "decode",
}


@pytest.mark.no_cover
@pytest.mark.parametrize("name", FAULTS)
async def test_fault(system: System, name: str) -> None:
    """A fault of REST is counted under its reason and makes its series disappear; no poll fails meanwhile."""
    endpoint, rates_only = system.endpoint, name.endswith("-rates")
    async with system.open():
        labels = {"endpoint": endpoint, "symbol": "BTCUSDT"}
        await until_counted(system.client, 0.5, "asset_index_price", endpoint=endpoint, asset="USDT")
        await until_counted(system.client, 1.0, "funding_next_timestamp_seconds", **labels)
        with REST_FAULTS[name].switch(system.exchange):
            await until_counted(
                system.client, 1.0, "rest_request_failures_total", endpoint=endpoint, reason=FAULTS[name]
            )
            await system.shows(None, "funding_rate", **labels)
            samples = await scrape(system.client)
            if not rates_only:
                samples = await system.shows(None, "asset_index_price", endpoint=endpoint, asset="USDT")

    assert rates_only == ("binance_futures_asset_index_price" in rest_series(samples))
    assert "/fapi/v1/redirected" not in [request.method for request in system.exchange.received]
    assert not [v for (series, _), v in samples.items() if series == "binance_futures_poll_failures_total" and v]
    for account in ("alice", "bob"):
        assert 1.0 == value(samples, "up", account=account)


async def test_intervals_that_are_not_reported(system: System) -> None:
    """Without fundingInfo the interval of funding is absent, not 8 hours; the rate is shown."""
    endpoint = system.endpoint
    with REST_FAULTS["rest-no-intervals"].switch(system.exchange):
        async with system.open():
            labels = {"endpoint": endpoint, "symbol": "BTCUSDT"}
            await until_counted(system.client, 1.0, "funding_next_timestamp_seconds", **labels)
            await asyncio.sleep(10)
            samples = await scrape(system.client)

    assert value(samples, "funding_interval_seconds", **labels) is None
    assert value(samples, "funding_rate", **labels) is not None


async def test_symbol_that_rest_does_not_know(system: System) -> None:
    """A held symbol that premiumIndex refuses as invalid has no funding; the others have."""
    exchange = system.exchange
    exchange.account("alice").open("ETHUSDT", "-1", leverage=10)

    def refuse(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["body"].get("symbol") != "ETHUSDT":
            return answer
        return {**answer, "status": 400, "body": {"code": -1121, "msg": "Invalid symbol."}}

    exchange.replace_answer(PREMIUM_INDEX, None, refuse)
    async with system.open():
        endpoint = system.endpoint
        await until_counted(system.client, 1.0, "funding_next_timestamp_seconds", endpoint=endpoint, symbol="BTCUSDT")
        samples = await scrape(system.client)

    assert value(samples, "funding_rate", endpoint=endpoint, symbol="ETHUSDT") is None
