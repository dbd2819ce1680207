"""Margin pools whose ratio is unknown, and those that are known beside them."""

from __future__ import annotations

import msgspec
import pytest
from support.builders import make_asset, make_position, make_risk, make_snapshot
from support.margin import crosses, isolated, make_isolated, make_wallet, snapshot_of

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools, explain_unknown_ratios, worst_ratio


@pytest.mark.parametrize("missing", ["cross_wallet_balance", "cross_unrealized_pnl"])
def test_missing_equity_is_unknown(missing: str) -> None:
    """A pool with required margin that lacks a figure has no ratio; the others have theirs."""
    usdt = msgspec.structs.replace(make_wallet("USDT", 100.0, -20.0), **{missing: None})
    usdc = make_wallet("USDC", 80.0)
    positions = [make_position(f"BTC{asset}", maintenance_margin=8.0) for asset in ("USDT", "USDC")]

    assert {"USDT": None, "USDC": 0.1} == crosses(snapshot_of([usdt, usdc], positions))


def test_missing_maintenance_margin_is_unknown() -> None:
    """A cross position whose maintenance margin was not sent leaves its own asset's pool without a ratio."""
    assets = [make_wallet("USDT", 100.0, -20.0), make_wallet("USDC", 80.0)]
    positions = [
        make_position("BTCUSDT", maintenance_margin=8.0),
        make_position("ETHUSDT"),
        make_position("BTCUSDC", maintenance_margin=8.0),
    ]
    snapshot = snapshot_of(assets, positions)

    assert {"USDT": None, "USDC": 0.1} == crosses(snapshot)
    assert 0.1 == worst_ratio(snapshot)


def test_unknown_margin_asset_leaves_no_cross_ratio() -> None:
    """A cross position that may belong to any pool leaves all without a ratio, and isolated ones with theirs."""
    assets = [make_wallet("USDT", 100.0), make_wallet("USDC", 100.0)]
    positions = [make_position("BTCEUR", maintenance_margin=1.0), make_isolated("ETHUSDT", 50.0, -40.0, 8.0)]
    snapshot = snapshot_of(assets, positions)

    assert {"USDT": None, "USDC": None} == crosses(snapshot)
    assert {("ETHUSDT", "BOTH"): 0.8} == isolated(snapshot)
    assert 0.8 == worst_ratio(snapshot)
    assert ["BTCEUR: margin asset unknown"] == explain_unknown_ratios(snapshot)


@pytest.mark.parametrize(
    ("expected", "own", "cross", "isolated"),
    [
        (0.0951, 10.0, 9.51, 0.0),
        (None, 10.0, 9.49 / 2, 9.49 / 2),
        (0.05, 10.0, 5.0, 4.51),
        (0.2, 10.0, 20.0, 0.0),
        (None, 10.0, 9.49, 0.0),
        (None, 1.1e-7, 0.0, 0.0),
        (0.0, 1e-7, 0.0, 0.0),
        (0.0, None, 0.0, 0.0),
    ],
)
def test_margin_that_positions_do_not_account_for(
    expected: float | None, own: float | None, cross: float, isolated: float
) -> None:
    """An asset of whose own maintenance margin its positions require less than 95 % has no ratio."""
    usdt = msgspec.structs.replace(make_wallet("USDT", 100.0), maintenance_margin=own)
    usdc = make_wallet("USDC", 80.0)
    positions = [
        make_position("BTCUSDT", maintenance_margin=cross),
        make_isolated("ETHUSDT", 50.0, 0.0, isolated),
        make_position("BTCUSDC", maintenance_margin=8.0),
    ]

    ratios = crosses(
        make_snapshot(
            [usdt, usdc],
            positions,
            [make_risk(s, margin_asset=s[3:]) for s in ("BTCUSDT", "ETHUSDT", "BTCUSDC")],
            asset_mode=AssetMode.SINGLE,
        )
    )

    assert 0.1 == ratios["USDC"]
    assert expected == (None if ratios["USDT"] is None else pytest.approx(ratios["USDT"]))


@pytest.mark.parametrize(
    ("is_known", "notional"), [(False, 1.0), (False, -1.0), (True, 0.99), (True, -0.99), (True, None)]
)
@pytest.mark.parametrize("mode", AssetMode)
def test_position_without_margin_leaves_its_pool_unknown(
    mode: AssetMode, notional: float | None, *, is_known: bool
) -> None:
    """A position of at least 1 without maintenance margin leaves its own pool without a ratio."""
    usdt = make_wallet("USDT", 100.0)
    bare = make_position(notional=notional, maintenance_margin=0.0)
    lone = make_isolated("ETHUSDT", 50.0, 0.0, 0.0, notional=notional)
    other = make_isolated("SOLUSDT", 50.0, -40.0, 8.0, notional=100.0)
    snapshot = snapshot_of([usdt], [bare, lone, other], mode, maintenance_margin=0.0, margin_balance=100.0)

    ratio = 0.0 if is_known else None
    assert {ratio} == set(crosses(snapshot).values())
    assert {"ETHUSDT": ratio, "SOLUSDT": 0.8} == {
        symbol: ratio_of_position for (symbol, _), ratio_of_position in isolated(snapshot).items()
    }


def test_nothing_known_has_no_worst_ratio() -> None:
    """If no pool has a ratio, or there is no pool, there is no worst one."""
    unknown = snapshot_of([make_asset()], [make_position(maintenance_margin=1.0)])

    assert worst_ratio(unknown) is None
    assert worst_ratio(snapshot_of([], [])) is None


def test_asset_that_is_not_listed_is_at_stake_all_the_same() -> None:
    """A position margined in an asset that the account does not list has a pool of unknown ratio, and is warned of."""
    snapshot = make_snapshot(
        [make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)],
        [make_position(maintenance_margin=8.0)],
        risks=[make_risk(margin_asset="BNFCR")],
        asset_mode=AssetMode.SINGLE,
    )

    assert {"BNFCR": None, "USDT": 0.0} == {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}
    assert ["BTCUSDT: margin asset unknown"] == explain_unknown_ratios(snapshot)
    assert None is worst_ratio(snapshot)
