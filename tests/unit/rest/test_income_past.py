"""The past of income counters: sums at every moment, zeros, and the turn of a month or day."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.income import HOUR, MINUTE, TURN, income_row

from exporter.rest.income_past import STEP_MS, IncomePast
from exporter.rest.income_rows import IncomeRow
from exporter.rest.income_sums import ALWAYS_SHOWN
from exporter.rest.income_turn import Since

DAY: Final = 24 * HOUR
Values = dict[int, dict[tuple[str, ...], tuple[Decimal, Decimal]]]

offsets = st.integers(-40 * HOUR, 40 * HOUR) | st.sampled_from([-STEP_MS, -1, 0, 1, STEP_MS, 20 * MINUTE, DAY, DAY - 1])
rows = st.builds(
    lambda offset, income_type, asset, symbol, amount: IncomeRow(
        TURN + offset, income_type, 0, asset, symbol, "", Decimal(amount)
    ),
    offsets,
    st.sampled_from(["A_NEW_TYPE", "COMMISSION", "FUNDING_FEE", "TRANSFER"]),
    st.sampled_from(["USDT", "BNB"]),
    st.sampled_from(["", "BTCUSDT"]),
    st.sampled_from(["0", "1", "-1", "0.00000001", "-123456789012.123456789012345678", "500"]),
)


def values_of(past: IncomePast, start_ms: int, end_ms: int) -> Values:
    """Return the values at every moment, which must be in files of the right days."""
    values: Values = defaultdict(dict)
    for day in past.days(0, start_ms, end_ms):
        for label_set, samples in day.series.items():
            for at_ms, amounts in samples:
                assert day.start_ms <= at_ms < day.start_ms + DAY
                assert label_set not in values[at_ms]
                values[at_ms][label_set] = (amounts.received, amounts.paid)
    return dict(values)


def start_of(since: Since, at_ms: int) -> int:
    """Return the start of the day or month of a time."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((at if since is Since.DAY else at.replace(day=1)).timestamp() * 1000)


def expected_at(
    at_ms: int, every: list[IncomeRow], since: Since, *, by_symbol: bool
) -> dict[tuple[str, ...], tuple[Decimal, Decimal]]:
    """Return what is to be shown at a moment, by plain additions."""

    def label_set(row: IncomeRow) -> tuple[str, ...]:
        return (row.asset, row.income_type.lower(), row.symbol if by_symbol else "")

    begin = start_of(since, at_ms)
    before = start_of(since, begin - 1)
    periods = [begin] if at_ms >= begin + 35 * MINUTE else [before] if at_ms < begin + 20 * MINUTE else [before, begin]
    shown = [row for row in every if start_of(since, row.time_ms) in periods]
    expected = {label_set(row): (Decimal(0), Decimal(0)) for row in shown}
    if not by_symbol:
        expected |= {(row.asset, kind, ""): (Decimal(0), Decimal(0)) for row in shown for kind in ALWAYS_SHOWN}
    if len(periods) == 1:
        for row in shown:
            if row.time_ms <= at_ms:
                received, paid = expected[label_set(row)]
                amount, zero = row.amount, Decimal(0)
                expected[label_set(row)] = (received + max(amount, zero), paid - min(amount, zero))
    return expected


@pytest.mark.no_cover
@given(
    every=st.lists(rows, max_size=12),
    since=st.sampled_from(Since),
    by_symbol=st.booleans(),
    begin=st.integers(-36, 30),
    hours=st.integers(1, 30),
)
def test_plain_sums(*, every: list[IncomeRow], since: Since, by_symbol: bool, begin: int, hours: int) -> None:
    """At every moment counters are the sums of the rows of the period up to it, or 0 where the period turns."""
    start_ms, end_ms = TURN + begin * HOUR, TURN + (begin + hours) * HOUR
    first_ms = start_of(since, start_ms)
    known = sorted(row for row in every if first_ms <= row.time_ms)  # also later than the last sample
    past = IncomePast(since, by_symbol=by_symbol)
    past.add(known)

    with localcontext(prec=60):
        moments = range(start_ms, end_ms + 1, STEP_MS)
        expected = {at_ms: expected_at(at_ms, known, since, by_symbol=by_symbol) for at_ms in moments}

    assert {at_ms: shown for at_ms, shown in expected.items() if shown} == values_of(past, start_ms, end_ms)


