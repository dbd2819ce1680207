"""How close an account and each of its positions are to liquidation: the risk levels and their thresholds.

The alerting and recording rules use the same thresholds in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools, distance_to_liquidation, isolated_pools
from exporter.account.queries import CONFIGURATION
from exporter.account.risk_level import RiskLevel
from exporter.account.snapshot import identity, liquidation_price

if TYPE_CHECKING:
    from collections.abc import Collection

    from exporter.account.margin import CrossPool, IsolatedPool
    from exporter.account.snapshot import AccountSnapshot, OpenPosition, RowIdentity
    from exporter.binance.rows import Position, PositionRisk

# Margin ratio of a position's pool; 1 is liquidation.
MARGIN_RATIO_WARNING: Final = 0.7
MARGIN_RATIO_CRITICAL: Final = 0.8
# The distance from the mark price to the liquidation price, divided by the mark price.
LIQUIDATION_DISTANCE_WARNING: Final = 0.05
# An isolated position at leverage 20 starts at 4.6 %: critical only if its margin ratio is high, too.
LIQUIDATION_DISTANCE_CRITICAL: Final = 0.02
# Above this margin ratio a distance within the warning threshold is critical.
LIQUIDATION_MARGIN_RATIO: Final = 0.5


# Unknown comes before warning, since it may be critical, but does not hide what is known to be critical.
WORST_FIRST: Final = (RiskLevel.CRITICAL, RiskLevel.UNKNOWN, RiskLevel.WARNING, RiskLevel.NORMAL)


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
    leverage: int | None  # configured for the symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionAssessment:
    """A held position with its level; critical if what is known is sufficient for that, whatever is missing."""

    position: OpenPosition
    level: RiskLevel
    is_complete: bool  # the ratio is known, and so is the distance if it was requested
    is_distance_known: bool  # if it is, and the liquidation price is None, the position has none
    margin_ratio: float | None  # of its pool; None: unknown
    figures: RiskFigures

    @property
    def sort_key(self) -> tuple[int, float, float]:
        """The level, worst first, then the distance, nearest first, then the margin ratio, highest first."""
        ratio, distance = self.margin_ratio or 0.0, self.figures.distance_to_liquidation
        if ratio >= 1:
            distance = 0.0  # liquidation has been reached, whether or not there is a price for it
        return WORST_FIRST.index(self.level), math.inf if distance is None else distance, -ratio


@dataclass(frozen=True, slots=True)
class PoolAssessment:
    """A margin pool with the worst level of its ratio and its positions."""

    pool: CrossPool | IsolatedPool
    level: RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAssessment:
    """The risk of an account: its level, and its positions and margin pools with theirs, worst first."""

    level: RiskLevel  # the worst of the positions; normal without any
    is_complete: bool  # whether all positions are known completely; if not, the level may be critical or unknown
    positions: tuple[PositionAssessment, ...]
    pools: tuple[PoolAssessment, ...]


def assess(snapshot: AccountSnapshot) -> RiskAssessment:
    """Return the levels of an account, of each held position and of each margin pool.

    If ``v2/account.position`` is not requested, only margin ratios count.
    """
    crosses, isolated = cross_pools(snapshot), isolated_pools(snapshot)
    pools: dict[str | RowIdentity, CrossPool | IsolatedPool] = {pool.margin_asset: pool for pool in crosses}
    pools |= {(pool.symbol, pool.position_side): pool for pool in isolated}
    levels = {name: {ratio_level(pool.ratio)} for name, pool in pools.items()}
    risks = {identity(risk): risk for risk in snapshot.risks}
    requested, without_risk = snapshot.without_risk is not None, snapshot.without_risk or frozenset()
    configuration = snapshot.reading(CONFIGURATION)
    positions = []
    for position in snapshot.held:
        row = identity(position.row)
        cross = snapshot.currency if snapshot.asset_mode is AssetMode.MULTI else position.margin_asset or ""
        name = row if position.isolated else cross
        ratio = pools[name].ratio if name in pools else None
        leverage = configuration.result.leverages.get(position.row.symbol) if configuration else None
        figures = _risk_figures(position, risks.get(row), leverage)
        is_complete = ratio is not None and row not in without_risk
        level = _position_level(ratio, figures.distance_to_liquidation, is_complete=is_complete)
        positions.append(
            PositionAssessment(
                position=position,
                level=level,
                is_complete=is_complete,
                is_distance_known=requested and row not in without_risk,
                margin_ratio=ratio,
                figures=figures,
            )
        )
        levels.setdefault(name, set()).add(level)
    # In single-asset mode an asset whose ratio is unknown requires margin, perhaps for a position that is missing.
    lacks_position = snapshot.asset_mode is AssetMode.SINGLE and any(pool.ratio is None for pool in crosses)
    return RiskAssessment(
        level=_worst({position.level for position in positions} | ({RiskLevel.UNKNOWN} if lacks_position else set())),
        is_complete=not lacks_position and all(position.is_complete for position in positions),
        positions=tuple(sorted(positions, key=lambda position: position.sort_key)),
        pools=tuple(
            sorted((PoolAssessment(pool, _worst(levels[name])) for name, pool in pools.items()), key=_pool_sort_key)
        ),
    )


def account_sort_key(assessment: RiskAssessment | None) -> tuple[int, float, float]:
    """Return a key that sorts accounts by level, worst first, then by the nearest liquidation of their worst position.

    None stands for an account without current data, whose level is unknown.
    """
    if assessment is None:
        return WORST_FIRST.index(RiskLevel.UNKNOWN), math.inf, 0.0
    nearest = assessment.positions[0].sort_key[1:] if assessment.positions else (math.inf, 0.0)
    return WORST_FIRST.index(assessment.level), *nearest


def risk_level(snapshot: AccountSnapshot) -> RiskLevel:
    """Return the worst level of the held positions as the recording rules do: unknown if any of them is incomplete."""
    assessment = assess(snapshot)
    return assessment.level if assessment.is_complete else RiskLevel.UNKNOWN


def ratio_level(ratio: float | None) -> RiskLevel:
    """Return the level of a margin ratio alone; None is an unknown ratio."""
    return _position_level(ratio, None, is_complete=ratio is not None)


def positions_without_risk(snapshot: AccountSnapshot) -> list[Position]:
    """Return the held positions whose distance to liquidation was requested but is unknown, even if only this once."""
    missing = snapshot.without_risk or frozenset()
    return [position.row for position in snapshot.held if identity(position.row) in missing]


def _risk_figures(position: OpenPosition, risk: PositionRisk | None, leverage: int | None) -> RiskFigures:
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
        leverage=leverage,
    )


def _position_level(ratio: float | None, distance: float | None, *, is_complete: bool) -> RiskLevel:
    ratio = ratio or 0.0
    distance = math.inf if distance is None else distance
    is_near = distance < LIQUIDATION_DISTANCE_WARNING
    if (
        ratio > MARGIN_RATIO_CRITICAL
        or distance < LIQUIDATION_DISTANCE_CRITICAL
        or (is_near and ratio > LIQUIDATION_MARGIN_RATIO)
    ):
        return RiskLevel.CRITICAL
    if not is_complete:
        return RiskLevel.UNKNOWN
    return RiskLevel.WARNING if is_near or ratio > MARGIN_RATIO_WARNING else RiskLevel.NORMAL


def _worst(levels: Collection[RiskLevel]) -> RiskLevel:
    return min(levels, key=WORST_FIRST.index, default=RiskLevel.NORMAL)


def _pool_sort_key(assessment: PoolAssessment) -> tuple[int, float]:
    return WORST_FIRST.index(assessment.level), -(assessment.pool.ratio or 0.0)
