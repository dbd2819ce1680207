"""The ratio of one margin pool, and the distance of a position to its liquidation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.margin import cents, stakes

from exporter.account.margin import distance_to_liquidation, margin_ratio


@pytest.mark.parametrize(
    ("expected", "maintenance_margin", "equity"),
    [
        (0.1, 8.0, 80.0),
        (0.8, 8.0, 10.0),
        (1.0, 5.0, 5.0),
        (0.0, 0.0, 0.0),
        (0.0, 0.0, -5.0),
        (0.0, -0.0, 0.0),
        (math.inf, 1e-8, 0.0),
        (math.inf, 8.0, -0.01),
        (None, None, 80.0),
        (None, 8.0, None),
        (None, None, None),
    ],
)
def test_ratio(expected: float | None, maintenance_margin: float | None, equity: float | None) -> None:
    """The ratio is maintenance margin over equity, 0 without required margin, infinite without equity."""
    assert expected == margin_ratio(maintenance_margin, equity)


@given(stakes, cents)
def test_infinite_exactly_without_equity(stake: float, equity: float) -> None:
    """A ratio is infinite if and only if margin is required and no equity is left, and never below 0."""
    ratio = margin_ratio(stake, equity)

    assert ratio is not None
    assert (stake > 0 and equity <= 0) is math.isinf(ratio)
    assert 0 <= ratio
    assert (stake == 0) is (ratio == 0)


@given(st.floats(1e-8, 1e9), st.floats(1e-8, 1e9), st.floats(1.000001, 100.0))
def test_ratio_rises_as_equity_falls(stake: float, equity: float, times: float) -> None:
    """Less equity, or more maintenance margin, is a strictly higher ratio."""
    ratio, poorer = margin_ratio(stake, equity), margin_ratio(stake, equity / times)
    larger = margin_ratio(stake * times, equity)

    assert ratio is not None
    assert poorer is not None
    assert larger is not None
    assert ratio < poorer
    assert ratio < larger


@pytest.mark.parametrize(
    ("expected", "mark_price", "liquidation_price"),
    [
        (0.2, 100.0, 80.0),
        (0.25, 100.0, 125.0),
        (0.0, 100.0, 100.0),
        (None, 100.0, 0.0),
        (None, 100.0, None),
        (None, 0.0, 80.0),
        (None, None, 80.0),
    ],
)
def test_distance_to_liquidation(
    expected: float | None, mark_price: float | None, liquidation_price: float | None
) -> None:
    """The distance is a part of the mark price, whichever way liquidation lies; without either there is none."""
    assert expected == pytest.approx(distance_to_liquidation(mark_price, liquidation_price))
