"""Margin pools and their ratios: how close each pool is to liquidation.

A margin pool is liquidated as a whole. Its ratio is the maintenance margin that its positions require, divided by the
equity that covers their losses:

    ratio = maintenance margin / equity

0 means no position, 1 means liquidation; high is bad, as on Binance's own pages (OKX, for example, shows the inverse).

- Single-asset mode has one cross pool for each margin asset. Its maintenance margin is the sum over the cross positions
  margined in the asset; its equity is crossWalletBalance + crossUnPnl of the asset.
  100 USDT in the cross wallet, a cross position with -20 of profit and 8 of maintenance margin: 8 / (100 - 20) = 0.1.
- Multi-assets mode has a single cross pool, in USD: totalMaintMargin / totalMarginBalance.
- Every isolated position is a separate pool: maintMargin / (isolatedWallet + unrealizedProfit).
  50 USDT set aside, -40 of profit, 8 of maintenance margin: 8 / (50 - 40) = 0.8.

If maintenance margin is required and no equity is left, the ratio is infinite. A ratio is unknown (None) if a figure
that it needs was not sent or is contradicted: by a position of some value without maintenance margin, or by an asset
whose maintenance margin is more than its positions require. If a position's margin asset is unknown, so are all cross
ratios of a single-asset account.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

import msgspec

from exporter.account.asset_mode import AssetMode

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import AssetBalance, Position


MIN_MARGIN: Final = 1e-7  # less is rounding, and so is a millionth of the margin balance
_MIN_MARGIN_FRACTION: Final = 1e-6
_MIN_ACCOUNTED_FRACTION: Final = 0.95
_MIN_NOTIONAL: Final = 1.0


# Structs, as rows are: the pools of 20 assets are made in 13 µs, as frozen dataclasses in 18.
class CrossPool(msgspec.Struct, frozen=True):
    """The pool of all cross positions of a margin asset; in multi-assets mode of all cross positions, in USD."""

    margin_asset: str
    ratio: float | None


class IsolatedPool(msgspec.Struct, frozen=True):
    """The pool of one isolated position."""

    symbol: str
    position_side: str
    ratio: float | None


@lru_cache(maxsize=1)  # each poll reads them twice
def cross_pools(snapshot: AccountSnapshot) -> tuple[CrossPool, ...]:
    """Return the cross pools, in single-asset mode one for each row of the account's assets."""
    totals = snapshot.totals
    if snapshot.asset_mode is AssetMode.MULTI:
        rows = [position.row for position in snapshot.held if not position.isolated]
        is_contradicted = any(row.maintenance_margin is not None and _margin(row) is None for row in rows)
        margin = None if is_contradicted else totals.maintenance_margin
        return (CrossPool(snapshot.currency, margin_ratio(margin, totals.margin_balance)),)
    margins = _MaintenanceMargins(snapshot)
    assets = {row.asset for row in snapshot.assets}
    # Positions in an asset that the account does not list are at risk, but what covers them is unknown.
    unlisted = tuple(CrossPool(asset, None) for asset in sorted(margins.cross) if asset not in assets)
    return unlisted + tuple(
        CrossPool(
            row.asset,
            # Summed over the cross positions: the asset's maintenance margin minus that of the isolated positions would
            # leave a float's rounding error, which over an empty cross wallet is an infinite ratio.
            margin_ratio(margins.cross_margin(row), _sum_known(row.cross_wallet_balance, row.cross_unrealized_pnl)),
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
                _sum_known(position.row.isolated_wallet_balance, position.row.unrealized_pnl),
            ),
        )
        for position in snapshot.held
        if position.isolated
    )


def _pools(snapshot: AccountSnapshot) -> tuple[CrossPool | IsolatedPool, ...]:
    return (*cross_pools(snapshot), *isolated_pools(snapshot))


def is_above_rounding(figure: float, margin_balance: float | None) -> bool:
    """Whether a figure is larger than the rounding error of its margin balance."""
    return figure > max(MIN_MARGIN, _MIN_MARGIN_FRACTION * abs(margin_balance or 0.0))


