"""The income history of one account: a row for every amount that changed a wallet."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

# Beyond 2**53, so that ids that are read as floats become equal.
_FIRST_ID: Final = 8_689_322_392_000_000_000
_MOST_ROWS: Final = 250_000
_HISTORY_MS: Final = 90 * 86_400_000


@dataclass(frozen=True, slots=True)
class Income:
    """A row. `transaction` is Binance's tranId, unique within an income type but for 0; times are in epoch ms."""

    income_type: str
    asset: str
    amount: Decimal
    time_ms: int
    transaction: int
    symbol: str = ""
    info: str = ""
    trade: str = ""


class IncomeHistory:
    """The rows of an account by time, at most 250,000 of them: the earliest are dropped."""

    def __init__(self) -> None:
        self.rows: list[Income] = []
        self._last_id = _FIRST_ID

    def next_id(self) -> int:
        """Return another number for a transaction."""
        self._last_id += 1
        return self._last_id

    def add(self, row: Income) -> None:
        """Add a row, after those of the same millisecond."""
        if not self.rows or self.rows[-1].time_ms <= row.time_ms:
            self.rows.append(row)
        else:
            insort(self.rows, row, key=_time_of)
        if len(self.rows) > _MOST_ROWS:
            del self.rows[: _MOST_ROWS // 10]

    def select(
        self, start_ms: int, end_ms: int, now_ms: int, limit: int, *, income_type: str | None, symbol: str | None
    ) -> list[Income]:
        """Return the first rows from `start_ms` to `end_ms`, both inclusive; None selects every type and symbol.

        Rows are forgotten 90 days after their time.
        """
        first = bisect_left(self.rows, max(start_ms, now_ms - _HISTORY_MS), key=_time_of)
        last = bisect_right(self.rows, end_ms, key=_time_of)
        rows = (self.rows[number] for number in range(first, last))
        chosen = (row for row in rows if income_type in {None, row.income_type} and symbol in {None, row.symbol})
        return list(islice(chosen, limit))


def _time_of(row: Income) -> int:
    return row.time_ms
