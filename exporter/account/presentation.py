"""Margin pools as rows for a reader: what the status page and `check` show of them, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.account.margin import CrossPool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.account.margin import IsolatedPool


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A margin pool: a margin asset's cross positions, or one isolated position."""

    margin_type: str  # cross or isolated
    asset_or_symbol: str
    position_side: str  # empty for a cross pool
    ratio: float | None  # None: unknown

    @property
    def name(self) -> str:
        """The pool's name: the margin asset, or the symbol and side of its position."""
        return f"{self.asset_or_symbol} {self.position_side}".rstrip()


def rank_pools(pools: Iterable[CrossPool | IsolatedPool]) -> tuple[list[PoolRow], int]:
    """Return the pools with the highest ratio first, unknown ones last, and how many idle ones are left out.

    Idle pools, whose ratio is 0, are left out unless there are no others: then one stands for all.
    """
    rows = sorted(map(_row, pools), key=lambda row: -1.0 if row.ratio is None else row.ratio, reverse=True)
    shown = [row for row in rows if row.ratio != 0] or rows[:1]
    return shown, len(rows) - len(shown)


def _row(pool: CrossPool | IsolatedPool) -> PoolRow:
    if isinstance(pool, CrossPool):
        return PoolRow("cross", pool.margin_asset, "", pool.ratio)
    return PoolRow("isolated", pool.symbol, pool.position_side, pool.ratio)
