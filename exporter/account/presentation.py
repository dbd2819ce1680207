"""Margin pools, clock offset and request weight as the status page and `check` display them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.account.margin import CrossPool
from exporter.binance.clock import DATE_ERROR_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.account.margin import IsolatedPool

# A clock is marked as uncertain by a far larger value; no round trip takes as long.
_MAX_UNCERTAINTY_SECONDS: Final = 60.0


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
    """Return the pools by descending ratio, unknown ratios last, and the number of idle pools that are omitted.

    Idle pools, whose ratio is 0, are omitted; if all pools are idle, one of them is kept.
    """
    rows = sorted(map(_row, pools), key=lambda row: -1.0 if row.ratio is None else row.ratio, reverse=True)
    shown = [row for row in rows if row.ratio != 0] or rows[:1]
    return shown, len(rows) - len(shown)


def format_clock_offset(offset_seconds: float | None, uncertainty_seconds: float | None) -> str:
    """Return how this host's clock compares with the exchange's, no more precisely than that is known.

    Args:
        offset_seconds: how far the exchange is ahead of this host; None if unknown.
        uncertainty_seconds: the largest error of that offset; None if unknown.
    """
    if offset_seconds is None or uncertainty_seconds is None or uncertainty_seconds > _MAX_UNCERTAINTY_SECONDS:
        return "unknown"
    is_exact = uncertainty_seconds < DATE_ERROR_SECONDS
    if abs(offset_seconds) < (0.0005 if is_exact else uncertainty_seconds):
        return "host and exchange agree" + ("" if is_exact else f" to within {uncertainty_seconds:.1f} s")
    amount = f"{abs(offset_seconds):,.3f}" if is_exact else f"about {abs(offset_seconds):,.0f}"
    return f"host {amount} s {'behind' if offset_seconds > 0 else 'ahead of'} exchange"


def format_request_weight(used: int | None, limit: int | None) -> str:
    """Return the request weight used in the current minute and its limit; None for what is unknown."""
    if limit is None:
        return "unknown" if used is None else f"{used:,} (limit unknown)"
    return f"{'unknown' if used is None else f'{used:,}'} of {limit:,}"


def _row(pool: CrossPool | IsolatedPool) -> PoolRow:
    if isinstance(pool, CrossPool):
        return PoolRow("cross", pool.margin_asset, "", pool.ratio)
    return PoolRow("isolated", pool.symbol, pool.position_side, pool.ratio)
