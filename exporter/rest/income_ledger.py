"""What an account has earned and paid since the first of the month, as counters that never decrease within it; no I/O.

A read is begun, gets its rows, and is committed once it is complete; one that fails is dropped. Only sums are kept, by
period and by day, and the rows of the last ten minutes, which the next read returns again since rows appear late: an
account with many rows takes no more memory than one with few. What is shown of the sums is decided in three places: a
`Turn` says which month (or day) counters are of and whether they are 0, another one which day the gauge is of, and a
label set that is new is 0 at first, since Prometheus does not count a counter's first value as an increase.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.rest.income_rows import LATE_MS
from exporter.rest.income_sums import Amounts, IncomeBatch, LabelSet, Period, always_shown
from exporter.rest.income_turn import MINUTE_MS, Since, Step, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from exporter.rest.income_rows import IncomeRow

# For which a new label set is shown as 0: up to such an interval each scraper sees it. Half of the time for which final
# sums stand, so that also those of a label set that only the final read has are seen.
_NEW_MS: Final = 5 * MINUTE_MS
_NOTHING: Final = Amounts()


class IncomeFigures(NamedTuple):
    """The values of a label set: two counters, and a gauge for the current UTC day."""

    received: Decimal
    paid: Decimal
    today: Decimal  # net, negative if more was paid than received


class IncomeLedger:
    """The sums of one account; all times are in epoch milliseconds of the exchange.

    Args:
        since: from when on counters sum.
        by_symbol: whether they are by symbol.
        started_ms: when the process started.
    """

    def __init__(self, since: Since, started_ms: int, *, by_symbol: bool) -> None:
        self._since = since
        self.incomplete = 0  # how often sums are known to differ from the exchange's rows
        self.read_until_ms: int | None = None  # when the last complete read began
        self._started_ms = started_ms
        self._by_symbol = by_symbol
        self._counted: Mapping[IncomeRow, int] = {}  # those that the next read returns again
        self._periods: dict[int, Period] = {}  # by start: the one shown, and the latest
        self._days: dict[int, dict[LabelSet, Amounts]] = {}  # likewise
        self._values_from_ms: dict[LabelSet, int] = {}  # until then, a label set is shown as 0
        # The last figures; valid for these assets until then, or until a commit.
        self._figures: dict[LabelSet, IncomeFigures] = {}
        self._assets: frozenset[str] | None = None  # None: nothing has been shown yet
        self._valid_until_ms = -inf
        self._now_ms = 0  # never goes back
        self._begin_turns(started_ms)

    def begin(self, now_ms: int) -> IncomeBatch:
        """Return an empty read of what is missing until now."""
        if self.read_until_ms is None:
            self._begin_turns(now_ms)
            start_ms, end_ms = self._turn.first, now_ms
        else:
            start_ms, end_ms = self.read_until_ms - LATE_MS, max(now_ms, self.read_until_ms)
        return IncomeBatch(start_ms, end_ms, self._counted, end_ms - LATE_MS, by_symbol=self._by_symbol)

    def commit(self, batch: IncomeBatch, incomplete: int = 0) -> int:
        """Add the rows of a complete read.

        Args:
            batch: the last read that was begun.
            incomplete: how often rows are known to be missing in it.

        Returns:
            How many rows the exchange no longer returns; they remain in the sums, which would otherwise decrease.
        """
        for turn in (self._turn, self._today):
            turn.note_read(batch.end_ms, batch.by_day)
        needed = {self._turn.first, self._turn.latest}
        is_lost = any(period.sums for start_ms, period in self._periods.items() if start_ms not in needed)
        for day_ms, amounts in sorted(batch.by_day.items()):
            start_ms = self._since.start(day_ms)
            if start_ms in needed:
                self._add(start_ms, day_ms, amounts)
            else:
                is_lost = True
        self.incomplete += incomplete + is_lost + batch.lacks_rows
        self._counted = batch.kept
        self.read_until_ms = batch.end_ms
        self._valid_until_ms = -inf
        self._forget()
        return batch.vanished.total()

    def figures(self, now_ms: int, assets: Iterable[str]) -> dict[LabelSet, IncomeFigures]:
        """Return what to show now; nothing before the first complete read.

        While that cannot have changed it is the very same object, returned within a microsecond.

        The steps of a turn last as long as documented from when they are first shown, so that this must be called only
        to show the result. During a turn it is to be shown however old the last read is: it does not depend on it.

        Args:
            now_ms: now.
            assets: assets with a wallet balance, for which the most important counters start at 0.
        """
        assets = frozenset(assets)
        if self.read_until_ms is None or (now_ms < self._valid_until_ms and assets == self._assets):
            return self._figures
        self._now_ms = max(now_ms, self._now_ms)  # else a clock that is set back could make a value 0 again
        self._figures = self._calculate(self._now_ms, assets)
        self._assets = assets
        values_from_ms = (at_ms for at_ms in self._values_from_ms.values() if at_ms > self._now_ms)
        self._valid_until_ms = min(self._turn.due_ms, self._today.due_ms, *values_from_ms)
        return self._figures

    @property
    def is_turning(self) -> bool:
        """Whether the figures are a day's or month's final sums, or zeros, which do not get old."""
        return self.read_until_ms is not None and self._turn.step is not Step.CURRENT

    @property
    def shown_since_ms(self) -> int:
        """The start of the day or month whose sums `figures` returned last."""
        return self._turn.shown

    def _begin_turns(self, now_ms: int) -> None:
        self._turn = Turn(self._since, self._started_ms, now_ms, of_counters=True)
        self._today = Turn(Since.DAY, self._started_ms, now_ms, of_counters=False)

    def _add(self, start_ms: int, day_ms: int, amounts: Mapping[LabelSet, Amounts]) -> None:
        period = self._periods.setdefault(start_ms, Period())
        day = self._days.setdefault(day_ms, {})
        for key, added in amounts.items():
            day.setdefault(period.add(key, added), Amounts()).add(added)

    def _calculate(self, now_ms: int, assets: frozenset[str]) -> dict[LabelSet, IncomeFigures]:
        shown_before = self._turn.shown
        self._advance(now_ms)
        period = self._periods.get(self._turn.first, Period())
        every_asset = {*assets, *(each.asset for each in period.sums)}
        label_sets = {*period.sums, *always_shown(every_asset, by_symbol=self._by_symbol)}
        if self._turn.shown == shown_before:
            label_sets.update(self._values_from_ms)
        from_ms = now_ms if self._assets is None else now_ms + _NEW_MS
        self._values_from_ms = {each: self._values_from_ms.get(each, from_ms) for each in sorted(label_sets)}
        counters = {} if self._turn.step is Step.ZERO else period.sums
        today = self._days.get(self._today.shown, {})
        figures: dict[LabelSet, IncomeFigures] = {}
        for label_set, from_ms in self._values_from_ms.items():
            shown = counters.get(label_set, _NOTHING) if now_ms >= from_ms else _NOTHING
            figures[label_set] = IncomeFigures(shown.received, shown.paid, today.get(label_set, _NOTHING).net)
        return figures

    def _advance(self, now_ms: int) -> None:
        if self._turn.advance(now_ms):
            self.incomplete += 1
            self._today.end()
        self._today.advance(now_ms)
        self._forget()

    def _forget(self) -> None:
        """Drop sums that will not be shown."""
        for turn, sums in ((self._turn, self._periods), (self._today, self._days)):
            for start_ms in sums.keys() - {turn.first, turn.latest}:
                del sums[start_ms]
