"""How near an account and each of its positions are to liquidation: the one judgement, with its thresholds.

The alert and recording rules compare with the same thresholds, in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from exporter.account.margin import cross_pools, distance_to_liquidation, isolated_pools
from exporter.account.snapshot import AssetMode, identity, shows_risk

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot, OpenPosition
    from exporter.binance.rows import PositionRisk

# Of a position's margin pool; 1 is liquidation.
MARGIN_RATIO_WARNING: Final = 0.7
MARGIN_RATIO_CRITICAL: Final = 0.8
# The distance from the mark price to the liquidation price, divided by the mark price.
LIQUIDATION_DISTANCE_WARNING: Final = 0.05
# An isolated position at leverage 20 starts at 4.6 %: critical only if its margin is used up as well.
LIQUIDATION_DISTANCE_CRITICAL: Final = 0.02
# Above this margin ratio the warning's distance is critical.
LIQUIDATION_MARGIN_RATIO: Final = 0.5

# The word for a margin ratio from each of these on, the highest first.
MARGIN_RATIO_LEVELS: Final = ((1.0, "liquidation"), (MARGIN_RATIO_CRITICAL, "critical"), (MARGIN_RATIO_WARNING, "high"))


class RiskLevel(StrEnum):
    """How near an account is to liquidation."""

    NORMAL = "normal"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


def risk_level(snapshot: AccountSnapshot) -> RiskLevel:
    """Return the worst level of the held positions, by margin ratio and by distance to liquidation.

    Unknown if that of any held position is: a known level of the others may not be the worst. Where
    ``v2/account.position`` is not asked for, the margin ratio decides alone.
    """
    crosses = {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}
    isolated = {(pool.symbol, pool.position_side): pool.ratio for pool in isolated_pools(snapshot)}
    risks = {identity(risk): risk for risk in snapshot.risks}
    levels = set()
    for position in snapshot.held:
        name = identity(position.row)
        pool = "USD" if snapshot.asset_mode is AssetMode.MULTI else position.margin_asset
        ratio = isolated[name] if position.isolated else crosses.get(pool or "")
        risk = risks.get(name)
        if ratio is None or (snapshot.without_risk is not None and not shows_risk(risk, position.row)):
            return RiskLevel.UNKNOWN
        levels.add(_position_level(ratio, _risk_figures(position, risk).distance_to_liquidation))
    return next((level for level in (RiskLevel.CRITICAL, RiskLevel.WARNING) if level in levels), RiskLevel.NORMAL)


def ratio_word(ratio: float | None) -> str:
    """Say what a margin ratio means, in a word or three."""
    if ratio is None:
        return "unknown"
    return next(
        (word for least, word in MARGIN_RATIO_LEVELS if ratio >= least), "normal" if ratio > 0 else "nothing at stake"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFigures:
    """How near a held position is to its liquidation; None is what there is not, or was not sent."""

    margin_asset: str | None
    margin_type: str  # cross or isolated
    entry_price: float | None
    break_even_price: float | None
    mark_price: float | None
    liquidation_price: float | None
    adl_quantile: int | None
    distance_to_liquidation: float | None  # as a part of the mark price


def nearest_first(snapshot: AccountSnapshot) -> list[tuple[OpenPosition, RiskFigures]]:
    """Return the held positions, the nearest to liquidation first, and last those of which that is not known."""
    risks = {identity(risk): risk for risk in snapshot.risks}
    rows = [(one, _risk_figures(one, risks.get(identity(one.row)))) for one in snapshot.held]
    return sorted(rows, key=lambda row: math.inf if (far := row[1].distance_to_liquidation) is None else far)


def _risk_figures(position: OpenPosition, risk: PositionRisk | None) -> RiskFigures:
    mark_price = risk.mark_price if risk else None
    told = risk.liquidation_price if risk else None
    liquidation_price = told if told and told > 0 else None  # 0 is how Binance says "none"
    return RiskFigures(
        margin_asset=position.margin_asset,
        margin_type="isolated" if position.isolated else "cross",
        entry_price=risk.entry_price if risk else None,
        break_even_price=risk.break_even_price if risk else None,
        mark_price=mark_price,
        liquidation_price=liquidation_price,
        adl_quantile=risk.adl_quantile if risk else None,
        distance_to_liquidation=distance_to_liquidation(mark_price, liquidation_price),
    )


def _position_level(ratio: float, distance: float | None) -> RiskLevel:
    far = math.inf if distance is None else distance
    near = far < LIQUIDATION_DISTANCE_WARNING
    if (
        ratio > MARGIN_RATIO_CRITICAL
        or far < LIQUIDATION_DISTANCE_CRITICAL
        or (near and ratio > LIQUIDATION_MARGIN_RATIO)
    ):
        return RiskLevel.CRITICAL
    return RiskLevel.WARNING if near or ratio > MARGIN_RATIO_WARNING else RiskLevel.NORMAL
