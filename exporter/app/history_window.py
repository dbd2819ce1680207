"""From when until when `history` reads rows and writes samples; no I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from exporter.config.document import ConfigError, Problem
from exporter.formatting import format_utc
from exporter.rest.income_past import STEP_MS
from exporter.rest.income_rows import LATE_MS
from exporter.rest.income_turn import DAY_MS, FIRST_ZERO_MS, MINUTE_MS, Since

_HOUR_MS: Final = 60 * MINUTE_MS
_KEPT_DAYS: Final = 90  # by the exchange
_HEAD_MS: Final = 3 * _HOUR_MS  # Prometheus is still changing the block of these hours: nothing must be loaded into it
_TURN_MS: Final = FIRST_ZERO_MS + STEP_MS  # after a period has begun, the samples are 0


class Window(NamedTuple):
    """The rows and the samples of a history, in epoch milliseconds of the exchange."""

    rows_ms: int  # the first rows: those of the first of the month, or of the day
    start_ms: int  # the first sample
    end_ms: int  # the last sample
    rows_end_ms: int  # the last rows: those that the exporter's first value may contain
    notes: tuple[str, ...]  # what may not be as expected


def window_of(since: Since, now_ms: int, since_seconds: float, until_unix: float | None) -> Window:
    """Return the window of a history, from the start of a UTC day.

    Args:
        since: from when on counters sum.
        now_ms: the exchange's time, in epoch milliseconds.
        since_seconds: how long before its end it starts.
        until_unix: its end, as a Unix timestamp; None: 3 hours ago.

    Raises:
        ConfigError: it would end too late or too early.
    """
    latest_ms = now_ms - _HEAD_MS
    until_ms = latest_ms if until_unix is None else int(until_unix * 1000)
    if until_ms > latest_ms:
        latest = format_utc(latest_ms // 1000)
        raise ConfigError(Problem("--until", f"must be at least 3 hours ago, now {latest} or earlier, or left out"))
    # The exporter's first value may lack rows that appeared late. A last sample that contained them could be greater: a
    # reset.
    end_ms = (until_ms - LATE_MS) // STEP_MS * STEP_MS
    # Rows must still be kept when the request for them arrives, which may be later.
    kept_ms = Since.DAY.start(now_ms - _KEPT_DAYS * DAY_MS + _HOUR_MS) + DAY_MS
    if since.start(end_ms) < kept_ms:
        text = (
            f"must be later: the counters at that time sum since {_date(since.start(end_ms))}, "
            f"but the exchange only keeps income since {_date(kept_ms)}"
        )
        raise ConfigError(Problem("--until", text))
    start_ms = Since.DAY.start(until_ms - int(since_seconds * 1000))
    notes = []
    if start_ms < kept_ms:
        start_ms = kept_ms
        notes.append(f"the exchange only keeps income of {_KEPT_DAYS} days: the history starts at {_date(start_ms)}")
    rows_ms = since.start(start_ms)
    if rows_ms < kept_ms:
        rows_ms = start_ms
        notes.append(f"the income since {_date(since.start(start_ms))} is incomplete: counters start at 0 instead")
    if until_unix is None and end_ms < since.start(now_ms) + _TURN_MS:
        notes.append(
            f"a {since} has begun since the end of the history: if before the exporter's first value, run this "
            "again after 03:30 UTC, or what happened before may be missing in increases"
        )
    return Window(rows_ms, start_ms, end_ms, now_ms if until_unix is None else until_ms, tuple(notes))


def _date(at_ms: int) -> str:
    return format_utc(at_ms // 1000)[:10]
