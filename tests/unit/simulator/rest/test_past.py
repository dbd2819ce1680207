"""The income of the demo's accounts before its start: as a real account's, reproducible, and readable page by page."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Clock
from support.rest_client import RestClient

from exporter.rest.income_rows import INCOME_TYPES
from exporter.simulator import demo_exchange
from exporter.simulator.fault_catalog import FAULTS
from exporter.simulator.rest import INCOME

if TYPE_CHECKING:
    from exporter.simulator import SimulatedAccount, SimulatedExchange
    from exporter.simulator.income import Income

DAY_MS = 86_400_000
NOON = datetime(2026, 3, 29, 12, 30, tzinfo=UTC).timestamp()


def past(seed: int = 1, started: float = NOON) -> dict[str, list[Income]]:
    """Return the rows of the demo's accounts before its start."""
    return past_of(demo_exchange(seed, clock=Clock(started)), started)


def past_of(exchange: SimulatedExchange, started: float = NOON) -> dict[str, list[Income]]:
    """Return the rows of an exchange's accounts before its start."""
    return {
        name: [row for row in account.income.rows if row.time_ms < started * 1000]
        for name, account in exchange.accounts.items()
    }


def test_past_begins_with_deposits_within_90_days() -> None:
    """The rows begin with deposits on the first of 90 UTC days, the last of which is the day of the start."""
    for rows in past().values():
        deposits = [row for row in rows if row.time_ms == rows[0].time_ms and row.income_type == "TRANSFER"]

        assert "USDT" == deposits[0].asset
        assert rows[: len(deposits)] == deposits
        assert 89 * DAY_MS == NOON * 1000 // DAY_MS * DAY_MS - rows[0].time_ms
        assert DAY_MS > NOON * 1000 - rows[-1].time_ms


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wallets_are_never_negative(seed: int) -> None:
    """No wallet is ever overdrawn; at the start everything is transferred out, before the scenario's deposits."""
    exchange = demo_exchange(seed, clock=Clock(NOON))
    for name, rows in past_of(exchange).items():
        balances: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            balances[row.asset] += row.amount
            assert balances[row.asset] >= 0
        at_start = exchange.accounts[name].income.rows[len(rows) :]
        transferred = {row.asset: -row.amount for row in at_start[: len(balances)]}

        assert {"TRANSFER"} == {row.income_type for row in at_start[: len(balances)]}
        assert balances == transferred


def test_accounts_of_the_past_differ() -> None:
    """One account is busy and pays commissions in BNB; two earn, two lose, as is plausible for their deposits."""
    rows_of = past()
    earned = {
        name: sum(row.amount for row in rows if row.income_type != "TRANSFER" and row.asset in {"USDT", "USDC"})
        for name, rows in rows_of.items()
    }
    fee_assets = {
        name: {row.asset for row in rows if row.income_type == "COMMISSION"} for name, rows in rows_of.items()
    }

    assert 3000 < len(rows_of["main"]) < 4500
    assert all(500 < len(rows_of[name]) < 1300 for name in ("multi", "hedge", "isolated"))
    assert 200 < earned["main"] < 2500
    assert 200 < earned["multi"] < 4000
    assert -2000 < earned["hedge"] < 0
    assert -4000 < earned["isolated"] < 0
    assert {"main": {"BNB"}, "multi": {"USDT", "USDC"}, "hedge": {"USDT"}, "isolated": {"USDT"}} == fee_assets


