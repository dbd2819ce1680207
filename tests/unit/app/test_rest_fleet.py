"""REST in the whole exporter: what is shown, reloads, and keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.rest_system import ENABLED, OFF, System, rest_series
from support.service import scrape, until_counted, value
from support.waiting import until

from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, PREMIUM_INDEX

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator import SimulatedExchange

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.fixture
def system(exchange: SimulatedExchange, tmp_path: Path) -> System:
    """An exporter for alice and bob, not running yet."""
    return System(exchange, tmp_path)


async def test_values(system: System) -> None:
    """Funding of the symbols and prices of the assets that are held, what keys may do, and the requests themselves."""
    exchange = system.exchange
    exchange.market.pin_funding_rate("BTCUSDT", "-0.00042")
    exchange.accounts["bob"].key_permissions["enableWithdrawals"] = True
    exchange.accounts["bob"].key_ip_restricted = False
    async with system.open():
        endpoint = system.endpoint
        await system.shows(-0.00042, "funding_rate", endpoint=endpoint, symbol="BTCUSDT")
        await system.shows(8 * 3600.0, "funding_interval_seconds", endpoint=endpoint, symbol="BTCUSDT")
        await system.shows(1.0, "key_permission", account="bob", permission="withdrawals")
        await system.shows(0.0, "key_permission", account="alice", permission="withdrawals")
        samples = await until_counted(system.client, 0.5, "asset_index_price", endpoint=endpoint, asset="USDT")

    assert 0.0 == value(samples, "key_ip_restricted", account="bob")
    assert 1.0 == value(samples, "key_ip_restricted", account="alice")
    assert 1_698_645_219.0 == value(samples, "key_created_timestamp_seconds", account="alice")
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


async def test_key_is_checked_once(system: System) -> None:
    """Each key is checked once, whatever is reloaded, also if its account is removed and added again."""
    accounts: list[Any] = []
    async with system.open():
        await until(lambda: 2 == system.requests(API_RESTRICTIONS))
        await system.reload(funding={"enabled": True, "interval": "6s"})
        await system.reload(lambda document: accounts.append(document["accounts"].pop(0)))
        assert value(await scrape(system.client), "key_ip_restricted", account="alice") is None
        await asyncio.sleep(30)
        await system.reload(lambda document: document["accounts"].insert(0, accounts.pop()))
        await system.shows(1.0, "key_ip_restricted", account="alice")
        await system.shows(1.0, "up", account="alice")
        await asyncio.sleep(30)

    assert 2 == system.requests(API_RESTRICTIONS)


async def test_renamed_account_keeps_its_key(system: System) -> None:
    """An account that is renamed shows what its key may do without another request."""
    async with system.open():
        await until(lambda: 2 == system.requests(API_RESTRICTIONS))
        await system.reload(lambda document: document["accounts"][0].update(name="renamed"))
        samples = await system.shows(1.0, "key_ip_restricted", account="renamed")

    assert value(samples, "key_ip_restricted", account="alice") is None
    assert 2 == system.requests(API_RESTRICTIONS)


async def test_replaced_key_is_checked(system: System) -> None:
    """After a key's files were replaced, the old key's permissions are no longer shown, and the new key is checked."""
    system.exchange.accounts["bob"].key_ip_restricted = False
    keys = system.path.parent / "keys"
    async with system.open():
        await system.shows(1.0, "key_ip_restricted", account="alice")
        await system.reload(lambda document: document["accounts"].pop())
        await system.reload(
            lambda document: (
                document["accounts"][0].update(
                    {"api_key_file": str(keys / "bob.key"), "private_key_file": str(keys / "bob.pem")}
                )
                or document["accounts"][0].pop("secret_key_file")
            )
        )
        await system.shows(0.0, "key_ip_restricted", account="alice")


async def test_keys_are_checked_after_a_wrong_endpoint(system: System) -> None:
    """Keys that could not be checked without a connection are checked once the endpoint is corrected by a reload."""
    right = yaml.safe_load(system.path.read_text())["binance"]
    system.edit(binance=right | {"endpoint": "ws://127.0.0.1:1/ws-fapi/v1"})
    async with system.open():
        await system.reload(binance=right)
        await system.shows(1.0, "key_ip_restricted", account="alice")


async def test_key_on_two_endpoints_is_checked_once(system: System) -> None:
    """Two accounts with one key and REST host, but on different endpoints, share one request."""
    system.exchange.accounts["alice"].key_ip_restricted = True
    other = system.exchange.url.replace("127.0.0.1", "localhost")

    def add_copy(document: dict[str, Any]) -> None:
        alice = document["accounts"][0]
        document["accounts"] = [alice, alice | {"name": "copy", "binance": {"endpoint": other}}]

    system.edit(add_copy)
    async with system.open():
        await system.shows(1.0, "key_ip_restricted", account="alice")
        await system.shows(1.0, "key_ip_restricted", account="copy")

    assert 1 == system.requests(API_RESTRICTIONS)


async def test_refused_check_is_repeated(system: System) -> None:
    """A key check that is refused is counted, and not repeated at once."""
    system.edit(poll={"interval": "5m"}, funding={}, prices={})
    with REST_FAULTS["rest-key-refused"].switch(system.exchange):
        async with system.open():
            await until(lambda: 2 == system.requests(API_RESTRICTIONS))
            counted = {"endpoint": system.endpoint, "reason": "refused"}
            await until_counted(system.client, 1.0, "rest_request_failures_total", **counted)
            await asyncio.sleep(100)

    assert 2 == system.requests(API_RESTRICTIONS)


async def test_wrong_clock(system: System) -> None:
    """When the exchange's clock has stepped, the key check reads its time again over the WebSocket API."""
    system.edit(key_check={"enabled": False}, poll={"interval": "5m"})
    async with system.open():
        await system.shows(1.0, "up", account="alice")
        await system.shows(1.0, "up", account="bob")
        with system.exchange.skew_clock(60.0):
            system.exchange.received.clear()
            await system.reload(key_check={"enabled": True})
            await system.shows(1.0, "key_ip_restricted", account="alice")

    assert "session.status" in [request.method for request in system.exchange.received]
