"""The window of a history: what its end must be, what the exchange keeps, and where the rows begin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from exporter.app.history_window import window_of
from exporter.config.document import ConfigError
from exporter.rest.income_turn import Since

NOW: Final = "2026-05-20T10:02:03"
DAY: Final = 86400.0


def ms(text: str) -> int:
    """Return a time in epoch milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def window(since_days: float, until: str | None = None, since: Since = Since.MONTH, now: str = NOW) -> tuple[str, ...]:
    """Return the times of a window, without seconds, and its notes; its last rows must be those before its end."""
    until_unix = None if until is None else ms(until) / 1000
    rows_ms, start_ms, end_ms, rows_end_ms, notes = window_of(since, ms(now), since_days * DAY, until_unix)
    assert rows_end_ms == ms(until or now)
    times = (f"{datetime.fromtimestamp(at / 1000, UTC):%m-%dT%H:%M}" for at in (rows_ms, start_ms, end_ms))
    return (*times, *notes)


def refusal(until: str, since: Since = Since.MONTH) -> str:
    """Return the error of a window's end."""
    with pytest.raises(ConfigError) as caught:
        window_of(since, ms(NOW), DAY, ms(until) / 1000)
    return str(caught.value)


def test_default_end() -> None:
    """By default the last sample is 3 hours and 10 minutes old or more, on the grid; the first begins a day."""
    assert ("04-01T00:00", "04-29T00:00", "05-20T06:50") == window(20.5)


def test_configured_end() -> None:
    """The last sample is at least 10 minutes before --until: the exporter's first value may lack later rows."""
    assert ("05-01T00:00", "05-01T00:00", "05-12T11:50") == window(11, "2026-05-12T12:00:00")
    assert ("05-01T00:00", "05-11T00:00", "05-12T11:45") == window(1, "2026-05-12T11:59:59.999")


def test_daily_counters() -> None:
    """With since: day the rows begin with the first day."""
    assert ("05-10T00:00", "05-10T00:00", "05-20T06:50") == window(10, since=Since.DAY)


def test_turn_before_the_first_value() -> None:
    """Without --until, a month or day that began since the end is mentioned until the zeros of its turn are written."""
    for since, now in ((Since.MONTH, "2026-05-01T0"), (Since.DAY, "2026-05-02T0")):
        (note,) = window(10, since=since, now=f"{now}3:29:59")[3:]

        assert f"a {since} has begun since the end of the history: " in note
        assert 3 == len(window(10, since=since, now=f"{now}3:30:00"))
    assert 3 == len(window(10, "2026-04-30T23:00:00", now="2026-05-01T03:00:00"))


def test_end_too_late() -> None:
    """An end within the last 3 hours is an error that says when it may be."""
    assert window(1, "2026-05-20T07:02:03")

    words = "--until: must be at least 3 hours ago, now 2026-05-20T07:02:03Z or earlier, or left out"
    assert words == refusal("2026-05-20T07:02:03.001")


def test_end_too_early() -> None:
    """An end whose counters contain rows that the exchange no longer keeps is an error: their values would be wrong."""
    words = (
        "--until: must be later: the counters at that time sum since 2026-02-01, but the exchange only keeps income "
        "since 2026-02-20"
    )
    assert words == refusal("2026-03-01T00:09:59")
    assert "02-20T00:00" == window(10, "2026-03-01T00:10:00")[1]
    assert "since 2026-02-19, but" in refusal("2026-02-20T00:05:00", Since.DAY)
    assert "since 1969-12-01, but" in refusal("1970-01-01T00:00:00")


def test_more_than_the_exchange_keeps() -> None:
    """A history of more than 90 days is shortened to whole days that are kept for another hour, and says so."""
    shortened = "the exchange only keeps income of 90 days: the history starts at 2026-02-20"
    incomplete = "the income since 2026-02-01 is incomplete: counters start at 0 instead"

    assert ("02-20T00:00", "02-20T00:00", "05-20T06:50", shortened, incomplete) == window(1000)
    assert ("02-20T00:00", "02-20T00:00", "05-20T06:50", shortened) == window(1000, since=Since.DAY)
    assert "02-20T00:00" == window(1000, now="2026-05-20T22:59:59")[1]
    assert "02-21T00:00" == window(1000, now="2026-05-20T23:00:00")[1]


def test_month_that_the_exchange_keeps_in_part() -> None:
    """A first month that is not kept from its first day is counted from the first sample, and this is said."""
    incomplete = "the income since 2026-02-01 is incomplete: counters start at 0 instead"

    assert ("02-25T00:00", "02-25T00:00", "05-20T06:50", incomplete) == window(84)
    assert ("03-01T00:00", "03-01T00:00", "05-20T06:50") == window(80)
