"""Margin pools and their ratios: how much of what stands between a position and its liquidation is used up.

A pool is what liquidation happens to. Its ratio is the maintenance margin that its positions require, divided by the
equity that is there to cover losses:

    ratio = maintenance margin / equity

0 is nothing at stake, 1 is liquidation, and high is bad, as on Binance's own pages (OKX, for one, shows the inverse).

- Single-asset mode has one cross pool for each margin asset. Its maintenance margin is the sum over the cross positions
  margined in the asset; its equity is crossWalletBalance + crossUnPnl of the asset.
  100 USDT in the cross wallet, a cross position with -20 of profit and 8 of maintenance margin: 8 / (100 - 20) = 0.1.
- Multi-assets mode has one cross pool of everything, in USD: totalMaintMargin / totalMarginBalance.
- Every isolated position is a pool of its own: maintMargin / (isolatedWallet + unrealizedProfit).
  50 USDT set aside, -40 of profit, 8 of maintenance margin: 8 / (50 - 40) = 0.8.

If maintenance margin is required and no equity is left, the ratio is infinite. A ratio is unknown (None) if a figure
that it needs was not sent or is contradicted: by a position of some value without maintenance margin, or by an asset
whose own maintenance margin its positions do not account for. If a position's margin asset is unknown, so are all cross
ratios of a single-asset account.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from exporter.account.snapshot import AssetMode

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import AssetBalance, Position


LEAST_MARGIN: Final = 1e-7  # less is rounding, and so is a millionth of the margin balance
_LEAST_MARGIN_PART: Final = 1e-6
_ACCOUNTED_PART: Final = 0.95
_LEAST_NOTIONAL: Final = 1.0


# Structs, as rows are: the pools of 20 assets are made in 13 µs, as frozen dataclasses in 18.
class CrossPool(msgspec.Struct, frozen=True):
    """What all cross positions of a margin asset (in multi-assets mode: all there are, in USD) are covered by."""

    margin_asset: str
    ratio: float | None


class IsolatedPool(msgspec.Struct, frozen=True):
    """What one isolated position is covered by."""

    symbol: str
    position_side: str
    ratio: float | None


def cross_pools(snapshot: AccountSnapshot) -> tuple[CrossPool, ...]:
    """Return the cross pools, in single-asset mode one for each row of the account's assets."""
    totals = snapshot.totals
    if snapshot.asset_mode is AssetMode.MULTI:
        contradicted = any(_lacks_margin(one.row) for one in snapshot.held if not one.isolated)
        margin = None if contradicted else totals.maintenance_margin
        return (CrossPool("USD", margin_ratio(margin, totals.margin_balance)),)
    margins = _Margins(snapshot)
    rows = {row.asset for row in snapshot.assets}
    # What is margined in an asset that the account does not list is at stake, whatever covers it.
    unlisted = tuple(CrossPool(asset, None) for asset in sorted(margins.cross) if asset not in rows)
    return unlisted + tuple(
        CrossPool(
            row.asset,
            # Summed from what is there: the asset's maintenance margin less that of the isolated positions would
            # leave a float's residue over an empty cross wallet, and read as infinite.
            margin_ratio(margins.of_cross(row), _sum(row.cross_wallet_balance, row.cross_unrealized_pnl)),
        )
        for row in snapshot.assets
    )


def isolated_pools(snapshot: AccountSnapshot) -> tuple[IsolatedPool, ...]:
    """Return a pool for each isolated position."""
    return tuple(
        IsolatedPool(
            position.row.symbol,
            position.row.position_side,
            margin_ratio(
                _margin(position.row),
                _sum(position.row.isolated_wallet_balance, position.row.unrealized_pnl),
            ),
        )
        for position in snapshot.held
        if position.isolated
    )


def _pools(snapshot: AccountSnapshot) -> tuple[CrossPool | IsolatedPool, ...]:
    return (*cross_pools(snapshot), *isolated_pools(snapshot))


def is_above_rounding(figure: float, margin_balance: float | None) -> bool:
    """Whether a figure is more than the rounding of the balance that it belongs to."""
    return figure > max(LEAST_MARGIN, _LEAST_MARGIN_PART * abs(margin_balance or 0.0))


def margin_ratio(maintenance_margin: float | None, equity: float | None) -> float | None:
    """Return the ratio of a pool: 0 with nothing at stake, infinite with nothing left, None if unknown."""
    if maintenance_margin is None:
        return None
    if maintenance_margin <= 0:
        return 0.0
    if equity is None:
        return None
    return maintenance_margin / equity if equity > 0 else math.inf


def worst_ratio(snapshot: AccountSnapshot) -> float | None:
    """Return the highest ratio of all pools; None where it is unknown whether anything is at stake."""
    pools = _pools(snapshot)
    worst = max((pool.ratio for pool in pools if pool.ratio is not None), default=None)
    return None if not worst and any(pool.ratio is None for pool in pools) else worst


def distance_to_liquidation(mark_price: float | None, liquidation_price: float | None) -> float | None:
    """Return how far the mark price is from the liquidation price, as a part of the mark price; None without either."""
    return abs(mark_price - liquidation_price) / mark_price if mark_price and liquidation_price else None


def unknown_ratios(snapshot: AccountSnapshot) -> list[str]:
    """Say why ratios are unknown, in words without amounts; empty where all are known."""
    if all(pool.ratio is not None for pool in _pools(snapshot)):
        return []
    single, assets = snapshot.asset_mode is AssetMode.SINGLE, {row.asset for row in snapshot.assets}
    words = []
    for one in snapshot.held:
        if single and not one.isolated and one.margin_asset not in assets:
            words.append(f"{one.row.symbol}: margin asset unknown")
        elif _margin(one.row) is None:
            words.append(f"{one.row.symbol}: maintenance margin missing")
    if single and not words:
        margins = _Margins(snapshot)
        words = [
            f"{row.asset}: more margin than its positions require" for row in snapshot.assets if margins.short(row)
        ]
    return sorted(set(words)) or ["balances missing"]


class _Margins:
    """The maintenance margin of the positions of a single-asset account, by margin asset."""

    def __init__(self, snapshot: AccountSnapshot) -> None:
        self.cross: dict[str, float | None] = defaultdict(float)
        self._all: dict[str, float | None] = defaultdict(float)
        self._complete = True
        for position in snapshot.held:
            asset, margin = position.margin_asset, _margin(position.row)
            if asset is not None:
                self._all[asset] = _sum(self._all[asset], margin)
            if asset is not None and not position.isolated:
                self.cross[asset] = _sum(self.cross[asset], margin)
            elif not position.isolated:
                self._complete = False

    def of_cross(self, row: AssetBalance) -> float | None:
        """Return what the asset's cross positions require, None where that is unknown."""
        return None if not self._complete or self.short(row) else self.cross[row.asset]

    def short(self, row: AssetBalance) -> bool:
        """Whether the asset's positions account for less than its own maintenance margin."""
        own, margin = row.maintenance_margin or 0.0, self._all[row.asset]
        return margin is not None and margin < _ACCOUNTED_PART * own and is_above_rounding(own, row.margin_balance)


def _margin(row: Position) -> float | None:
    """Return the maintenance margin that a position requires, None where that is unknown."""
    return None if _lacks_margin(row) else row.maintenance_margin


def _lacks_margin(row: Position) -> bool:
    """Whether a position of some value requires nothing, which no bracket of Binance's allows."""
    margin = row.maintenance_margin
    return margin is not None and margin < LEAST_MARGIN and abs(row.notional or 0.0) >= _LEAST_NOTIONAL


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
