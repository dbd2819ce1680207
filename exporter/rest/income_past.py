"""What the income counters of an account would have shown in the past, every five minutes; no I/O.

At each moment the sums are those of the rows up to it, and months turn in the same steps as in a running exporter.
As it is known which label sets will have rows, they are 0 from the start of the month, and no increase is missed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.rest.income_sums import Amounts, LabelSet, Period, always_shown
from exporter.rest.income_turn import DAY_MS, MINUTE_MS, Since, Step, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.rest.income_rows import IncomeRow

STEP_MS: Final = 5 * MINUTE_MS
_NOTHING: Final = Amounts()


class PastDay(NamedTuple):
    """The samples of a UTC day: their times, in epoch milliseconds, and what was shown then."""

    start_ms: int
    series: dict[LabelSet, list[tuple[int, Amounts]]]
    since: list[tuple[int, int]]  # from when on the counters sum, in epoch milliseconds

    @property
    def samples(self) -> int:
        """How many samples there are, of both counters and of `since`."""
        return 2 * sum(map(len, self.series.values())) + len(self.since)


class IncomePast:
    """The sums of an account's rows by period and moment; all times are in epoch milliseconds of the exchange.

    Args:
        since: from when on counters sum.
        by_symbol: whether they are by symbol.
    """

    def __init__(self, since: Since, *, by_symbol: bool) -> None:
        self.rows = 0
        self._since = since
        self._by_symbol = by_symbol
        # By the start of the period, and by the first moment whose sample contains them.
        self._sums = defaultdict[int, defaultdict[int, dict[LabelSet, Amounts]]](lambda: defaultdict(dict))

    def add(self, rows: Iterable[IncomeRow]) -> None:
        """Add rows."""
        for row in rows:
            self.rows += 1
            at_ms = -(-row.time_ms // STEP_MS) * STEP_MS
            key = LabelSet.of(row, by_symbol=self._by_symbol)
            sums = self._sums[self._since.start(row.time_ms)][at_ms]
            sums.setdefault(key, Amounts()).add_row(row.amount)

    def days(self, rows_ms: int, start_ms: int, end_ms: int) -> Iterator[PastDay]:
        """Yield each UTC day that has samples, in order.

        A label set whose first row is later than the last sample is 0, so that `increase()` finds what follows.

        Args:
            rows_ms: from when on rows have been added.
            start_ms: the time of the first sample.
            end_ms: the time of the last sample or later.
        """
        day = PastDay(Since.DAY.start(start_ms), {}, [])
        for at_ms, since_ms, shown in self._shown(start_ms, end_ms):
            if at_ms >= day.start_ms + DAY_MS:
                if day.series:
                    yield day
                day = PastDay(Since.DAY.start(at_ms), {}, [])
            if shown:
                day.since.append((at_ms, max(rows_ms, since_ms)))
            for label_set, amounts in shown.items():
                day.series.setdefault(label_set, []).append((at_ms, amounts))
        if day.series:
            yield day

    def _shown(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, Mapping[LabelSet, Amounts]]]:
        """Yield every moment, the start of the period shown then, and its sums.

        Nothing is shown of a period before the first moment's, whose rows are unknown.
        """
        first_ms = self._since.start(start_ms)
        turn = Turn(self._since, first_ms, first_ms, of_counters=True)
        period = _PastPeriod({}, by_symbol=self._by_symbol)
        shown_ms: int | None = None
        for at_ms in range(first_ms, end_ms + 1, STEP_MS):
            # As if the last read began a step ago. Dashboards show the maximum of the 10 minutes before 00:24 as the
            # final sums of a month, of which there must be a sample at 00:15.
            turn.note_read(at_ms - STEP_MS, ())
            turn.advance(at_ms)
            if shown_ms != turn.shown:
                shown_ms, period = turn.shown, self._period(turn.shown)
            period.advance(at_ms)
            if at_ms < start_ms:
                continue
            if turn.step is Step.ZERO:
                label_sets = {**period.shown, **self._period(turn.latest).shown}
                yield at_ms, shown_ms, dict.fromkeys(sorted(label_sets), _NOTHING)
            else:
                yield at_ms, shown_ms, period.shown

    def _period(self, start_ms: int) -> _PastPeriod:
        return _PastPeriod(self._sums.get(start_ms, {}), by_symbol=self._by_symbol)


class _PastPeriod:
    """The sums of a period up to a moment; its label sets are shown from its start on."""

    def __init__(self, sums: Mapping[int, Mapping[LabelSet, Amounts]], *, by_symbol: bool) -> None:
        added = [(at_ms, key, amounts) for at_ms, keys in sorted(sums.items()) for key, amounts in keys.items()]
        whole = Period()
        label_sets = {whole.add(key, amounts) for _, key, amounts in added}
        label_sets |= always_shown({label_set.asset for label_set in label_sets}, by_symbol=by_symbol)
        self.shown: dict[LabelSet, Amounts] = dict.fromkeys(sorted(label_sets), _NOTHING)
        self._coming = deque(added)
        self._period = Period()

    def advance(self, at_ms: int) -> None:
        """Add everything up to a moment."""
        while self._coming and self._coming[0][0] <= at_ms:
            _, key, added = self._coming.popleft()
            label_set = self._period.add(key, added)
            amounts = self._period.sums[label_set]
            self.shown[label_set] = Amounts(amounts.received, amounts.paid)
