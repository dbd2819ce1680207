"""Reading an account's income into its ledger: interruptions, limits, the clock, and the simulated exchange."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.income import HOUR, MINUTE, TURN, History, income_row
from support.polling import credentials_of
from support.rest import client_of
from support.virtual_time import now

from exporter.binance.errors import NoResponse
from exporter.rest import income_reader, income_walk
from exporter.rest.income_ledger import IncomeLedger
from exporter.rest.income_reader import IncomeReader
from exporter.rest.income_sums import LabelSet
from exporter.rest.income_turn import Since
from exporter.simulator.fault_catalog_rest import REST_FAULTS

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange

NOON = TURN - 12 * HOUR
TRANSFER = LabelSet("USDT", "transfer", "")


class Account:
    """An account with two rows a minute, of which a page has four; its exporter starts at noon."""

    def __init__(self, since: Since = Since.MONTH, rows: int = 10) -> None:
        self.clock = SimpleNamespace(milliseconds=NOON)
        self.history = History([], lambda: self.clock.milliseconds)
        self.add(*(-number * MINUTE // 2 for number in range(rows)))
        client: Any = self.history
        clock: Any = self.clock
        self.ledger = IncomeLedger(since, NOON, by_symbol=False)
        self.reader = IncomeReader("main", client, clock, clock, self.ledger)

    def add(self, *offsets: int) -> None:
        """Add rows of times relative to noon."""
        self.history.rows = sorted(
            [*self.history.rows, *((income_row(NOON + each, "1"), NOON + each) for each in offsets)]
        )

    @property
    def starts(self) -> list[int]:
        """The times since noon from which rows were requested."""
        return [int(request["startTime"]) - NOON for request in self.history.requests]

    def received(self) -> Decimal | None:
        """The counter once no label set is new."""
        shown = self.ledger.figures(self.clock.milliseconds, ()).get(TRANSFER)
        return shown and shown.received


@pytest.fixture(autouse=True)
def _small_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "exchange" not in request.fixturenames:
        monkeypatch.setattr(income_walk, "MAX_INCOME_ROWS", 4)


async def test_interrupted_read_is_continued() -> None:
    """A read continues at the page that failed, then reads what came since; until then nothing is shown."""
    account = Account(Since.DAY)
    account.history.errors = [None, None, NoResponse("no")]
    with pytest.raises(NoResponse):
        await account.reader.read()
    assert account.received() is None
    account.clock.milliseconds += HOUR
    account.add(HOUR)

    assert await account.reader.read()
    failed = -1.5 * MINUTE
    assert [-12 * HOUR, -3 * MINUTE, failed, failed, 0, -10 * MINUTE] == account.starts[:6]
    assert 11 == account.received()
    assert NOON + HOUR == account.ledger.read_until_ms


async def test_read_that_fails_at_once_begins_again() -> None:
    """A read whose first page failed begins again, until the new time."""
    account = Account(Since.DAY, rows=3)
    account.history.errors = [NoResponse("no")]
    with pytest.raises(NoResponse):
        await account.reader.read()
    account.clock.milliseconds += MINUTE

    assert await account.reader.read()
    assert [-12 * HOUR, -12 * HOUR] == account.starts
    assert NOON + MINUTE == account.ledger.read_until_ms


async def test_read_in_parts(logged: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of many pages takes several calls, after which all rows are counted; a warning is logged once."""
    monkeypatch.setattr(income_reader, "_PAGES_AT_ONCE", 3)
    monkeypatch.setattr(income_reader, "_MANY_PAGES", 3)
    account = Account(Since.DAY, rows=8)
    account.add(*(-HOUR * number for number in range(1, 9)))

    assert [False, True] == [await account.reader.read() for _ in range(2)]
    assert 16 == account.received()
    account.clock.milliseconds += 12 * HOUR - 1
    account.add(*(HOUR * number for number in range(1, 12)))
    assert [False, False, True] == [await account.reader.read() for _ in range(3)]
    assert 27 == account.received()
    assert ["reading income takes a long time"] == [event["event"] for event in logged]


async def test_clock_that_was_ahead() -> None:
    """A read until a time that has not come is dropped: it would skip the rows until then."""
    account = Account()
    account.clock.milliseconds = NOON + HOUR
    requests = account.history.request

    async def set_back(params: Any) -> Any:
        account.clock.milliseconds = NOON
        return await requests(params)

    account.history.request = set_back  # type: ignore[method-assign]

    assert not await account.reader.read()
    assert account.ledger.read_until_ms is None
    assert await account.reader.read()
    assert NOON == account.ledger.read_until_ms


async def test_vanished_rows_are_logged(logged: list[Any]) -> None:
    """Rows that the exchange no longer returns are logged, and their amounts remain counted."""
    account = Account()
    await account.reader.read()
    account.history.rows.pop()
    await account.reader.read()

    event = "the exchange no longer returns some income; its amounts remain counted"
    assert [{"event": event, "account": "main", "rows": 1, "log_level": "warning"}] == logged
    assert 10 == account.received()


@pytest.mark.parametrize("fault", [None, "rest-descending", "rest-late-income"])
async def test_income_of_a_trader(virtual_time: None, exchange: SimulatedExchange, fault: str | None) -> None:
    """Against the exchange: counters are the sums of rows of trades and transfers, also if these appear late."""
    if fault:
        REST_FAULTS[fault].switch(exchange)
    account, begins = exchange.account("alice"), int(now() * 1000)
    account.deposit("BNB", "5")
    async with client_of(exchange.rest_url) as client:
        ledger = IncomeLedger(Since.MONTH, begins, by_symbol=False)
        reader = IncomeReader("alice", client, credentials_of(account), client.clock, ledger)
        for number in range(30):
            account.fees_in_bnb = number > 10
            (account.close if number % 2 else account.open)("ETHUSDT", amount="0.5")
            account.deposit("USDT", "-3.5")
            await asyncio.sleep(60)
            await reader.read()
        await asyncio.sleep(600)
        await reader.read()
        shown = ledger.figures(client.clock.milliseconds, ())
    expected: defaultdict[LabelSet, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in account.income.rows:
        if row.time_ms >= Since.MONTH.start(begins):
            expected[LabelSet(row.asset, row.income_type.lower(), "")][row.amount < 0] += abs(row.amount)

    assert {"transfer", "commission", "realized_pnl"} <= {labels.income_type for labels in expected}
    assert {labels: tuple(sums) for labels, sums in expected.items()} == {
        labels: figures[:2] for labels, figures in shown.items() if labels in expected
    }
