"""Isolated positions, each of which is a separate margin pool."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from support.margin import ASSETS, crosses, isolated, make_isolated, make_wallet, rows, snapshot_of

from exporter.account.margin import margin_ratio, worst_ratio

if TYPE_CHECKING:
    from exporter.binance.rows import Position


def test_worked_example() -> None:
    """50 set aside, -40 of profit and 8 of maintenance margin are a ratio of 0.8, the worst of the account."""
    usdt, position = make_wallet("USDT", 100.0), make_isolated("BTCUSDT", 50.0, -40.0, 8.0)
    snapshot = snapshot_of([usdt], [position])

    assert {("BTCUSDT", "BOTH"): 0.8} == isolated(snapshot)
    assert {"USDT": 0.0} == crosses(snapshot)
    assert 0.8 == worst_ratio(snapshot)


def test_each_is_its_own_pool() -> None:
    """Several isolated positions in one asset, also two sides of a symbol, have ratios of their own."""
    positions = [
        make_isolated("BTCUSDT", 50.0, -40.0, 8.0, side="LONG"),
        make_isolated("BTCUSDT", 50.0, 30.0, 8.0, side="SHORT", amount=-1.0),
        make_isolated("ETHUSDT", 50.0, -50.0, 8.0, side="LONG"),
    ]

    assert {("BTCUSDT", "LONG"): 0.8, ("BTCUSDT", "SHORT"): 0.1, ("ETHUSDT", "LONG"): math.inf} == isolated(
        snapshot_of([make_wallet()], positions)
    )


@given(rows())
def test_every_held_isolated_position_has_a_pool(positions: list[Position]) -> None:
    """Pools are those of the rows with an amount and an isolated wallet, infinite only where that is lost."""
    ratios = isolated(snapshot_of([make_wallet(asset) for asset in ASSETS], positions))
    own = [row for row in positions if row.amount and row.isolated_wallet_balance]

    assert [(row.symbol, row.position_side) for row in own] == list(ratios)
    for row, ratio in zip(own, ratios.values(), strict=True):
        assert row.isolated_wallet_balance is not None
        assert row.unrealized_pnl is not None
        equity = row.isolated_wallet_balance + row.unrealized_pnl
        assert ratio == margin_ratio(row.maintenance_margin, equity)


@pytest.mark.parametrize("missing", ["isolated_wallet_balance", "unrealized_pnl", "maintenance_margin"])
def test_missing_figure_is_unknown(missing: str) -> None:
    """An isolated position without one of its figures has no ratio, and does not fall to the cross pool."""
    whole = make_isolated("BTCUSDT", 50.0, -40.0, 8.0, isolated_margin=10.0)
    position = msgspec.structs.replace(whole, **{missing: None})
    snapshot = snapshot_of([make_wallet("USDT", 100.0)], [position])

    assert {("BTCUSDT", "BOTH"): None} == isolated(snapshot)
    assert {"USDT": 0.0} == crosses(snapshot)
