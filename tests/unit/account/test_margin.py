"""Margin pools and their ratios, for generated and for hand-made accounts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import make_asset, make_position, make_risk, make_snapshot

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import (
    cross_pools,
    distance_to_liquidation,
    explain_unknown_ratios,
    isolated_pools,
    margin_ratio,
    worst_ratio,
)

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import AssetBalance, Position

ASSETS = ("USDT", "USDC", "BTC")
# Money in hundredths. Integers, since hypothesis draws decimals ten times slower.
cents = st.integers(-(10**8), 10**8).map(lambda hundredths: hundredths / 100)
gains = st.integers(0, 10**8).map(lambda hundredths: hundredths / 100)
stakes = st.just(0.0) | st.integers(1, 10**8).map(lambda hundredths: hundredths / 100)


def crosses(snapshot: AccountSnapshot) -> dict[str, float | None]:
    """Return the ratios of the cross pools by margin asset."""
    return {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}


def isolated(snapshot: AccountSnapshot) -> dict[tuple[str, str], float | None]:
    """Return the ratios of the isolated positions."""
    return {(pool.symbol, pool.position_side): pool.ratio for pool in isolated_pools(snapshot)}


def make_wallet(asset: str = "USDT", wallet: float = 0.0, profit: float = 0.0) -> AssetBalance:
    """Return an asset with a cross wallet."""
    return make_asset(asset, cross_wallet_balance=wallet, cross_unrealized_pnl=profit)


def make_isolated(symbol: str, wallet: float, profit: float, stake: float, **fields: Any) -> Position:
    """Return an isolated position."""
    return make_position(
        symbol, isolated_wallet_balance=wallet, unrealized_pnl=profit, maintenance_margin=stake, **fields
    )


@st.composite
def wallets(draw: st.DrawFn) -> list[AssetBalance]:
    """Draw an account's assets."""
    return [make_wallet(asset, draw(cents), draw(cents)) for asset in ASSETS]


@st.composite
def rows(draw: st.DrawFn) -> list[Position]:
    """Draw positions in any of the assets, cross and isolated, long and short, and rows with only open orders."""
    positions = []
    for number in range(draw(st.integers(0, 6))):
        wallet = draw(st.just(0.0) | gains)
        positions.append(
            make_isolated(
                f"S{number}{draw(st.sampled_from(ASSETS))}",
                wallet,
                draw(cents),
                draw(stakes),
                amount=draw(st.sampled_from([-1.5, 0.0, 0.25])),
                isolated_margin=wallet,
            )
        )
    return positions


def snapshot_of(
    assets: list[AssetBalance], positions: list[Position], mode: AssetMode = AssetMode.SINGLE, **totals: Any
) -> AccountSnapshot:
    """Return a snapshot whose mode is known."""
    return make_snapshot(assets, positions, asset_mode=mode, **totals)


class TestRatio:
    """One pool's ratio."""

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
    def test_ratio(self, expected: float | None, maintenance_margin: float | None, equity: float | None) -> None:
        """The ratio is maintenance margin over equity, 0 without required margin, infinite without equity."""
        assert expected == margin_ratio(maintenance_margin, equity)

    @given(stakes, cents)
    def test_infinite_exactly_without_equity(self, stake: float, equity: float) -> None:
        """A ratio is infinite if and only if margin is required and no equity is left, and never below 0."""
        ratio = margin_ratio(stake, equity)

        assert ratio is not None
        assert (stake > 0 and equity <= 0) is math.isinf(ratio)
        assert 0 <= ratio
        assert (stake == 0) is (ratio == 0)

    @given(st.floats(1e-8, 1e9), st.floats(1e-8, 1e9), st.floats(1.000001, 100.0))
    def test_ratio_rises_as_equity_falls(self, stake: float, equity: float, times: float) -> None:
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
        self, expected: float | None, mark_price: float | None, liquidation_price: float | None
    ) -> None:
        """The distance is a part of the mark price, whichever way liquidation lies; without either there is none."""
        assert expected == pytest.approx(distance_to_liquidation(mark_price, liquidation_price))


