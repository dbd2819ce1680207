"""When the sums of a UTC day or month are replaced by those of the next one, in steps that scrapes can see; no I/O.

If a new sum replaced the old one at once, no scrape would show the reset where the new one is larger, and `increase()`
would miss the old one. All times are in epoch milliseconds of the exchange.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, StrEnum
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_FINAL_READ_MS: Final = 5 * MINUTE_MS  # after the end of a period: rows appear late
_FINAL_MS: Final = 10 * MINUTE_MS
FIRST_ZERO_MS: Final = _FINAL_READ_MS + _FINAL_MS  # after the end of a period: counters may be 0 from then on
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
    """Which period is shown, and how; a period is identified by its start.

    A step begins when it is first shown, not when rows are read, so that it is visible for as long as it must be, also
    to scrapes that are rare or interrupted.

    Args:
        since: the kind of period.
        started_ms: when the process started: what a process before it may have shown decides what is shown first.
        began_ms: when the first read begins.
        of_counters: counters are 0 between two periods, and turn at 06:00 even without a read; a gauge does neither.
    """

    def __init__(self, since: Since, started_ms: int, began_ms: int, *, of_counters: bool) -> None:
        self.latest = since.start(began_ms)  # the last period that has been read
        self.step = Step.CURRENT
        self._since = since
        self._of_counters = of_counters
        self._visible_from_ms: int | None = None  # when the step was first shown
        # A process before this one showed the old sums for 15 minutes after a period at least, then zeros for another
        # 15 minutes. Old sums after zeros, or zeros after new sums, would be counted twice.
        not_yet_zero_ms = started_ms - FIRST_ZERO_MS
        self.shown = min(since.start(not_yet_zero_ms), self.latest)
        if of_counters and since.start(not_yet_zero_ms - _ZERO_MS) < self.shown == self.latest:
            self.shown, self.step = since.start(self.latest - 1), Step.ZERO

    @property
    def first(self) -> int:
        """The first period whose rows are needed: the one shown, or the one after the zeros."""
        return self.latest if self.step is Step.ZERO else self.shown

    @property
    def next(self) -> int:
        """The period after the one that is shown."""
        return self._since.next(self.shown)

    @property
    def due_ms(self) -> float:
        """When `advance` changes what is shown, unless a read changes that before."""
        if self.step is Step.CURRENT:
            return self.next + _LATEST_MS if self._of_counters else inf
        if self._visible_from_ms is None:
            return -inf
        return self._visible_from_ms + (_FINAL_MS if self.step is Step.FINAL else _ZERO_MS)

    def note_read(self, began_ms: int, days: Iterable[int]) -> None:
        """Note a complete read.

        Args:
            began_ms: when it began.
            days: the starts of the days of which it has rows.
        """
        self.latest = max(self.latest, self._since.start(began_ms))
        if began_ms >= self.next + _FINAL_READ_MS:
            self.end()
        if self.step is Step.FINAL and any(self._since.start(day) == self.shown for day in days):
            self._visible_from_ms = None  # these are other sums, which have not been visible yet

    def end(self) -> None:
        """Let the sums that are shown be the final ones."""
        if self.step is Step.CURRENT:
            self.step, self._visible_from_ms = Step.FINAL, None

    def advance(self, now_ms: int) -> bool:
        """Take the next step if it is due; to be called when figures are shown.

        Returns:
            Whether no read has had all rows of the period, hours after its end: its sums are now final nevertheless.
        """
        is_overdue = self.step is Step.CURRENT and now_ms >= self.due_ms
        if is_overdue:
            self.end()
        if self._visible_from_ms is None:
            self._visible_from_ms = now_ms
        if self.step is not Step.CURRENT and now_ms >= self.due_ms:
            self.latest = max(self.latest, self.next)
            if self.step is Step.FINAL and self._of_counters:
                self.step, self._visible_from_ms = Step.ZERO, now_ms
            else:
                self.step, self.shown = Step.CURRENT, self.latest
        return is_overdue
