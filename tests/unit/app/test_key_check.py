"""The check of API keys in the whole exporter: what keys may do, and when they are checked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import yaml
from support.service import scrape, until_counted, value
from support.waiting import until

from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import API_RESTRICTIONS

if TYPE_CHECKING:
    from support.rest_system import System


async def test_key_that_can_withdraw(system: System) -> None:
    """What each key may do, whether only from certain IPs, and when it was created."""
    bob = system.exchange.accounts["bob"]
    bob.key_permissions["enableWithdrawals"] = True
    bob.key_ip_restricted = False
    async with system.open():
        await system.shows(1.0, "key_permission", account="bob", permission="withdrawals")
        samples = await system.shows(0.0, "key_permission", account="alice", permission="withdrawals")

    assert 0.0 == value(samples, "key_ip_restricted", account="bob")
    assert 1.0 == value(samples, "key_ip_restricted", account="alice")
    assert 1_698_645_219.0 == value(samples, "key_created_timestamp_seconds", account="alice")


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
