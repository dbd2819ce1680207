"""The turn of a month or day: final sums, zeros, then the new sums, whatever happens in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from support.income import HOUR, MINUTE, TURN, Exporter, income_row

from exporter.rest.income_turn import Since

if TYPE_CHECKING:
    from exporter.rest.income_rows import IncomeRow
    from exporter.rest.income_sums import IncomeBatch

DAY = 24 * HOUR


@pytest.mark.parametrize("since", Since)
def test_turn(since: Since) -> None:
    """Final sums of a read from 00:05 stand for 10 minutes, zeros for 15, then the new sums are shown."""
    exporter = Exporter(TURN - HOUR, since)
    exporter.read(TURN - MINUTE, [income_row(TURN - 2 * MINUTE, "100")])
    assert "100/0" == exporter.transfers(TURN - MINUTE)
    exporter.read(
        TURN + 5 * MINUTE - 1,
        [income_row(TURN - 1, "1"), income_row(TURN, "200"), income_row(TURN + 2, "1", asset="BNB")],
    )
    assert "101/0" == exporter.transfers(TURN + HOUR)
    exporter.read(TURN + HOUR, [income_row(TURN + HOUR, "300")])
    shown = [(offset, exporter.counters(TURN + HOUR + int(offset * MINUTE))) for offset in (1, 10.9, 11, 25.9, 26, 32)]

    assert [
        (1, {"USDT:transfer": "101/0"}),
        (10.9, {"USDT:transfer": "101/0"}),
        (11, {"USDT:transfer": "0/0", "BNB:transfer": "0/0"}),
        (25.9, {"USDT:transfer": "0/0", "BNB:transfer": "0/0"}),
        (26, {"USDT:transfer": "500/0", "BNB:transfer": "1/0"}),
        (32, {"USDT:transfer": "500/0", "BNB:transfer": "1/0"}),
    ] == shown
    assert 0 == exporter.ledger.incomplete


@pytest.mark.parametrize(
    ("since", "start", "next_start"),
    [(Since.MONTH, datetime(2026, 2, 1, tzinfo=UTC), TURN), (Since.DAY, datetime(2026, 2, 28, tzinfo=UTC), TURN)],
)
def test_start_of_what_is_shown(since: Since, start: datetime, next_start: int) -> None:
    """The start is that of the old sums until the new ones are shown."""
    exporter = Exporter(TURN - HOUR, since)
    exporter.read(TURN - MINUTE)
    exporter.read(TURN + 5 * MINUTE)
    starts = []
    for minutes in (5, 15, 29, 30):
        exporter.counters(TURN + minutes * MINUTE)
        starts.append(exporter.ledger.shown_since_ms)
    old = int(start.timestamp() * 1000)

    assert [old, old, old, next_start] == starts


def test_label_set_of_the_final_read() -> None:
    """A label set that only the final read has is 0 for 5 minutes, then has its value until the zeros."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN - MINUTE)
    exporter.counters(TURN - MINUTE)
    exporter.read(TURN + 20 * MINUTE, [income_row(TURN - 1, "9")])

    assert ["0/0", "9/0", "0/0"] == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (20, 25, 30)]


@pytest.mark.parametrize("minutes", [6, 14])
def test_rows_that_appear_while_final_sums_are_shown(minutes: int) -> None:
    """Final sums that change, even just before the zeros, stand for 10 more minutes, for the gauge too."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN + 5 * MINUTE, [income_row(TURN - MINUTE, "100")])
    assert "100/0" == exporter.transfers(TURN + 5 * MINUTE)
    at_ms = TURN + minutes * MINUTE
    exporter.read(at_ms, [income_row(TURN - 2 * MINUTE, "50"), income_row(TURN, "7")])
    shown = [
        f"{exporter.transfers(at)} {exporter.today(at)}" for at in (at_ms, at_ms + 10 * MINUTE - 1, at_ms + 10 * MINUTE)
    ]

    assert ["150/0 150", "150/0 150", "0/0 7"] == shown


def test_rows_that_appear_after_final_sums_were_shown() -> None:
    """Rows of the old month that are read while zeros are shown are incomplete, since no scrape will see them."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN + 5 * MINUTE, [income_row(TURN - MINUTE, "100")])
    assert ["100/0", "0/0"] == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (5, 15)]
    exporter.read(TURN + 16 * MINUTE)
    assert 0 == exporter.ledger.incomplete
    exporter.ledger.commit(_batch_with(exporter, income_row(TURN - 2 * MINUTE, "50")))

    assert ["0/0", "absent"] == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (16, 30)]
    assert 1 == exporter.ledger.incomplete


def _batch_with(exporter: Exporter, row: IncomeRow) -> IncomeBatch:
    batch = exporter.ledger.begin(TURN + 16 * MINUTE)
    batch.add([row])
    return batch


