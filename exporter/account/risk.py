"""How close an account and each of its positions are to liquidation: the risk levels and their thresholds.

The alerting and recording rules use the same thresholds in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools, distance_to_liquidation, isolated_pools
from exporter.account.snapshot import identity, liquidation_price, shows_risk

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot, OpenPosition, RowIdentity
    from exporter.binance.rows import PositionRisk

# Margin ratio of a position's pool; 1 is liquidation.
MARGIN_RATIO_WARNING: Final = 0.7
MARGIN_RATIO_CRITICAL: Final = 0.8
# The distance from the mark price to the liquidation price, divided by the mark price.
LIQUIDATION_DISTANCE_WARNING: Final = 0.05
# An isolated position at leverage 20 starts at 4.6 %: critical only if its margin ratio is high, too.
LIQUIDATION_DISTANCE_CRITICAL: Final = 0.02
# Above this margin ratio a distance within the warning threshold is critical.
LIQUIDATION_MARGIN_RATIO: Final = 0.5

# The lowest margin ratio of each level, the highest level first.
MARGIN_RATIO_LEVELS: Final = ((1.0, "liquidation"), (MARGIN_RATIO_CRITICAL, "critical"), (MARGIN_RATIO_WARNING, "high"))


class RiskLevel(StrEnum):
    """How close an account is to liquidation."""

    NORMAL = "normal"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


def risk_level(snapshot: AccountSnapshot) -> RiskLevel:
    """Return the worst level of the held positions, by margin ratio and by distance to liquidation.

    Unknown if the level of any held position is unknown, since that may be the worst. If ``v2/account.position`` is not
    requested, only the margin ratio counts.
    """
    crosses = {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}
    isolated = {(pool.symbol, pool.position_side): pool.ratio for pool in isolated_pools(snapshot)}
    risks = {identity(risk): risk for risk in snapshot.risks}
    without_risk = positions_without_risk(snapshot)
    levels = set()
    for position in snapshot.held:
        name = identity(position.row)
        pool = snapshot.currency if snapshot.asset_mode is AssetMode.MULTI else position.margin_asset
        ratio = isolated[name] if position.isolated else crosses.get(pool or "")
        if ratio is None or name in without_risk:
            return RiskLevel.UNKNOWN
        levels.add(_position_level(ratio, _risk_figures(position, risks.get(name)).distance_to_liquidation))
    return next((level for level in (RiskLevel.CRITICAL, RiskLevel.WARNING) if level in levels), RiskLevel.NORMAL)


def positions_without_risk(snapshot: AccountSnapshot) -> list[RowIdentity]:
    """Return the held positions whose distance to liquidation was requested but is unknown, even if only this once."""
    if snapshot.without_risk is None:
        return []
    risks = {identity(risk): risk for risk in snapshot.risks}
    names = {identity(position.row): position.row for position in snapshot.held}
    return [name for name, row in names.items() if not shows_risk(risks.get(name), row)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFigures:
    """How close a held position is to liquidation; values that do not exist or were not reported are None."""

    margin_asset: str | None
    margin_type: str  # cross or isolated
    entry_price: float | None
    break_even_price: float | None
    mark_price: float | None
    liquidation_price: float | None
    adl_quantile: int | None
    distance_to_liquidation: float | None  # as a fraction of the mark price


def nearest_first(snapshot: AccountSnapshot) -> list[tuple[OpenPosition, RiskFigures]]:
    """Return the held positions, nearest to liquidation first, those at an unknown distance last."""
    risks = {identity(risk): risk for risk in snapshot.risks}
    rows = [(position, _risk_figures(position, risks.get(identity(position.row)))) for position in snapshot.held]
    return sorted(rows, key=lambda row: math.inf if (distance := row[1].distance_to_liquidation) is None else distance)


def _risk_figures(position: OpenPosition, risk: PositionRisk | None) -> RiskFigures:
    mark_price = risk.mark_price if risk else None
    price = liquidation_price(risk) if risk else None
    return RiskFigures(
        margin_asset=position.margin_asset,
        margin_type=position.margin_type,
        entry_price=risk.entry_price if risk else None,
        break_even_price=risk.break_even_price if risk else None,
        mark_price=mark_price,
        liquidation_price=price,
        adl_quantile=risk.adl_quantile if risk else None,
        distance_to_liquidation=distance_to_liquidation(mark_price, price),
    )


def _position_level(ratio: float, distance: float | None) -> RiskLevel:
    distance = math.inf if distance is None else distance
    is_near = distance < LIQUIDATION_DISTANCE_WARNING
    if (
        ratio > MARGIN_RATIO_CRITICAL
        or distance < LIQUIDATION_DISTANCE_CRITICAL
        or (is_near and ratio > LIQUIDATION_MARGIN_RATIO)
    ):
        return RiskLevel.CRITICAL
    return RiskLevel.WARNING if is_near or ratio > MARGIN_RATIO_WARNING else RiskLevel.NORMAL
