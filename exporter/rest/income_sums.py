"""Exact sums of income: of the rows of one read by day, and of a period by label set; no I/O."""

from __future__ import annotations

from collections import Counter
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.rest.income_rows import INCOME_TYPES
from exporter.rest.income_turn import Since

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from exporter.rest.income_rows import IncomeRow

ALWAYS_SHOWN: Final = ("realized_pnl", "funding_fee", "commission", "insurance_clear")
_KNOWN: Final = frozenset(income_type.lower() for income_type in INCOME_TYPES)
_MAX_UNKNOWN_TYPES: Final = 20
_MAX_SYMBOLS: Final = 200
_OTHER: Final = "other"
_ZERO: Final = Decimal(0)
_EXACT: Final = Context(prec=100)  # the default of 28 digits would round large sums


class LabelSet(NamedTuple):
    """The labels of a counter in addition to the account; in a read, with the type as Binance sends it."""

    asset: str
    income_type: str
    symbol: str  # empty unless counters are by symbol

    @classmethod
    def of(cls, row: IncomeRow, *, by_symbol: bool) -> LabelSet:
        """Return the labels of a row."""
        return cls(row.asset, row.income_type, row.symbol if by_symbol else "")


class Amounts:
    """What was received, and what was paid as a positive number."""

    __slots__ = ("paid", "received")

    def __init__(self, received: Decimal = _ZERO, paid: Decimal = _ZERO) -> None:
        self.received = received
        self.paid = paid

    def add(self, other: Amounts) -> None:
        """Add other amounts, without rounding."""
        self.received = _EXACT.add(self.received, other.received)
        self.paid = _EXACT.add(self.paid, other.paid)

    def add_row(self, amount: Decimal) -> None:
        """Add the amount of a row, without rounding."""
        if amount.is_signed():
            self.paid = _EXACT.subtract(self.paid, amount)
        else:
            self.received = _EXACT.add(self.received, amount)

    @property
    def net(self) -> Decimal:
        """What was received less what was paid."""
        return _EXACT.subtract(self.received, self.paid)


def always_shown(assets: Iterable[str], *, by_symbol: bool) -> set[LabelSet]:
    """Return the label sets of these assets that have counters even without a row; by symbol there are none."""
    if by_symbol:
        return set()
    return {LabelSet(asset, income_type, "") for asset in assets for income_type in ALWAYS_SHOWN}


class IncomeBatch:
    """The rows of one read: their sums, and those rows that later reads will return again.

    Args:
        start_ms: the time of the first rows, in epoch milliseconds of the exchange.
        end_ms: when the read begins, and the time of the last rows.
        counted: the rows since `start_ms` that earlier reads have added to the sums, and how often.
        kept_from_ms: the time of the first rows that the next read will return again.
        by_symbol: whether sums are by symbol.
    """

    def __init__(
        self, start_ms: int, end_ms: int, counted: Mapping[IncomeRow, int], kept_from_ms: int, *, by_symbol: bool
    ) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.by_day: dict[int, dict[LabelSet, Amounts]] = {}  # by the start of the day, label sets by their first row
        self._counted = Counter(counted)
        self._counted_until_ms = max((row.time_ms for row in counted), default=0)
        self._kept_from_ms = kept_from_ms
        self._by_symbol = by_symbol
        self._read: Counter[IncomeRow] = Counter()  # only rows that earlier reads may have returned or later ones will

    def add(self, rows: Iterable[IncomeRow]) -> None:
        """Add rows that this read has not returned before."""
        for row in rows:
            if row.time_ms <= self._counted_until_ms or row.time_ms >= self._kept_from_ms:
                self._read[row] += 1
                if self._read[row] <= self._counted[row]:
                    continue
            sums = self.by_day.setdefault(Since.DAY.start(row.time_ms), {})
            key = LabelSet.of(row, by_symbol=self._by_symbol)
            sums.setdefault(key, Amounts()).add_row(row.amount)

    @property
    def kept(self) -> dict[IncomeRow, int]:
        """The rows that have been counted, by this read or before, and that the next read will return again."""
        rows = self._read | self._counted
        return {row: copies for row, copies in rows.items() if row.time_ms >= self._kept_from_ms}

    @property
    def vanished(self) -> Counter[IncomeRow]:
        """The rows that were counted before and that the exchange did not return again; they remain counted."""
        return self._counted - self._read

    @property
    def lacks_rows(self) -> bool:
        """Whether rows have vanished that no later read could return."""
        return any(row.time_ms < self._kept_from_ms for row in self.vanished)


class Period:
    """The sums of a UTC day or month by label set; they only grow.

    Types that this program does not know and symbols have labels in the order of their first row, then as `other`.
    """

    def __init__(self) -> None:
        self.sums: dict[LabelSet, Amounts] = {}
        self._unknown_types: set[str] = set()
        self._symbols: set[str] = set()

    def add(self, key: LabelSet, amounts: Amounts) -> LabelSet:
        """Add a sum of a read, and return the labels that it has here."""
        asset, income_type, symbol = key
        label_set = LabelSet(
            asset,
            _label(income_type.lower(), self._unknown_types, _MAX_UNKNOWN_TYPES, _KNOWN),
            _label(symbol, self._symbols, _MAX_SYMBOLS, ("",)),
        )
        self.sums.setdefault(label_set, Amounts()).add(amounts)
        return label_set


def _label(value: str, labels: set[str], most: int, always: Container[str]) -> str:
    """Return the value if it has a label or can get one, else `other`."""
    if value in always or value in labels:
        return value
    if len(labels) >= most:
        return _OTHER
    labels.add(value)
    return value
