"""REST in the whole exporter: what is shown, and reloads."""

from __future__ import annotations

import asyncio

from support.rest_system import ENABLED, OFF, System, rest_series
from support.service import scrape, until_counted, value
from support.waiting import until

from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, PREMIUM_INDEX


async def test_values(system: System) -> None:
    """Funding of the symbols and prices of the assets that are held, and the requests themselves."""
    exchange = system.exchange
    exchange.market.pin_funding_rate("BTCUSDT", "-0.00042")
    async with system.open():
        endpoint = system.endpoint
        await system.shows(-0.00042, "funding_rate", endpoint=endpoint, symbol="BTCUSDT")
        await system.shows(8 * 3600.0, "funding_interval_seconds", endpoint=endpoint, symbol="BTCUSDT")
        samples = await until_counted(system.client, 0.5, "asset_index_price", endpoint=endpoint, asset="USDT")

    assert exchange.server_time() < (
        value(samples, "funding_next_timestamp_seconds", endpoint=endpoint, symbol="BTCUSDT") or 0
    )
    assert 2400.0 == value(samples, "rest_request_weight_limit", endpoint=endpoint)
    assert 0 < (value(samples, "rest_request_weight_spent_total", endpoint=endpoint) or 0)
    for path in (PREMIUM_INDEX, FUNDING_INFO, ASSET_INDEX, API_RESTRICTIONS):
        assert 0 < (value(samples, "request_duration_seconds_count", method=f"GET {path}") or 0)
    assert {"BTCUSDT"} == {dict(labels)["symbol"] for name, labels in samples if name == "binance_futures_funding_rate"}


async def test_nothing_is_requested_when_nothing_is_enabled(system: System) -> None:
    """If nothing is enabled, no REST request is sent, and no REST series are shown."""
    system.edit(**OFF)
    async with system.open():
        await system.shows(1.0, "up", account="alice")
        await asyncio.sleep(30)
        samples = await scrape(system.client)

    assert not system.requests()
    assert not [name for name, _ in samples if "_rest_" in name or name in rest_series(samples)]


async def test_reload_enables_and_disables(system: System) -> None:
    """Funding can be enabled and disabled by a reload; the failures counted so far stay."""
    system.edit(**OFF)
    async with system.open():
        await system.shows(1.0, "up", account="alice")
        with REST_FAULTS["rest-503"].switch(system.exchange):
            await system.reload(**ENABLED)
            await until_counted(
                system.client, 1.0, "rest_request_failures_total", endpoint=system.endpoint, reason="exchange"
            )
        counted = value(
            await scrape(system.client), "rest_request_failures_total", endpoint=system.endpoint, reason="exchange"
        )
        await system.reload(**OFF)
        samples = await scrape(system.client)
        assert not rest_series(samples)
        requests = system.requests()
        await asyncio.sleep(30)
        assert requests == system.requests()
        await system.reload(**ENABLED)
        await until(lambda: system.requests(ASSET_INDEX) and system.requests(PREMIUM_INDEX))
        samples = await scrape(system.client)

    assert (counted or 0) <= (
        value(samples, "rest_request_failures_total", endpoint=system.endpoint, reason="exchange") or 0
    )


async def test_reload_of_the_rest_endpoint(system: System) -> None:
    """After a reload with another rest_endpoint requests go there, and no longer to the previous one."""
    system.edit(key_check={"enabled": False})
    elsewhere = "http://127.0.0.1:1"
    system.edit(lambda document: document["binance"].update(rest_endpoint=elsewhere))
    async with system.open():
        await until_counted(
            system.client, 1.0, "rest_request_failures_total", endpoint=system.endpoint, reason="connection"
        )
        assert not system.requests()
        await system.reload(lambda document: document["binance"].update(rest_endpoint=system.exchange.rest_url))
        await until(lambda: system.requests(ASSET_INDEX))
        await system.reload(lambda document: document["binance"].update(rest_endpoint=elsewhere))
        requests = system.requests()
        await asyncio.sleep(20)

    assert requests == system.requests()