def test_turn_of_the_month() -> None:
    """The final sums stand until 00:15, zeros from 00:20 to 00:30, and the new sums begin at 00:35."""
    past = IncomePast(Since.MONTH, by_symbol=True)
    past.add(
        [income_row(TURN - HOUR, "3"), income_row(TURN - 1, "4"), income_row(TURN, "100"), income_row(TURN + 1, "5")]
    )
    values = values_of(past, TURN - DAY, TURN + HOUR)
    by_minute = [int(values[TURN + minute * MINUTE]["USDT", "transfer", ""][0]) for minute in range(-65, 45, 5)]

    assert [0, *[3] * 12, 7, 7, 7, 7, 0, 0, 0, 105, 105] == by_minute


def test_window_that_starts_at_a_turn() -> None:
    """The final sums of rows that were not read are absent, not 0."""
    past = IncomePast(Since.MONTH, by_symbol=True)
    past.add([income_row(TURN + 1, "5")])

    assert TURN + 20 * MINUTE == min(values_of(past, TURN, TURN + HOUR))


def test_second_half_of_the_month_counts_since_its_first() -> None:
    """The first value of a window contains the rows of the month before it."""
    past = IncomePast(Since.MONTH, by_symbol=True)
    past.add([income_row(TURN + HOUR, "5"), income_row(TURN + 20 * DAY, "-2")])
    values = values_of(past, TURN + 10 * DAY, TURN + 20 * DAY)

    assert {"USDT": (Decimal(5), Decimal(0))} == {key[0]: value for key, value in values[TURN + 10 * DAY].items()}
    assert [(Decimal(5), Decimal(2))] == list(values[TURN + 20 * DAY].values())


@pytest.mark.no_cover
@pytest.mark.parametrize("since", Since)
def test_samples_do_not_depend_on_the_start(since: Since) -> None:
    """A day's samples are the same in each window that contains it, however it starts."""
    past = IncomePast(since, by_symbol=False)
    past.add(income_row(TURN + hour * HOUR, str(hour)) for hour in range(-100, 100, 7))
    days = [
        {day.start_ms: repr([(at, a.received) for series in day.series.values() for at, a in series]) for day in days}
        for days in (past.days(0, TURN + begin * DAY, TURN + 3 * DAY) for begin in (-4, -2, 1))
    ]

    assert days[0][TURN + 2 * DAY] == days[1][TURN + 2 * DAY] == days[2][TURN + 2 * DAY]
    assert days[0][TURN] == days[1][TURN]


@pytest.mark.parametrize("begin", [-4, -28])
def test_since(begin: int) -> None:
    """It is known since when counters sum: a month's start or, if its first rows are unknown, that of the rows."""
    past, rows_ms = IncomePast(Since.MONTH, by_symbol=False), TURN + begin * DAY
    past.add(income_row(TURN + hour * HOUR, "1") for hour in range(-48, 48))
    since = [sample for day in past.days(rows_ms, TURN - 4 * DAY, TURN + HOUR) for sample in day.since]
    zeros_end = TURN + 35 * MINUTE

    assert list(range(TURN - 4 * DAY, TURN + HOUR + 1, STEP_MS)) == [at_ms for at_ms, _ in since]
    assert {rows_ms} == {since_ms for at_ms, since_ms in since if at_ms < zeros_end}
    assert {TURN} == {since_ms for at_ms, since_ms in since if at_ms >= zeros_end}


def test_nothing_happened() -> None:
    """An account without rows has no samples."""
    assert [] == list(IncomePast(Since.MONTH, by_symbol=False).days(TURN, TURN, TURN + 3 * DAY))
