"""Income in the whole exporter: what is shown, how it is paced, reloads and failures."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from support.rest_system import OFF, System
from support.service import Samples, scrape, until_counted, until_scraped, value
from support.virtual_time import now
from support.waiting import until

from exporter.rest.income_turn import DAY_MS
from exporter.rest.requests import ALL_SYMBOLS_WEIGHT
from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.market import SYMBOLS
from exporter.simulator.rest import INCOME

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("virtual_time")

ENABLED: dict[str, Any] = {"enabled": True, "interval": "10s", "stale_after": "30s"}
COUNTERS = ("received_total", "paid_total")


@pytest.fixture
def system(exchange: SimulatedExchange, tmp_path: Path) -> System:
    """An exporter for alice and bob that reads income every ten seconds and nothing else over REST."""
    system = System(exchange, tmp_path)
    system.edit(**OFF | {"income": ENABLED, "poll": {"interval": "30s"}})
    return system


def income_of(samples: Samples, account: str) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """Return the counters of an account's label sets that are not 0."""
    shown: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (name, pairs), number in samples.items():
        counter = name.removeprefix("binance_futures_income_")
        if counter in COUNTERS and (labels := dict(pairs))["account"] == account and number:
            key = (labels["asset"], labels["income_type"], labels["symbol"])
            shown[key][COUNTERS.index(counter)] = number
    return {key: tuple(numbers) for key, numbers in shown.items()}


def rows_of(account: SimulatedAccount, *, by_symbol: bool = False) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """Return the sums of an account's rows."""
    sums: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in filter(attrgetter("time_ms"), account.income.rows):  # not those from before the exchange was started
        key = (row.asset, row.income_type.lower(), row.symbol if by_symbol else "")
        sums[key][row.amount < 0] += float(abs(row.amount))
    return {key: tuple(round(number, 8) for number in numbers) for key, numbers in sums.items()}


def trade(account: SimulatedAccount) -> None:
    """Add rows of several types."""
    account.deposit("USDT", "1000")
    account.open("ETHUSDT", "0.5")
    account.close("ETHUSDT")


@pytest.mark.no_cover
async def test_counters_are_sums_of_rows(system: System) -> None:
    """Counters are the sums of rows, and 0 without rows; those of a new label set are 0 at first."""
    alice = system.exchange.account("alice")
    funding = {"account": "alice", "asset": "USDT", "income_type": "funding_fee", "symbol": ""}
    new = {"account": "alice", "asset": "BNB", "income_type": "a_new_type", "symbol": ""}
    async with system.open():
        await system.shows(0.0, "income_paid_total", **funding)
        trade(alice)
        alice.record_income("A_NEW_TYPE", "BNB", "-1.5")
        await system.shows(0.0, "income_paid_total", **new)
        await asyncio.sleep(300)
        samples = await system.shows(1.5, "income_paid_total", **new)

    assert rows_of(alice) == income_of(samples, "alice")
    assert -1.5 == value(samples, "income_today", **new)


async def test_by_symbol(system: System) -> None:
    """With `by_symbol` counters have the symbol of the rows, of the accounts that have it enabled."""
    alice, bob = system.exchange.account("alice"), system.exchange.account("bob")
    for account in (alice, bob):
        account.open("ETHUSDT", "0.1")

    def change(document: dict[str, Any]) -> None:
        document["accounts"][0]["income"] = {"by_symbol": True}

    system.edit(change)
    async with system.open():
        await until_counted(system.client, 1.0, "income_polls_total", account="alice")
        samples = await until_counted(system.client, 1.0, "income_polls_total", account="bob")

    assert rows_of(alice, by_symbol=True) == income_of(samples, "alice")
    assert rows_of(bob) == income_of(samples, "bob")


async def test_stale_income_is_not_shown(system: System) -> None:
    """Income that is too old is absent while it cannot be read, which is counted, and polls go on."""
    async with system.open():
        samples = await until_counted(system.client, 1.0, "income_polls_total", account="alice")
        assert income_of(samples, "alice")
        read_until = value(samples, "income_read_until_timestamp_seconds", account="alice")
        with REST_FAULTS["rest-503"].switch(system.exchange):
            await until_counted(system.client, 1.0, "income_poll_failures_total", account="alice", reason="exchange")
            await asyncio.sleep(31)
            samples = await scrape(system.client)
            assert not income_of(samples, "alice")
            assert value(samples, "up", account="alice")
            assert (read_until or 0) <= (value(samples, "income_read_until_timestamp_seconds", account="alice") or 0)
        await asyncio.sleep(60)
        await until_scraped(system.client, lambda samples: income_of(samples, "alice"))