class TestCross:
    """Cross pools of single-asset mode."""

    def test_worked_example(self) -> None:
        """100 in the cross wallet, -20 of profit and 8 of maintenance margin are a ratio of 0.1."""
        snapshot = snapshot_of([make_wallet("USDT", 100.0, -20.0)], [make_position(maintenance_margin=8.0)])

        assert {"USDT": 0.1} == crosses(snapshot)
        assert 0.1 == worst_ratio(snapshot)

    @given(wallets())
    def test_flat_account_is_zero(self, assets: list[AssetBalance]) -> None:
        """Without a position every asset's ratio is 0, whatever is in its wallet."""
        snapshot = snapshot_of(assets, [])

        assert dict.fromkeys(ASSETS, 0.0) == crosses(snapshot)
        assert {} == isolated(snapshot)
        assert 0.0 == worst_ratio(snapshot)

    @given(wallets(), rows())
    def test_pools_stand_side_by_side(self, assets: list[AssetBalance], positions: list[Position]) -> None:
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
        self, assets: list[AssetBalance], positions: list[Position], asset: str, loss: float
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
    def test_rows_with_only_open_orders_do_not_count(
        self, assets: list[AssetBalance], positions: list[Position]
    ) -> None:
        """Leaving out rows without an amount changes no pool."""
        held = [row for row in positions if row.amount]
        with_orders, without = snapshot_of(assets, positions), snapshot_of(assets, held)

        assert crosses(without) == crosses(with_orders)
        assert isolated(without) == isolated(with_orders)

    @given(st.lists(stakes.filter(bool), min_size=1, max_size=8))
    def test_isolated_account_with_an_empty_cross_wallet(self, at_stake: list[float]) -> None:
        """Whatever isolated positions sum up to, an empty cross wallet behind them is a ratio of 0, not infinite."""
        positions = [make_isolated(f"S{n}USDT", 1.0, 0.0, stake) for n, stake in enumerate(at_stake)]
        usdt = make_asset(maintenance_margin=math.fsum(at_stake), cross_wallet_balance=0.0, cross_unrealized_pnl=0.0)

        assert {"USDT": 0.0} == crosses(snapshot_of([usdt], positions))

    def test_no_rounding_error_of_floats(self) -> None:
        """Isolated positions of 0.1 and 0.2 in an asset with 0.3 leave no required margin in its cross pool."""
        usdt = make_asset(maintenance_margin=0.3, cross_wallet_balance=0.0, cross_unrealized_pnl=0.0)
        positions = [make_isolated("BTCUSDT", 1.0, 0.0, 0.1), make_isolated("ETHUSDT", 1.0, 0.0, 0.2)]

        assert {"USDT": 0.0} == crosses(snapshot_of([usdt], positions))

    def test_loss_of_the_whole_wallet_is_infinite(self) -> None:
        """A wallet that its loss uses up to the last cent leaves no equity."""
        usdt = make_wallet("USDT", 0.3, -0.3)

        assert {"USDT": math.inf} == crosses(snapshot_of([usdt], [make_position(maintenance_margin=1e-8)]))

    @pytest.mark.parametrize("missing", ["cross_wallet_balance", "cross_unrealized_pnl"])
    def test_missing_equity_is_unknown(self, missing: str) -> None:
        """A pool with required margin that lacks a figure has no ratio; the others have theirs."""
        usdt = msgspec.structs.replace(make_wallet("USDT", 100.0, -20.0), **{missing: None})
        usdc = make_wallet("USDC", 80.0)
        positions = [make_position(f"BTC{asset}", maintenance_margin=8.0) for asset in ("USDT", "USDC")]

        assert {"USDT": None, "USDC": 0.1} == crosses(snapshot_of([usdt, usdc], positions))

    def test_missing_maintenance_margin_is_unknown(self) -> None:
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

    def test_unknown_margin_asset_leaves_no_cross_ratio(self) -> None:
        """A cross position that may belong to any pool leaves all without a ratio, and isolated ones with theirs."""
        assets = [make_wallet("USDT", 100.0), make_wallet("USDC", 100.0)]
        positions = [make_position("BTCEUR", maintenance_margin=1.0), make_isolated("ETHUSDT", 50.0, -40.0, 8.0)]
        snapshot = snapshot_of(assets, positions)

        assert {"USDT": None, "USDC": None} == crosses(snapshot)
        assert {("ETHUSDT", "BOTH"): 0.8} == isolated(snapshot)
        assert 0.8 == worst_ratio(snapshot)
        assert ["BTCEUR: margin asset unknown"] == explain_unknown_ratios(snapshot)

    def test_margin_asset_as_sent_decides(self) -> None:
        """A position counts in the pool of the margin asset that was sent, whatever its symbol ends with."""
        assets = [make_wallet("USDT", 100.0), make_wallet("BNFCR", 80.0)]
        position = make_position("BTCUSDT", maintenance_margin=8.0)
        risk = make_risk("BTCUSDT", margin_asset="BNFCR")
        snapshot = make_snapshot(assets, [position], [risk], asset_mode=AssetMode.SINGLE)

        assert {"USDT": 0.0, "BNFCR": 0.1} == crosses(snapshot)

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
        self, expected: float | None, own: float | None, cross: float, isolated: float
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
        self, mode: AssetMode, notional: float | None, *, is_known: bool
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

    def test_nothing_known_has_no_worst_ratio(self) -> None:
        """If no pool has a ratio, or there is no pool, there is no worst one."""
        unknown = snapshot_of([make_asset()], [make_position(maintenance_margin=1.0)])

        assert worst_ratio(unknown) is None
        assert worst_ratio(snapshot_of([], [])) is None