def test_steps_do_not_go_back() -> None:
    """Neither a clock that is set back nor more reads let old sums be shown after zeros."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN - MINUTE, [income_row(TURN - 2 * MINUTE, "100")])
    exporter.read(TURN + 5 * MINUTE)
    assert ["100/0", "0/0"] == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (5, 15)]
    assert exporter.ledger.is_turning
    exporter.read(TURN + 16 * MINUTE, [income_row(TURN - MINUTE, "50")])
    assert ["0/0", "0/0"] == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (-5, 29)]
    assert "absent" == exporter.transfers(TURN + 30 * MINUTE)
    assert not exporter.ledger.is_turning


def test_steps_wait_until_they_are_shown() -> None:
    """Steps last from when they are first shown: a turn in which nothing was scraped is shown afterwards."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN - MINUTE, [income_row(TURN - 2 * MINUTE, "100")])
    exporter.read(TURN + 5 * MINUTE, [income_row(TURN + 1, "300")])
    shown = [exporter.transfers(TURN + 5 * HOUR + minutes * MINUTE) for minutes in (0, 9, 10, 24, 25)]

    assert ["100/0", "100/0", "0/0", "0/0", "300/0"] == shown


def test_turn_without_a_read() -> None:
    """If no read succeeds, the turn begins at 06:00 and the sums are incomplete; rows read later are not counted."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN - MINUTE, [income_row(TURN - 2 * MINUTE, "100")])
    assert "100/0" == exporter.transfers(TURN + 6 * HOUR - 1)
    assert (0, False) == (exporter.ledger.incomplete, exporter.ledger.is_turning)
    shown = [exporter.transfers(TURN + 6 * HOUR + minutes * MINUTE) for minutes in (0, 10, 24)]
    assert ["100/0", "0/0", "0/0"] == shown
    assert 0 == exporter.today(TURN + 6 * HOUR + 24 * MINUTE)
    assert 1 == exporter.ledger.incomplete
    exporter.ledger.figures(TURN + 6 * HOUR + 25 * MINUTE, ())
    exporter.read(TURN + 7 * HOUR, [income_row(TURN - 1, "50"), income_row(TURN, "7")])
    exporter.transfers(TURN + 7 * HOUR)
    assert "7/0" == exporter.transfers(TURN + 8 * HOUR)
    assert 2 == exporter.ledger.incomplete


def test_read_that_lasts_until_after_the_turn() -> None:
    """If a read that began before the month's end lasts until after a turn without a read, its rows are incomplete."""
    exporter = Exporter(TURN - HOUR)
    exporter.read(TURN - MINUTE, [income_row(TURN - 2 * MINUTE, "100")])
    batch = exporter.ledger.begin(TURN - 1)
    batch.add([income_row(TURN - 2 * MINUTE, "100"), income_row(TURN - 1, "50")])
    for minutes in (0, 10, 25):
        exporter.transfers(TURN + 6 * HOUR + minutes * MINUTE)
    assert 1 == exporter.ledger.incomplete
    exporter.ledger.commit(batch)

    assert 2 == exporter.ledger.incomplete
    assert "absent" == exporter.transfers(TURN + 7 * HOUR)


@pytest.mark.parametrize("since", Since)
@pytest.mark.parametrize(
    ("started", "shown"),
    [
        # A process before it showed the old sums, or had not read the last rows.
        (-30, ["100/0", "0/0", "200/0"]),
        (0, ["100/0", "0/0", "200/0"]),
        (14.9, ["100/0", "0/0", "200/0"]),
        # It may have shown zeros: the old sums would be counted twice.
        (15, ["0/0", "200/0", "200/0"]),
        (29.9, ["0/0", "200/0", "200/0"]),
        # It showed the new sums: after zeros they would be counted twice.
        (30, ["200/0", "200/0", "200/0"]),
        (600, ["200/0", "200/0", "200/0"]),
    ],
)
def test_start_within_a_turn(since: Since, started: float, shown: list[str]) -> None:
    """What is shown first after a start depends on what a process before it may have shown."""
    exporter = Exporter(TURN + int(started * MINUTE), since)
    at_ms = TURN + 20 * HOUR  # when a first read is complete is another matter
    exporter.read(at_ms, [income_row(TURN - 12 * HOUR, "100"), income_row(TURN, "200")])

    assert shown == [exporter.transfers(at_ms + minutes * MINUTE) for minutes in (0, 15, 30)]
    assert [shown[0] == "100/0"] == [start < TURN for start in exporter.starts]


def test_start_days_before_the_first_read() -> None:
    """With counters since 00:00 UTC, the day of the start is shown first, and days in between are incomplete."""
    exporter = Exporter(TURN - 12 * HOUR, Since.DAY)
    rows = [income_row(TURN - 1, "100"), income_row(TURN + DAY - 1, "20"), income_row(TURN + DAY, "3")]
    exporter.read(TURN + DAY + HOUR, rows)

    assert ["100/0", "0/0", "3/0"] == [exporter.transfers(TURN + DAY + HOUR + at * MINUTE) for at in (0, 10, 25)]
    assert 1 == exporter.ledger.incomplete