@pytest.mark.parametrize(
    ("change", "is_read_again"),
    [({"interval": "60s", "stale_after": "5m"}, False), ({"since": "day"}, True), ({"by_symbol": True}, True)],
)
async def test_reload(system: System, change: dict[str, Any], is_read_again: bool) -> None:  # noqa: FBT001
    """A reload keeps what was read, unless it is to be summed in another way."""
    async with system.open():
        await until_counted(system.client, 1.0, "income_polls_total", account="alice")
        await until_counted(system.client, 1.0, "income_polls_total", account="bob")
        system.exchange.account("alice").income.rows.clear()
        before = system.requests(INCOME)
        await system.reload(income=ENABLED | change)
        samples = await scrape(system.client)
        assert is_read_again is not bool(income_of(samples, "alice"))
        await until(lambda: system.requests(INCOME) >= before + 2)
        starts = [int(request.params["startTime"]) for request in system.exchange.received if request.method == INCOME]
        assert is_read_again is any(start % DAY_MS == 0 for start in starts[before:])


async def test_shorter_interval(system: System) -> None:
    """A shorter interval takes effect with the reload, not after the longer one that has begun."""
    system.edit(income=ENABLED | {"interval": "1h", "stale_after": "4h"})
    async with system.open():
        for account in ("alice", "bob"):
            await until_counted(system.client, 1.0, "income_polls_total", account=account)
        await system.reload(income=ENABLED)
        await asyncio.sleep(15)
        samples = await scrape(system.client)
        assert 2.0 <= (value(samples, "income_polls_total", account="alice") or 0.0)


async def test_disabled_for_an_account(system: System) -> None:
    """Income is read of the accounts for which it is enabled."""

    def disable(document: dict[str, Any]) -> None:
        document["accounts"][0]["income"] = {"enabled": False}

    system.edit(disable)
    async with system.open():
        samples = await until_counted(system.client, 2.0, "income_polls_total", account="bob")
        assert value(samples, "income_polls_total", account="alice") is None
        assert not income_of(samples, "alice")


@pytest.mark.no_cover
async def test_many_accounts_share_the_weight(tmp_path: Path) -> None:
    """The first reads of many accounts wait for the share of the request weight, and none fails."""
    accounts = [SimulatedAccount(f"account{number}") for number in range(12)]
    async with SimulatedExchange(accounts, clock=now) as exchange:
        for account in accounts:
            account.move_to(0.0, int(exchange.server_time() * 1000))
            account.deposit("USDT", "1000")
        system = System(exchange, tmp_path)
        system.edit(
            lambda document: document["binance"].update(rest_weight_share=0.05),
            **OFF | {"income": ENABLED | {"stale_after": "1h"}, "poll": {"interval": "10m"}},
        )
        async with system.open():
            await asyncio.sleep(1200)
            samples = await scrape(system.client)

    failures = {key: number for key, number in samples.items() if "income_poll_failures" in key[0] and number}
    assert not failures
    for account in accounts:
        assert rows_of(account) == income_of(samples, account.name)


@pytest.mark.no_cover
async def test_small_share(system: System) -> None:
    """With a small share, the small requests of funding and prices do not prevent the larger ones of income."""
    alice = system.exchange.account("alice")
    for symbol in list(SYMBOLS)[: ALL_SYMBOLS_WEIGHT + 2]:
        alice.open(symbol, "1")
    enabled = {"enabled": True}
    system.edit(
        lambda document: document["binance"].update(rest_weight_share=0.02),
        **OFF | {"poll": {"interval": "1m"}, "income": enabled, "funding": enabled, "prices": enabled},
    )
    async with system.open():
        await asyncio.sleep(1800)
        samples = await scrape(system.client)

    for account in ("alice", "bob"):
        read_until = value(samples, "income_read_until_timestamp_seconds", account=account) or 0.0
        assert now() - read_until < 900, account
    assert {"binance_futures_funding_rate", "binance_futures_asset_index_price"} <= {name for name, _ in samples}


async def test_another_key(system: System) -> None:
    """With another key, an account's counters are the sums of that key's rows, and nothing is shown until then."""
    keys = system.path.parent / "keys"
    bob = system.exchange.account("bob")
    bob.open("ETHUSDT", "0.1")

    def exchange_keys(document: dict[str, Any]) -> None:
        alice, _ = document["accounts"]
        alice.update(api_key_file=str(keys / "bob.key"), private_key_file=str(keys / "bob.pem"))
        del alice["secret_key_file"], document["accounts"][1]

    async with system.open():
        await until_counted(system.client, 1.0, "income_polls_total", account="alice")
        await system.reload(exchange_keys)
        assert not income_of(await scrape(system.client), "alice")
        samples = await until_scraped(system.client, lambda samples: income_of(samples, "alice"))

    assert rows_of(bob) == income_of(samples, "alice")
