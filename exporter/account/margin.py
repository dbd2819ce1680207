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

Where something is at stake and no equity is left the ratio is infinite. A ratio that needs a figure which was not sent
is unknown (None), and all cross ratios of a single-asset account are where a position's margin asset is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from exporter.account.snapshot import AssetMode

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot


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
        return (CrossPool("USD", margin_ratio(totals.maintenance_margin, totals.margin_balance)),)
    at_stake = _maintenance_by_asset(snapshot)
    rows = {row.asset for row in snapshot.assets}
    # What is margined in an asset that the account does not list is at stake, whatever covers it.
    unlisted = tuple(CrossPool(asset, None) for asset in sorted(at_stake or ()) if asset not in rows)
    return unlisted + tuple(
        CrossPool(
            row.asset,
            # Summed from what is there: the asset's maintenance margin less that of the isolated positions would
            # leave a float's residue over an empty cross wallet, and read as infinite.
            margin_ratio(at_stake[row.asset], _sum(row.cross_wallet_balance, row.cross_unrealized_pnl))
            if at_stake is not None
            else None,
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
                position.row.maintenance_margin,
                _sum(position.row.isolated_wallet_balance, position.row.unrealized_pnl),
            ),
        )
        for position in snapshot.held
        if position.isolated
    )


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
    pools: tuple[CrossPool | IsolatedPool, ...] = (*cross_pools(snapshot), *isolated_pools(snapshot))
    worst = max((pool.ratio for pool in pools if pool.ratio is not None), default=None)
    return None if not worst and any(pool.ratio is None for pool in pools) else worst


def distance_to_liquidation(mark_price: float | None, liquidation_price: float | None) -> float | None:
    """Return how far the mark price is from the liquidation price, as a part of the mark price; None without either."""
    return abs(mark_price - liquidation_price) / mark_price if mark_price and liquidation_price else None


def symbols_without_pool(snapshot: AccountSnapshot) -> list[str]:
    """Return the symbols of cross positions whose margin asset is unknown, or none of the account's."""
    if snapshot.asset_mode is AssetMode.MULTI:
        return []
    assets = {row.asset for row in snapshot.assets}
    return sorted({one.row.symbol for one in snapshot.held if not one.isolated and one.margin_asset not in assets})


def _maintenance_by_asset(snapshot: AccountSnapshot) -> dict[str, float | None] | None:
    """Sum the cross positions' maintenance margin by margin asset; None where an asset is unknown."""
    sums: dict[str, float | None] = defaultdict(float)
    for position in snapshot.held:
        if position.isolated:
            continue
        if (asset := position.margin_asset) is None:
            return None
        margin, summed = position.row.maintenance_margin, sums[asset]
        sums[asset] = None if margin is None or summed is None else summed + margin
    return sums


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