def test_start_before_a_turn_with_a_read_that_ends_after_it() -> None:
    """A first read that began before the turn, or too soon after it, is not the final one."""
    exporter = Exporter(TURN - MINUTE)
    exporter.read(TURN + 2 * MINUTE, [income_row(TURN - MINUTE, "100"), income_row(TURN, "200")])
    assert ["100/0"] * 2 == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (3, 50)]
    exporter.read(TURN + 51 * MINUTE, [income_row(TURN - 1, "1")])

    assert ["101/0", "0/0", "200/0"] == [exporter.transfers(TURN + minutes * MINUTE) for minutes in (51, 61, 76)]


def test_today() -> None:
    """The gauge is the net of the UTC day; the final figure of a day stands for 10 minutes after it is read."""
    midnight = TURN - DAY
    exporter = Exporter(midnight - HOUR)
    exporter.read(midnight - MINUTE, [income_row(midnight - DAY - 1, "1000"), income_row(midnight - HOUR, "5")])
    assert 5 == exporter.today(midnight - MINUTE)
    exporter.read(midnight + 4 * MINUTE, [income_row(midnight - 1, "-7"), income_row(midnight, "100")])
    assert -2 == exporter.today(midnight + 4 * MINUTE)
    exporter.read(midnight + 9 * MINUTE, [income_row(midnight - 1, "20")])
    assert [18, 18, 100] == [exporter.today(midnight + minutes * MINUTE) for minutes in (9, 18, 19)]
    exporter.read(midnight + DAY + 5 * MINUTE)
    assert [100, 100, 0] == [exporter.today(midnight + DAY + minutes * MINUTE) for minutes in (5, 14, 15)]


def test_today_without_a_read() -> None:
    """Without a read the gauge remains that of the last day that was read, however long that takes."""
    exporter = Exporter(TURN + HOUR)
    exporter.read(TURN + HOUR, [income_row(TURN, "5")])
    assert 5 == exporter.today(TURN + HOUR)
    assert 5 == exporter.today(TURN + 3 * DAY)
    exporter.read(TURN + 3 * DAY + HOUR, [income_row(TURN + 2 * HOUR, "1"), income_row(TURN + DAY, "20")])
    assert [6, 6, 0] == [exporter.today(TURN + 3 * DAY + HOUR + minutes * MINUTE) for minutes in (0, 9, 10)]


def test_today_after_a_start() -> None:
    """An exporter that starts just after midnight first shows the day before, even if a month has ended, too."""
    for midnight in (TURN, TURN + DAY):
        for minutes, today in ((14, 3), (15, 40)):
            exporter = Exporter(midnight + minutes * MINUTE)
            exporter.read(midnight + HOUR, [income_row(midnight - 1, "3"), income_row(midnight, "40")])
            assert [today, 40] == [exporter.today(midnight + HOUR + offset) for offset in (0, 10 * MINUTE)]


def test_days_without_reads() -> None:
    """With counters since 00:00 UTC, a day of which nothing was shown is not counted, and the sums are incomplete."""
    exporter = Exporter(TURN + HOUR, Since.DAY)
    exporter.read(TURN + HOUR, [income_row(TURN, "1")])
    assert "1/0" == exporter.transfers(TURN + HOUR)
    exporter.read(
        TURN + 3 * DAY, [income_row(TURN + 2 * HOUR, "2"), income_row(TURN + DAY, "4"), income_row(TURN + 3 * DAY, "8")]
    )
    shown = [exporter.transfers(TURN + 3 * DAY + minutes * MINUTE) for minutes in (0, 10, 25)]

    assert ["3/0", "0/0", "8/0"] == shown
    assert 1 == exporter.ledger.incomplete


def test_day_that_was_read_but_never_shown() -> None:
    """With counters since 00:00 UTC, sums of a day that were read but not shown in time are incomplete."""
    exporter = Exporter(TURN + HOUR, Since.DAY)
    exporter.read(TURN + HOUR, [income_row(TURN, "1")])
    exporter.read(TURN + DAY + HOUR, [income_row(TURN + DAY, "4")])
    exporter.read(TURN + 2 * DAY + HOUR)

    assert 1 == exporter.ledger.incomplete


@pytest.mark.parametrize(
    ("at", "start", "next_start"),
    [
        ("2026-03-31T23:59:59", "2026-03-01", "2026-04-01"),
        ("2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
        ("2026-12-01T00:00:00", "2026-12-01", "2027-01-01"),
    ],
)
def test_months(at: str, start: str, next_start: str) -> None:
    """Months begin at 00:00 UTC of their first day."""
    at_ms, start_ms, next_ms = (
        int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) for text in (at, start, next_start)
    )

    assert start_ms == Since.MONTH.start(at_ms + 999)
    assert next_ms == Since.MONTH.next(start_ms)
