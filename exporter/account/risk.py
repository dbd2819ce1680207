"""How near each held position is to its liquidation, for the page and `check`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.account.margin import distance_to_liquidation

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot, OpenPosition
    from exporter.binance.rows import PositionRisk


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
    known = {(risk.symbol, risk.position_side): risk for risk in snapshot.risks}
    rows = [(one, _risk_figures(one, known.get((one.row.symbol, one.row.position_side)))) for one in snapshot.held]
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
