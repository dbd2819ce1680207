"""Leverage brackets: the maintenance margin of a notional, by tiers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from exporter.simulator.market import CENT

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier: from `floor` on, the margin is notional times `rate` less the cumulative `amount`."""

    floor: Decimal
    rate: Decimal
    amount: Decimal
    leverage: int


def _tiers(steps: Iterable[tuple[int, str, int]]) -> tuple[Tier, ...]:
    tiers: list[Tier] = []
    amount = rate_before = Decimal(0)
    for floor, rate_text, leverage in steps:
        rate = Decimal(rate_text)
        # The cumulative amount makes the margin continuous where one tier ends and the next begins.
        amount += floor * (rate - rate_before)
        tiers.append(Tier(Decimal(floor), rate, amount, leverage))
        rate_before = rate
    return tuple(tiers)


TIERS: Final = {
    "major": _tiers(
        [
            (0, "0.004", 125),
            (50_000, "0.005", 100),
            (600_000, "0.0065", 75),
            (3_000_000, "0.01", 50),
            (12_000_000, "0.02", 25),
            (70_000_000, "0.05", 10),
            (230_000_000, "0.125", 4),
        ]
    ),
    "liquid": _tiers(
        [(0, "0.006", 75), (50_000, "0.01", 50), (150_000, "0.02", 25), (900_000, "0.05", 10), (5_000_000, "0.125", 4)]
    ),
    "thin": _tiers([(0, "0.02", 25), (25_000, "0.025", 20), (100_000, "0.05", 10), (500_000, "0.125", 4)]),
}


def tier_of(bracket: str, notional: Decimal) -> Tier:
    """Return the tier of a notional, whose sign is ignored."""
    size = abs(notional)
    return next(tier for tier in reversed(TIERS[bracket]) if tier.floor <= size)


def maintenance_margin(bracket: str, notional: Decimal) -> Decimal:
    """Return the maintenance margin of a notional, to 8 digits."""
    tier = tier_of(bracket, notional)
    return (abs(notional) * tier.rate - tier.amount).quantize(CENT)


def max_notional(bracket: str, leverage: int) -> Decimal:
    """Return the largest notional allowed at a leverage: where the first tier begins that allows less."""
    tiers = TIERS[bracket]
    return next((tier.floor for tier in tiers if tier.leverage < leverage), 2 * tiers[-1].floor)
