"""The income history of one account: a row for every amount that changed a wallet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

# Beyond 2**53, so that ids that are read as floats become equal.
_FIRST_ID: Final = 8_689_322_392_000_000_000
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
    """The rows of the last 100,000 amounts, in the order they were added, not of their times."""

    def __init__(self) -> None:
        self.rows: deque[Income] = deque(maxlen=100_000)
        self._last_id = _FIRST_ID

    def next_id(self) -> int:
        """Return another number for a transaction."""
        self._last_id += 1
        return self._last_id

    def select(
        self, start_ms: int, end_ms: int, now_ms: int, *, income_type: str | None = None, symbol: str | None = None
    ) -> list[Income]:
        """Return the rows from `start_ms` to `end_ms`, both inclusive, by time; those of the last 90 days."""
        start_ms = max(start_ms, now_ms - _HISTORY_MS)
        rows = (
            row
            for row in self.rows
            if start_ms <= row.time_ms <= end_ms
            and income_type in {None, row.income_type}
            and symbol in {None, row.symbol}
        )
        return sorted(rows, key=lambda row: row.time_ms)
