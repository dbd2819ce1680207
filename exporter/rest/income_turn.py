"""When the sums of a UTC day or month are replaced by those of the next one, in steps that scrapes can see; no I/O.

If a new sum replaced the old one at once, no scrape would show the reset where the new one is larger, and `increase()`
would miss the old one. All times are in epoch milliseconds of the exchange.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Final

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_FINAL_READ_MS: Final = 5 * MINUTE_MS  # after the end of a period: rows appear late
_FINAL_MS: Final = 10 * MINUTE_MS
_ZERO_MS: Final = 15 * MINUTE_MS  # longer than the 10 minutes of which the recording rules show the maximum
_LATEST_MS: Final = 360 * MINUTE_MS


class Since(StrEnum):
    """The periods over which counters sum."""

    MONTH = "month"
    DAY = "day"

    def start(self, at_ms: int) -> int:
        """Return the start of the period that contains a time."""
        if self is Since.DAY:
            return at_ms - at_ms % DAY_MS
        at = datetime.fromtimestamp(at_ms // 1000, UTC)
        return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()) * 1000

    def next(self, start_ms: int) -> int:
        """Return the start of the period after the one that starts at a time."""
        return start_ms + DAY_MS if self is Since.DAY else self.start(start_ms + 32 * DAY_MS)


class Step(Enum):
    """What is shown of a period."""

    CURRENT = "its sums so far, also after its end, until a read that began later than that has all its rows"
    FINAL = "its final sums"
    ZERO = "0 for every counter"


class Turn:
    """The period whose sums are shown.

    The steps begin when figures are shown, not when they are read, so that each step is visible for as long as it must
    be, also to scrapes that are rare or interrupted.

    Args:
        since: the kind of period.
        started_ms: when the process started: what a process before it may have shown decides what is shown first.
        began_ms: when the first read begins.
        with_zeros: whether there is a step in which every counter is 0.
    """

    def __init__(self, since: Since, started_ms: int, began_ms: int, *, with_zeros: bool) -> None:
        self.since = since
        self.shown_ms = self.latest_ms = since.start(began_ms)  # latest: the last period that has been read
        self.step = Step.CURRENT
        self._with_zeros = with_zeros
        self._visible_from_ms: int | None = None  # when the step was first shown
        # A process that ran before this one showed the old sums until then, and zeros at least until 15 minutes later.
        # Had it shown zeros, showing the old sums again would count them twice.
        earliest_zero_ms = self.shown_ms + _FINAL_READ_MS + _FINAL_MS
        if started_ms < earliest_zero_ms:
            self.shown_ms = since.start(self.shown_ms - 1)
        elif with_zeros and started_ms < earliest_zero_ms + _ZERO_MS:
            self.shown_ms, self.step = since.start(self.shown_ms - 1), Step.ZERO

    @property
    def first_ms(self) -> int:
        """The time of the first rows that are needed."""
        return self.latest_ms if self.step is Step.ZERO else self.shown_ms

    @property
    def _next_ms(self) -> int:
        return self.since.next(self.shown_ms)

    def note_read(self, began_ms: int) -> None:
        """Note that a complete read began at a time."""
        self.latest_ms = max(self.latest_ms, self.since.start(began_ms))
        if began_ms >= self._next_ms + _FINAL_READ_MS:
            self.end()

    def is_overdue(self, now_ms: int) -> bool:
        """Whether the period ended hours ago, and no read has had all its rows since."""
        return self.step is Step.CURRENT and now_ms >= self._next_ms + _LATEST_MS

    def end(self) -> None:
        """Let the sums that are shown be the final ones."""
        if self.step is Step.CURRENT:
            self.step, self._visible_from_ms = Step.FINAL, None

    def advance(self, now_ms: int) -> None:
        """Take the next step if it is due; to be called when figures are shown."""
        if self.step is Step.CURRENT:
            return
        if self._visible_from_ms is None:
            self._visible_from_ms = now_ms
        shown_for_ms = now_ms - self._visible_from_ms
        if self.step is Step.FINAL and shown_for_ms >= _FINAL_MS and self._with_zeros:
            self.step, self._visible_from_ms = Step.ZERO, now_ms
        elif shown_for_ms >= (_FINAL_MS if self.step is Step.FINAL else _ZERO_MS):
            self.shown_ms = max(self._next_ms, self.latest_ms)
            self.step = Step.CURRENT
