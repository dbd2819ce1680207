"""Cross pools of single-asset mode and their ratios."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import make_asset, make_position, make_risk, make_snapshot
from support.margin import ASSETS, crosses, isolated, make_isolated, make_wallet, rows, snapshot_of, stakes, wallets

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import worst_ratio

if TYPE_CHECKING:
    from exporter.binance.rows import AssetBalance, Position


def test_worked_example() -> None:
    """100 in the cross wallet, -20 of profit and 8 of maintenance margin are a ratio of 0.1."""
    snapshot = snapshot_of([make_wallet("USDT", 100.0, -20.0)], [make_position(maintenance_margin=8.0)])

    assert {"USDT": 0.1} == crosses(snapshot)
    assert 0.1 == worst_ratio(snapshot)


@given(wallets())
def test_flat_account_is_zero(assets: list[AssetBalance]) -> None:
    """Without a position every asset's ratio is 0, whatever is in its wallet."""
    snapshot = snapshot_of(assets, [])

    assert dict.fromkeys(ASSETS, 0.0) == crosses(snapshot)
    assert {} == isolated(snapshot)
    assert 0.0 == worst_ratio(snapshot)


@given(wallets(), rows())
def test_pools_stand_side_by_side(assets: list[AssetBalance], positions: list[Position]) -> None:
    """Each asset's pool holds its own cross positions and nothing else, and is infinite only when it is lost."""
    ratios = crosses(snapshot_of(assets, positions))

    assert list(ASSETS) == list(ratios)
    for row in assets:
        assert row.cross_wallet_balance is not None
        assert row.cross_unrealized_pnl is not None
        stake = 0.0
        for position in positions:
            if position.symbol.endswith(row.asset) and position.amount and not position.isolated_wallet_balance:
                assert position.maintenance_margin is not None
                stake += position.maintenance_margin
        equity = row.cross_wallet_balance + row.cross_unrealized_pnl
        ratio = ratios[row.asset]
        assert ratio is not None
        assert (stake > 0 and equity <= 0) is math.isinf(ratio)
        if not math.isinf(ratio):
            assert (stake / equity if stake else 0.0) == pytest.approx(ratio)


@given(wallets(), rows(), st.sampled_from(ASSETS), st.integers(1, 10**5).map(lambda hundredths: hundredths / 100))
def test_other_pools_do_not_move(
    assets: list[AssetBalance], positions: list[Position], asset: str, loss: float
) -> None:
    """A loss in one asset raises only that asset's ratio, if it has any required margin."""
    before = crosses(snapshot_of(assets, positions))
    poorer = [
        msgspec.structs.replace(row, cross_wallet_balance=(row.cross_wallet_balance or 0.0) - loss)
        if row.asset == asset
        else row
        for row in assets
    ]
    after = crosses(snapshot_of(poorer, positions))
    old, new = before.pop(asset), after.pop(asset)

    assert before == after
    assert old is not None
    assert new is not None
    assert old < new or (old == new and (old == 0 or math.isinf(old)))


@given(wallets(), rows())
def test_rows_with_only_open_orders_do_not_count(assets: list[AssetBalance], positions: list[Position]) -> None:
    """Leaving out rows without an amount changes no pool."""
    held = [row for row in positions if row.amount]
    with_orders, without = snapshot_of(assets, positions), snapshot_of(assets, held)

    assert crosses(without) == crosses(with_orders)
    assert isolated(without) == isolated(with_orders)


@given(st.lists(stakes.filter(bool), min_size=1, max_size=8))
def test_isolated_account_with_an_empty_cross_wallet(at_stake: list[float]) -> None:
    """Whatever isolated positions sum up to, an empty cross wallet behind them is a ratio of 0, not infinite."""
    positions = [make_isolated(f"S{n}USDT", 1.0, 0.0, stake) for n, stake in enumerate(at_stake)]
    usdt = make_asset(maintenance_margin=math.fsum(at_stake), cross_wallet_balance=0.0, cross_unrealized_pnl=0.0)

    assert {"USDT": 0.0} == crosses(snapshot_of([usdt], positions))


def test_no_rounding_error_of_floats() -> None:
    """Isolated positions of 0.1 and 0.2 in an asset with 0.3 leave no required margin in its cross pool."""
    usdt = make_asset(maintenance_margin=0.3, cross_wallet_balance=0.0, cross_unrealized_pnl=0.0)
    positions = [make_isolated("BTCUSDT", 1.0, 0.0, 0.1), make_isolated("ETHUSDT", 1.0, 0.0, 0.2)]

    assert {"USDT": 0.0} == crosses(snapshot_of([usdt], positions))


def test_loss_of_the_whole_wallet_is_infinite() -> None:
    """A wallet that its loss uses up to the last cent leaves no equity."""
    usdt = make_wallet("USDT", 0.3, -0.3)

    assert {"USDT": math.inf} == crosses(snapshot_of([usdt], [make_position(maintenance_margin=1e-8)]))


def test_margin_asset_as_sent_decides() -> None:
    """A position counts in the pool of the margin asset that was sent, whatever its symbol ends with."""
    assets = [make_wallet("USDT", 100.0), make_wallet("BNFCR", 80.0)]
    position = make_position("BTCUSDT", maintenance_margin=8.0)
    risk = make_risk("BTCUSDT", margin_asset="BNFCR")
    snapshot = make_snapshot(assets, [position], [risk], asset_mode=AssetMode.SINGLE)

    assert {"USDT": 0.0, "BNFCR": 0.1} == crosses(snapshot)