def test_past_contains_what_is_special() -> None:
    """Types that are rare or new, assets without a wallet, equal transfers, ids of trades, and days without trades."""
    rows_of = past()
    types = {row.income_type for rows in rows_of.values() for row in rows}
    funding = [row for rows in rows_of.values() for row in rows if row.income_type == "FUNDING_FEE"]

    assert {"TRADING_VOUCHER"} == types - set(INCOME_TYPES)
    assert {"REFERRAL_KICKBACK", "COMMISSION_REBATE", "INSURANCE_CLEAR", "BFUSD_REWARD"} < types
    assert "BNFCR" in {row.asset for row in rows_of["multi"]}
    assert min(row.amount for row in funding) < 0 < max(row.amount for row in funding)
    assert {0, 8, 16} == {row.time_ms // 3_600_000 % 24 for row in funding if row.symbol == "BTCUSDT"}
    for rows in rows_of.values():
        profits = {row.transaction for row in rows if row.income_type == "REALIZED_PNL"}
        commissions = {row.transaction: row.time_ms for row in rows if row.income_type == "COMMISSION"}
        again = [count for row, count in Counter(rows).items() if count > 1]
        liquidations = sum(row.income_type == "INSURANCE_CLEAR" for row in rows)
        assert liquidations == len(profits - commissions.keys())
        assert min(profits) > 2**53
        assert [2, 2, 2] == again
        assert 50 < len({time_ms // DAY_MS for time_ms in commissions.values()}) < 80


@pytest.mark.no_cover
def test_past_is_reproducible() -> None:
    """A seed and a day determine the rows: a later start on the day only has more, and other days have the same."""
    earlier, later, next_day = past(started=NOON - 40_000), past(), past(started=NOON + 86_400)

    assert later == past()
    assert later != past(2)
    assert sum(map(len, earlier.values())) < sum(map(len, later.values()))
    for name, rows in later.items():
        assert earlier[name] == rows[: len(earlier[name])]
        shared = [row for row in rows if row.time_ms >= next_day[name][0].time_ms]
        again = [row for row in next_day[name] if row.time_ms < NOON * 1000]
        assert without_ids(shared) == without_ids(again)


def without_ids(rows: list[Income]) -> list[tuple[Any, ...]]:
    """Return the rows without their ids, and without transfers, since every past begins with some."""
    kept = [row for row in rows if row.income_type != "TRANSFER"]
    return [(row.time_ms, row.income_type, row.asset, row.amount, row.symbol) for row in kept]


class Walk:
    """Reads an account's income from a time to the start, in windows of 7 days and pages of 1,000 rows.

    A full page is followed by one that begins at its last millisecond; equal rows count as often as a page has them.
    """

    def __init__(self) -> None:
        self.rows = Counter[tuple[Any, ...]]()
        self.pages = 0
        self.divided = 0  # pages that ended within a millisecond, of which the next page has more rows

    async def read(self, client: RestClient, account: SimulatedAccount, start_ms: int, end_ms: int) -> None:
        """Read all pages."""
        full = False
        while start_ms <= end_ms:
            until_ms = min(start_ms + 7 * DAY_MS - 1, end_ms)
            reply = await client.signed(account, INCOME, startTime=start_ms, endTime=until_ms, limit=1000)
            assert reply.status == 200, reply
            rows = Counter(tuple(row.values()) for row in reply.body)
            times_ms = [row["time"] for row in reply.body]
            self.pages += 1
            self.divided += full and start_ms in {row[5] for row in rows - self.rows}
            # Each row contains its time, so only rows of a page that was continued are there already.
            self.rows |= rows
            full = len(times_ms) == 1000
            start_ms = max(times_ms) if full else until_ms + 1


@pytest.mark.no_cover
@pytest.mark.parametrize("fault", [None, "rest-descending"])
async def test_walk_reads_every_row_once(fault: str | None) -> None:
    """Pages of the past have every row exactly once, though the busiest account's end within a millisecond."""
    clock = Clock(NOON)
    async with demo_exchange(1, clock=clock) as exchange:
        if fault:
            FAULTS[fault].switch(exchange)
        with RestClient(exchange, clock) as client:
            for name, rows in past_of(exchange).items():
                walk = Walk()
                await walk.read(client, exchange.accounts[name], rows[0].time_ms, clock.now_ms - 1)

                expected = Counter(
                    (r.symbol, r.income_type, f"{r.amount:.8f}", r.asset, r.info, r.time_ms, r.transaction, r.trade)
                    for r in rows
                )
                assert expected == walk.rows
                assert walk.divided == (3 if name == "main" else 0)


@pytest.mark.no_cover
async def test_pages_of_the_month() -> None:
    """On the 29th of a month its income fits into 5 pages of each account, one for each week."""
    clock = Clock(NOON)
    begin_ms = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
    pages = {}
    async with demo_exchange(1, clock=clock) as exchange:
        with RestClient(exchange, clock) as client:
            for name, account in exchange.accounts.items():
                walk = Walk()
                await walk.read(client, account, begin_ms, clock.now_ms)
                pages[name] = walk.pages

    assert {"main": 5, "multi": 5, "hedge": 5, "isolated": 5} == pages