class TestIsolated:
    """Isolated positions."""

    def test_worked_example(self) -> None:
        """50 set aside, -40 of profit and 8 of maintenance margin are a ratio of 0.8, the worst of the account."""
        usdt, position = make_wallet("USDT", 100.0), make_isolated("BTCUSDT", 50.0, -40.0, 8.0)
        snapshot = snapshot_of([usdt], [position])

        assert {("BTCUSDT", "BOTH"): 0.8} == isolated(snapshot)
        assert {"USDT": 0.0} == crosses(snapshot)
        assert 0.8 == worst_ratio(snapshot)

    def test_each_is_its_own_pool(self) -> None:
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
    def test_every_held_isolated_position_has_a_pool(self, positions: list[Position]) -> None:
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
    def test_missing_figure_is_unknown(self, missing: str) -> None:
        """An isolated position without one of its figures has no ratio, and does not fall to the cross pool."""
        whole = make_isolated("BTCUSDT", 50.0, -40.0, 8.0, isolated_margin=10.0)
        position = msgspec.structs.replace(whole, **{missing: None})
        snapshot = snapshot_of([make_wallet("USDT", 100.0)], [position])

        assert {("BTCUSDT", "BOTH"): None} == isolated(snapshot)
        assert {"USDT": 0.0} == crosses(snapshot)


class TestMulti:
    """Multi-assets mode."""

    @given(wallets(), st.lists(stakes, max_size=4), stakes, cents)
    def test_one_pool_by_the_totals(
        self, assets: list[AssetBalance], at_stake: list[float], stake: float, equity: float
    ) -> None:
        """There is one pool, in USD, whose ratio is that of the totals, whatever the rows say."""
        positions = [make_position(f"S{n}EUR", maintenance_margin=stake) for n, stake in enumerate(at_stake)]
        totals = {"maintenance_margin": stake, "margin_balance": equity}

        assert {"USD": margin_ratio(stake, equity)} == crosses(
            snapshot_of(assets, positions, AssetMode.MULTI, **totals)
        )

    @pytest.mark.parametrize("missing", ["maintenance_margin", "margin_balance"])
    def test_missing_total_is_unknown(self, missing: str) -> None:
        """Without one of the two totals there is no ratio."""
        totals = {"maintenance_margin": 8.0, "margin_balance": 80.0, missing: None}

        assert {"USD": None} == crosses(snapshot_of([], [], AssetMode.MULTI, **totals))


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
