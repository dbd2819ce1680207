"""Reading income page by page: every row exactly once, however the pages are cut and whatever fails in between."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.income import History
from support.polling import credentials_of
from support.rest import client_of
from support.virtual_time import now

from exporter.binance.errors import DecodeError, NoResponse
from exporter.rest import income_walk
from exporter.rest.income_rows import INCOME_TYPES, INCOME_WEIGHT, IncomeRow
from exporter.rest.income_walk import IncomeWalk
from exporter.rest.requests import RestPath
from exporter.simulator.fault_catalog_rest import REST_FAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from msgspec import Raw
    from support.rest import Client

    from exporter.simulator import SimulatedAccount, SimulatedExchange

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
START_MS = 1_700_000_000_000


def row(offset_ms: int, income_type: str = "TRANSFER", transaction: int = 0, amount: str = "1") -> IncomeRow:
    """Return a row of a time after the start."""
    return IncomeRow(START_MS + offset_ms, income_type, transaction, "USDT", "", "", Decimal(amount))


# Rows of few milliseconds, ids and amounts, so that many of them are equal. The unknown type sorts first, since a
# millisecond with more rows than a response may contain reveals only the types of the first ones.
rows = st.builds(
    row,
    st.sampled_from([0, 1, 2, 3, DAY_MS, WEEK_MS - 1, WEEK_MS, 2 * WEEK_MS]),
    st.sampled_from(["A_NEW_TYPE", "COMMISSION", "REALIZED_PNL", "TRANSFER"]),
    st.integers(0, 3),
    st.sampled_from(["1", "-2"]),
)


def walk_of(history: History, end_ms: int) -> tuple[IncomeWalk, Counter[IncomeRow]]:
    """Return a walk from the start to a time after it, and the rows that it will have read."""
    read: Counter[IncomeRow] = Counter()
    return IncomeWalk(history.request, START_MS, START_MS + end_ms, read.update), read


@given(st.lists(rows, max_size=40), st.integers(1, 12), st.randoms(use_true_random=False))
async def test_every_row_is_read_once(sent: list[IncomeRow], page_rows: int, random: Random) -> None:
    """Each row is read exactly once, in whichever order pages have them; equal transfers as often as there are."""
    history = History([(row, 0) for row in sent], lambda: 0, random)
    walk, read = walk_of(history, 2 * WEEK_MS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(income_walk, "MAX_INCOME_ROWS", page_rows)
        history.errors = [random.choice([None, None, NoResponse("no")]) for _ in range(20)]
        for _ in range(1000):
            try:
                if await walk.run(random.randint(1, 3)):
                    break
            except NoResponse:
                pass
    expected = Counter({row: count if row.transaction == 0 else 1 for row, count in Counter(sent).items()})
    at_once = Counter(row.time_ms for row in sent)
    of_type_at_once = Counter((row.time_ms, row.income_type) for row in sent)

    assert (read <= expected) if walk.incomplete else (read == expected)
    assert walk.incomplete == sum(count >= page_rows for count in of_type_at_once.values())
    assert len(history.requests) <= 2 * 20 + 1 + len(sent) + 3 + sum(
        1 + len(INCOME_TYPES) for count in at_once.values() if count >= page_rows
    )


async def test_windows() -> None:
    """A request spans 7 days at most, with both times and the highest limit; windows do not overlap."""
    history = History([], lambda: 0)
    walk, _ = walk_of(history, WEEK_MS + 5)

    assert await walk.run(9)
    assert 2 == walk.pages
    assert [
        {"startTime": START_MS, "endTime": START_MS + WEEK_MS - 1, "limit": 1000},
        {"startTime": START_MS + WEEK_MS, "endTime": START_MS + WEEK_MS + 5, "limit": 1000},
    ] == history.requests


async def test_pages_are_limited() -> None:
    """A run reads so many pages at most, and the next one continues."""
    history = History([], lambda: 0)
    walk, _ = walk_of(history, 3 * WEEK_MS - 1)

    assert not await walk.run(2)
    assert await walk.run(2)
    assert await walk.run(2)
    assert 3 == len(history.requests)


@pytest.mark.parametrize("offset_ms", [-1, 6])
async def test_rows_of_another_time_are_refused(offset_ms: int) -> None:
    """Rows before or after the requested time are an error: the exchange would have ignored the times."""
    history = History([], lambda: 0)
    history.rows = [(row(offset_ms), 0)]

    async def request(params: Mapping[str, str | int]) -> Raw:
        return await history.request({**params, "startTime": 0, "endTime": 2 * START_MS})

    read: list[IncomeRow] = []
    walk = IncomeWalk(request, START_MS, START_MS + 5, read.extend)
    with pytest.raises(DecodeError, match="of a time that was not requested"):
        await walk.run(1)

    assert (0, []) == (walk.pages, read)


async def read_spread_rows(history: History) -> tuple[int, int]:
    """Return how many of 2,500 rows of 15 days a walk reads, and how often it counts rows as missing."""
    history.rows = [(row(number * (2 * WEEK_MS // 2500), transaction=number + 1), 0) for number in range(2500)]
    walk, read = walk_of(history, 2 * WEEK_MS + DAY_MS)
    assert await walk.run(1000)
    return read.total(), walk.incomplete


@pytest.mark.parametrize(("most", "requests"), [(1000, 3), (500, 6), (100, 26)])
async def test_lower_limit_of_the_exchange(most: int, requests: int) -> None:
    """If the exchange has a lower limit of rows than requested, the rows that it omits are read by more requests."""
    history = History([], lambda: 0, most=most)

    assert (2500, 0) == await read_spread_rows(history)
    assert requests == len(history.requests)


async def test_pages_with_the_newest_rows() -> None:
    """If full pages have the newest rows instead of the oldest, the rows that were skipped are incomplete."""
    read, incomplete = await read_spread_rows(History([], lambda: 0, newest=True))

    assert (True, 1) == (read < 2500, incomplete)


@pytest.mark.parametrize("count", [100, 1000])
async def test_page_that_is_exactly_full(count: int) -> None:
    """A page that happens to be full is followed by one request for newer rows, and one for older ones."""
    history = History([(row(1 + number, transaction=1), 0) for number in range(count)], lambda: 0)
    walk, read = walk_of(history, DAY_MS)

    assert await walk.run(9)
    assert (count, 0) == (read.total(), walk.incomplete)
    assert [(0, DAY_MS), (count, DAY_MS), (0, 0)] == [
        (int(request["startTime"]) - START_MS, int(request["endTime"]) - START_MS) for request in history.requests
    ]


async def test_millisecond_with_a_round_number_of_rows() -> None:
    """Rows of one millisecond that could be all that the exchange returns are followed by those after it."""
    rows = [row(0, transaction=number + 1) for number in range(100)]
    history = History([(each, 0) for each in (*rows, row(1))], lambda: 0, most=100)
    walk, read = walk_of(history, DAY_MS)

    assert await walk.run(9)
    assert (101, 2) == (read.total(), len(history.requests))


async def test_type_of_an_earlier_page() -> None:
    """A millisecond with too many rows is read also by types that only earlier pages had, since it may hide them."""
    rows = [row(1, "COMMISSION", number + 1) for number in range(999)] + [row(1, "FUNDING_FEE", 1)]
    history = History([(each, 0) for each in (row(0, "NEW_TYPE"), *rows, row(1, "NEW_TYPE"))], lambda: 0)
    walk, read = walk_of(history, DAY_MS)

    assert await walk.run(99)
    assert ({"COMMISSION": 999, "FUNDING_FEE": 1, "NEW_TYPE": 2}, 0) == (
        Counter(each.income_type for each in read.elements()),
        walk.incomplete,
    )


def signed_walk(client: Client, account: SimulatedAccount, start_ms: int, end_ms: int) -> tuple[IncomeWalk, list[Any]]:
    """Return a walk through an account's income at the exchange, and the rows that it will have read."""
    credentials, read = credentials_of(account), list[IncomeRow]()

    async def request(params: Mapping[str, str | int]) -> Raw:
        return (await client.get(RestPath.INCOME, INCOME_WEIGHT, params, credentials)).body

    return IncomeWalk(request, start_ms, end_ms, read.extend), read


