"""What an account has earned and paid since the first of the month, as counters that never decrease within it; no I/O.

Only sums are kept, and the rows of the last ten minutes, which each read returns again since rows appear late: an
account with many rows takes no more memory than one with few.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.rest.income_sums import ALWAYS_SHOWN, Amounts, IncomeBatch, LabelSet, Period
from exporter.rest.income_turn import MINUTE_MS, Since, Step, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.rest.income_rows import IncomeRow

_OVERLAP_MS: Final = 10 * MINUTE_MS
# For which a new label set is shown as 0: up to such an interval each scraper sees it. Half of the time for which final
# sums stand, so that also those of a label set that only the final read has are seen.
_NEW_MS: Final = 5 * MINUTE_MS
_ZERO: Final = Decimal(0)


class IncomeFigures(NamedTuple):
    """The values of a label set: two counters, and a gauge for the current UTC day."""

    received: Decimal
    paid: Decimal
    today: Decimal  # net, negative if more was paid than received


class IncomeLedger:
    """The sums of one account; all times are in epoch milliseconds of the exchange.

    A read is begun, gets its rows, and is committed once it is complete; one that fails is dropped.

    Args:
        since: from when on counters sum.
        by_symbol: whether they are by symbol.
        started_ms: when the process started.
    """

    def __init__(self, since: Since, started_ms: int, *, by_symbol: bool) -> None:
        self.since = since
        self.incomplete = 0  # how often rows are known to be missing in the sums
        self.read_until_ms: int | None = None  # when the last complete read began
        self._started_ms = started_ms
        self._by_symbol = by_symbol
        self._counted: Mapping[IncomeRow, int] = {}  # those that the next read returns again
        self._periods: dict[int, Period] = {}  # by start: the one shown, and the latest
        self._days: dict[int, dict[LabelSet, Amounts]] = {}  # likewise
        self._values_from_ms: dict[LabelSet, int] = {}  # until then, a label set is shown as 0
        self._shown = False
        self._begin_turns(started_ms)

    def begin(self, now_ms: int) -> IncomeBatch:
        """Return an empty read of what is missing until now."""
        if self.read_until_ms is None:
            self._begin_turns(now_ms)
            start_ms, end_ms = self._turn.first_ms, now_ms
        else:
            start_ms, end_ms = self.read_until_ms - _OVERLAP_MS, max(now_ms, self.read_until_ms)
        return IncomeBatch(start_ms, end_ms, self._counted, end_ms - _OVERLAP_MS, by_symbol=self._by_symbol)

    def restart_daily(self) -> bool:
        """Let counters sum since 00:00 UTC, if there are too many rows in a month; return whether that is a change."""
        if self.since is Since.DAY or self.read_until_ms is not None:
            return False
        self.since = Since.DAY
        return True

    def commit(self, batch: IncomeBatch, incomplete: int = 0) -> int:
        """Add the rows of a complete read.

        Args:
            batch: the last read that was begun.
            incomplete: how often rows are known to be missing in it.

        Returns:
            How many rows the exchange no longer returns; they remain in the sums, which would otherwise decrease.
        """
        for turn in (self._turn, self._today):
            turn.note_read(batch.end_ms)
        counted = {self._turn.shown_ms, self._turn.latest_ms}
        lost = any(period.sums for start_ms, period in self._periods.items() if start_ms not in counted)
        for day_ms, amounts in sorted(batch.by_day.items()):
            start_ms = self.since.start(day_ms)
            if start_ms not in counted:
                lost = True
                continue
            period = self._periods.setdefault(start_ms, Period())
            for key, added in amounts.items():
                label_set = period.add(key, added)
                self._days.setdefault(day_ms, {}).setdefault(label_set, Amounts()).add(added)
        self.incomplete += incomplete + lost
        self._counted = batch.kept
        self.read_until_ms = batch.end_ms
        self._forget()
        return batch.vanished

    def figures(self, now_ms: int, assets: Iterable[str]) -> dict[LabelSet, IncomeFigures]:
        """Return what to show now; nothing before the first complete read.

        The steps of a turn last as long as documented from when they are first shown, so that this must be called only
        to show the result. During a turn it is to be shown however old the last read is: it does not depend on it.

        Args:
            now_ms: now.
            assets: assets with a wallet balance, for which the most important counters start at 0.
        """
        if self.read_until_ms is None:
            return {}
        shown_ms = self._turn.shown_ms
        self._advance(now_ms)
        sums = self._periods.get(self._turn.shown_ms, Period()).sums
        is_zero = self._turn.step is Step.ZERO
        also = self._periods.get(self._turn.latest_ms, Period()).sums if is_zero else {}
        label_sets = {*sums, *also, *self._always_shown({*assets, *(each.asset for each in (*sums, *also))})}
        if self._turn.shown_ms != shown_ms:
            self._values_from_ms = {each: at for each, at in self._values_from_ms.items() if each in label_sets}
        from_ms = now_ms + _NEW_MS if self._shown else now_ms
        self._shown = True
        today = self._days.get(self._today.shown_ms, {})
        nothing = Amounts()
        figures: dict[LabelSet, IncomeFigures] = {}
        for label_set in sorted(label_sets | self._values_from_ms.keys()):
            is_new = now_ms < self._values_from_ms.setdefault(label_set, from_ms)
            amounts = nothing if is_zero or is_new else sums.get(label_set, nothing)
            net = today.get(label_set, nothing).net
            figures[label_set] = IncomeFigures(amounts.received, amounts.paid, net)
        return figures

    @property
    def is_turning(self) -> bool:
        """Whether the figures are a day's or month's final sums, or zeros, which do not get old."""
        return self.read_until_ms is not None and self._turn.step is not Step.CURRENT

    def _begin_turns(self, now_ms: int) -> None:
        self._turn = Turn(self.since, self._started_ms, now_ms, with_zeros=True)
        self._today = Turn(Since.DAY, self._started_ms, now_ms, with_zeros=False)

    def _advance(self, now_ms: int) -> None:
        turns = (self._turn, self._today)
        if self._turn.is_overdue(now_ms):
            self.incomplete += 1
            for turn in turns:
                turn.end()
        for turn in turns:
            turn.advance(now_ms)
        self._forget()

    def _always_shown(self, assets: Iterable[str]) -> Iterable[LabelSet]:
        if self._by_symbol:
            return ()
        return (LabelSet(asset, income_type, "") for asset in assets for income_type in ALWAYS_SHOWN)

    def _forget(self) -> None:
        """Drop sums that will not be shown."""
        for turn, sums in ((self._turn, self._periods), (self._today, self._days)):
            for start_ms in sums.keys() - {turn.shown_ms, turn.latest_ms}:
                del sums[start_ms]