def margin_ratio(maintenance_margin: float | None, equity: float | None) -> float | None:
    """Return the ratio of a pool: 0 without required margin, infinite without equity, None if unknown."""
    if maintenance_margin is None:
        return None
    if maintenance_margin <= 0:
        return 0.0
    if equity is None:
        return None
    return maintenance_margin / equity if equity > 0 else math.inf


def worst_ratio(snapshot: AccountSnapshot) -> float | None:
    """Return the highest ratio of all pools; None if it is unknown whether any is above 0."""
    pools = _pools(snapshot)
    highest = max((pool.ratio for pool in pools if pool.ratio is not None), default=None)
    return None if not highest and any(pool.ratio is None for pool in pools) else highest


def distance_to_liquidation(mark_price: float | None, liquidation_price: float | None) -> float | None:
    """Return the distance from mark to liquidation price as a fraction of the mark price; None without both."""
    return abs(mark_price - liquidation_price) / mark_price if mark_price and liquidation_price else None


def explain_unknown_ratios(snapshot: AccountSnapshot) -> list[str]:
    """Return why ratios are unknown, without amounts; empty if all are known."""
    if all(pool.ratio is not None for pool in _pools(snapshot)):
        return []
    single, assets = snapshot.asset_mode is AssetMode.SINGLE, {row.asset for row in snapshot.assets}
    reasons = []
    for position in snapshot.held:
        if single and not position.isolated and position.margin_asset not in assets:
            reasons.append(f"{position.row.symbol}: margin asset unknown")
        elif _margin(position.row) is None:
            reasons.append(f"{position.row.symbol}: maintenance margin missing")
    if single and not reasons:
        margins = _MaintenanceMargins(snapshot)
        reasons = [
            f"{row.asset}: maintenance margin exceeds that of its positions"
            for row in snapshot.assets
            if margins.is_unaccounted(row)
        ]
    return sorted(set(reasons)) or ["balances missing"]


class _MaintenanceMargins:
    """The maintenance margin of the positions of a single-asset account, by margin asset."""

    def __init__(self, snapshot: AccountSnapshot) -> None:
        margins: defaultdict[str, list[float | None]] = defaultdict(list)
        cross_margins: defaultdict[str, list[float | None]] = defaultdict(list)
        self._complete = True
        for position in snapshot.held:
            if (asset := position.margin_asset) is None:
                self._complete = self._complete and position.isolated
                continue
            margin = _margin(position.row)
            margins[asset].append(margin)
            if not position.isolated:
                cross_margins[asset].append(margin)
        self._all = {asset: _sum_known(*figures) for asset, figures in margins.items()}
        self.cross = {asset: _sum_known(*figures) for asset, figures in cross_margins.items()}

    def cross_margin(self, row: AssetBalance) -> float | None:
        """Return the margin that the asset's cross positions require, None if it is unknown."""
        return None if not self._complete or self.is_unaccounted(row) else self.cross.get(row.asset, 0.0)

    def is_unaccounted(self, row: AssetBalance) -> bool:
        """Whether the asset's maintenance margin is more than its positions require."""
        required, margin = row.maintenance_margin or 0.0, self._all.get(row.asset, 0.0)
        return (
            margin is not None
            and margin < _MIN_ACCOUNTED_FRACTION * required
            and is_above_rounding(required, row.margin_balance)
        )


def _margin(row: Position) -> float | None:
    """Return the maintenance margin that a position requires, None if it is unknown.

    It is also unknown if a position of some value is reported without any, which no bracket of Binance allows.
    """
    margin = row.maintenance_margin
    if margin is None or margin >= MIN_MARGIN:
        return margin
    return None if abs(row.notional or 0.0) >= _MIN_NOTIONAL else margin


def _sum_known(*figures: float | None) -> float | None:
    return None if None in figures else sum(cast("tuple[float, ...]", figures))