def fields(rows: list[Any]) -> Counter[tuple[Any, ...]]:
    """Return how often rows with the same fields occur, be they the exchange's or decoded."""
    return Counter((each.time_ms, each.income_type, each.transaction, each.asset, each.amount) for each in rows)


@pytest.mark.no_cover
@pytest.mark.parametrize("fault", [None, "rest-descending"])
async def test_income_of_the_exchange(virtual_time: None, exchange: SimulatedExchange, fault: str | None) -> None:
    """Against the exchange: more rows than a page, within a millisecond too, shared ids and equal transfers."""
    account, end_ms = exchange.accounts["alice"], int(now() * 1000)
    begin_ms = end_ms - 20 * DAY_MS
    for number in range(2600):
        at_ms = begin_ms + number // 300 * 777
        account.record_income("REALIZED_PNL", "USDT", "0.1", transaction=number + 1, time_ms=at_ms)
        account.record_income("COMMISSION", "BNB", "-0.00001", transaction=number + 1, time_ms=at_ms)
    for number in range(700):
        for income_type in ("FUNDING_FEE", "NEW_TYPE"):
            account.record_income(income_type, "USDC", f"-{number}", transaction=number, time_ms=begin_ms + DAY_MS)
    for _ in range(3):
        account.record_income("TRANSFER", "USDT", "500", transaction=0, time_ms=end_ms - DAY_MS)
    if fault:
        REST_FAULTS[fault].switch(exchange)
    async with client_of(exchange.rest_url) as client:
        walk, read = signed_walk(client, account, begin_ms, end_ms)
        assert await walk.run(100)
        spent = client.budget.spent_total
    sent = [each for each in account.income.rows if each.time_ms >= begin_ms]

    assert fields(sent) == fields(read)
    assert (0, INCOME_WEIGHT * walk.pages) == (walk.incomplete, spent)
    # A page for each of 9 milliseconds; the one with 1,400 rows, then by type; and the windows of the other 19 days.
    assert 9 + 1 + len(INCOME_TYPES) + 1 + 3 == walk.pages


async def test_millisecond_with_too_many_rows_of_a_type(virtual_time: None, exchange: SimulatedExchange) -> None:
    """Rows of one type and millisecond that do not fit into a response are counted as incomplete; the rest is read."""
    account, end_ms = exchange.accounts["alice"], int(now() * 1000)
    for number in range(1, 1102):
        account.record_income("COMMISSION", "USDT", "-1", transaction=number, time_ms=end_ms - 5000)
    account.record_income("FUNDING_FEE", "USDT", "7", time_ms=end_ms - 5000)
    account.record_income("FUNDING_FEE", "USDT", "8", time_ms=end_ms - 4000)
    async with client_of(exchange.rest_url) as client:
        walk, read = signed_walk(client, account, end_ms - 6000, end_ms - 1000)
        assert await walk.run(100)

    assert {"COMMISSION": 1000, "FUNDING_FEE": 2} == Counter(each.income_type for each in read)
    assert 1 == walk.incomplete
