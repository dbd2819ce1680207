"""Accounts that a reload adds, removes, changes or keeps, and their key files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import yaml
from support.reloads import System, only
from support.service import scrape, value
from support.waiting import until

from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_added_account_is_polled(reloadable: System) -> None:
    """An account that a reload adds is polled; the others keep their connection and counters and stay ready."""
    both = reloadable.path.read_text()
    reloadable.edit(only("alice"))
    async with reloadable.open():
        await reloadable.shows(1, "up", account="alice")
        before = await scrape(reloadable.client)
        reloadable.path.write_text(both)
        assert "" == await reloadable.service.reload()
        ready = (await reloadable.client.get("/-/ready")).status_code
        await reloadable.shows(1, "up", account="bob")
        after = await scrape(reloadable.client)

    assert 200 == ready
    assert value(before, "polls_total", account="alice") <= value(after, "polls_total", account="alice")  # type: ignore[operator]
    assert 0 == sum(
        count for (name, labels), count in after.items() if "failures" in name and ("account", "alice") in labels
    )
    assert [1] == [count for (name, _), count in after.items() if name == "binance_futures_connections_total"]


async def test_added_account_is_polled_soon(reloadable: System) -> None:
    """However long the interval, an account that a reload adds is polled within seconds."""
    reloadable.edit(lambda document: document.update(poll={"interval": "1h"}))
    both = reloadable.path.read_text()
    reloadable.edit(only("alice"))
    async with reloadable.open():
        await reloadable.shows(1, "up", account="alice")
        reloadable.path.write_text(both)
        began = asyncio.get_running_loop().time()
        await reloadable.service.reload()
        before = value(await scrape(reloadable.client), "up", account="bob")
        await reloadable.shows(1, "up", account="bob")
        took = asyncio.get_running_loop().time() - began

    assert before is None
    assert took <= 60


async def test_removed_account_disappears_at_once(reloadable: System, exchange: SimulatedExchange) -> None:
    """An account that a reload removes is neither shown nor polled any more."""
    async with reloadable.open():
        await reloadable.shows(1, "up", account="alice")
        await reloadable.shows(1, "up", account="bob")
        reloadable.edit(only("alice"))
        await reloadable.service.reload()
        shown = (await reloadable.client.get("/metrics")).text
        page = (await reloadable.client.get("/")).text
        count = len(exchange.received)
        await until(lambda: len(exchange.received) >= count + 5)

    assert 'account="bob"' not in shown
    assert "bob" not in page
    keys = {received.params.get("apiKey") for received in list(exchange.received)[count + 2 :]}
    assert exchange.accounts["bob"].api_key not in keys


async def test_changed_account_starts_again(reloadable: System, exchange: SimulatedExchange) -> None:
    """An account whose key was changed shows none of its former series, and is polled with the new key."""
    async with reloadable.open():
        await reloadable.shows(1, "up", account="alice")
        await reloadable.shows(1, "up", account="bob")
        alice, _ = yaml.safe_load(reloadable.path.read_text())["accounts"]
        reloadable.edit(lambda document: document.update(accounts=[alice, alice | {"name": "bob"}]))
        with exchange.lose_answers("v2/account.status", "alice"):  # both have alice's key
            await reloadable.service.reload()
            shown = await scrape(reloadable.client)
        await reloadable.shows(1, "up", account="bob")
        after = await scrape(reloadable.client)

    assert value(shown, "account_wallet_balance", account="bob", currency="USDT") is None
    assert value(after, "account_wallet_balance", account="alice", currency="USDT") == value(
        after, "account_wallet_balance", account="bob", currency="USDT"
    )


async def test_kept_account_rereads_its_moved_files(reloadable: System) -> None:
    """An unchanged account whose key files have moved is kept, and its keys are reread from their new paths."""
    keys = reloadable.path.parent / "keys"
    async with reloadable.open():
        (alice, _) = reloadable.service._fleet.states
        (keys / "moved.secret").write_text((keys / "alice.secret").read_text())
        reloadable.edit(lambda document: document["accounts"][0].update(secret_key_file="keys/moved.secret"))
        await reloadable.service.reload()
        (keys / "moved.secret").write_text("Z" * 64)
        reread = alice.settings.reread
        assert reread is not None
        credentials = reread()

        assert (alice,) == reloadable.service._fleet.states[:1]
    assert credentials not in {None, alice.settings.credentials}


async def test_rotated_key_files_are_noticed(reloadable: System, logged: list[Any]) -> None:
    """Key files that change while their account is refused are tried with the next poll, without a reload."""
    good = reloadable.path.parent / "keys" / "alice.secret"
    right = good.read_text()
    good.write_text("0" * 64)
    async with reloadable.open():
        await reloadable.shows(1, "up", account="bob")
        (alice, _) = reloadable.service._fleet.states
        await until(lambda: alice.failures[Reason.REFUSED] >= 1)
        good.write_text(" ")  # half written
        await until(lambda: any(event["event"].startswith("changed key files cannot be used") for event in logged))
        good.write_text(right)
        await reloadable.shows(1, "up", account="alice")

    assert {Reason.REFUSED} == set(alice.failures)
