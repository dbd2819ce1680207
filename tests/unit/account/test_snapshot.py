"""Snapshots: rejected rows, the inferred asset mode, open positions and risk; and the states of polling."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.builders import (
    fill,
    make_asset,
    make_figures,
    make_position,
    make_risk,
    make_snapshot,
    make_state,
    make_status,
    samples,
)

from exporter.account.asset_mode import AssetMode, infer_asset_mode
from exporter.account.snapshot import build_snapshot
from exporter.binance.errors import DecodeError
from exporter.binance.rows import FIELDS_WITHOUT_POSITION, FIGURES
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.text import render

if TYPE_CHECKING:
    from exporter.binance.rows import AssetBalance, Position, PositionRisk

BTC, ETH = make_position("BTCUSDT"), make_position("ETHUSDT")
USDT, BNB = make_asset("USDT"), make_asset("BNB")


def test_snapshot_keeps_the_whole_response() -> None:
    """Totals, rows and times of an answer are in its snapshot, in the exchange's order."""
    status = make_status([USDT, BNB], [ETH, BTC], **make_figures())

    snapshot = build_snapshot(status, asked_at=1.5, answered_at=2.5)

    assert status is snapshot.totals
    assert snapshot.assets == (USDT, BNB)
    assert snapshot.positions == (ETH, BTC)
    assert (snapshot.asked_at, snapshot.answered_at) == (1.5, 2.5)


def test_snapshot_is_frozen() -> None:
    """Nobody can change a snapshot that others read."""
    snapshot = make_snapshot()

    with pytest.raises(FrozenInstanceError):
        snapshot.answered_at = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assets", "positions", "path", "text"),
    [
        ([USDT, BNB, USDT], [], "result.assets[2]", "result.assets[2]: duplicates result.assets[0]"),
        ([USDT], [ETH, BTC, BTC], "result.positions[2]", "result.positions[2]: duplicates result.positions[1]"),
        (
            [],
            [make_position(side="LONG", amount=1.0), make_position(side="LONG", amount=2.0)],
            "result.positions[1]",
            "result.positions[1]: duplicates result.positions[0]",
        ),
    ],
)
def test_rows_with_one_identity_are_refused(
    assets: list[AssetBalance], positions: list[Position], path: str, text: str
) -> None:
    """Two rows of one asset, or of one symbol and side, fail with the path of the second."""
    with pytest.raises(DecodeError) as caught:
        make_snapshot(assets, positions)

    assert path == caught.value.path
    assert text == str(caught.value)


def test_long_and_short_of_a_symbol_are_two_positions() -> None:
    """In hedge mode a symbol has a row for each side."""
    rows = [make_position(side=side) for side in ("LONG", "SHORT", "BOTH")]

    assert make_snapshot(positions=rows).open_positions == 3


@pytest.mark.parametrize(
    ("amounts", "open_positions"), [([], 0), ([0.0], 0), ([-0.0], 0), ([0.0, -1.5, 5e-324], 2), ([1.0, 0.0], 1)]
)
def test_rows_with_only_open_orders_are_not_open(amounts: list[float], open_positions: int) -> None:
    """Only rows with an amount, long or short, count as open positions; the others are kept."""
    snapshot = make_snapshot(positions=[make_position(f"S{i}USDT", amount=amount) for i, amount in enumerate(amounts)])

    assert open_positions == snapshot.open_positions
    assert len(amounts) == len(snapshot.positions)


@pytest.mark.parametrize("total", [1.0, 2.0])
@pytest.mark.parametrize(("mode", "currency"), [(AssetMode.SINGLE, "USDT"), (AssetMode.MULTI, "USD")])
def test_configured_mode_wins(mode: AssetMode, currency: str, total: float) -> None:
    """The configuration decides the mode whatever the figures say, and the mode the currency."""
    isolated = make_position(isolated_margin=1.0)
    status = make_status([make_asset(wallet_balance=1.0)], [isolated], wallet_balance=total)

    snapshot = build_snapshot(status, asset_mode=mode, asked_at=0.0, answered_at=0.0)

    assert mode is snapshot.asset_mode
    assert currency == snapshot.currency


@pytest.mark.parametrize(
    ("position", "mode"),
    [
        (make_position(isolated_margin=0.5), AssetMode.SINGLE),
        (make_position(isolated_wallet_balance=0.5, amount=-1.0), AssetMode.SINGLE),
        (make_position(isolated_margin=-0.5, isolated_wallet_balance=0.0), AssetMode.SINGLE),
        (make_position(isolated_margin=0.0, isolated_wallet_balance=0.0), AssetMode.MULTI),
        (make_position(), AssetMode.MULTI),
        (make_position(isolated_margin=0.5, isolated_wallet_balance=0.5, amount=0.0), AssetMode.MULTI),
    ],
)
def test_isolated_position_proves_single_mode(position: Position, mode: AssetMode) -> None:
    """An isolated position, not mere orders, outweighs totals that differ from the USDT row."""
    status = make_status([USDT], [ETH, position], wallet_balance=1.0)
    differing = make_status([make_asset(wallet_balance=2.0)], [ETH, position], wallet_balance=1.0)

    assert AssetMode.SINGLE is infer_asset_mode(status)
    assert mode is infer_asset_mode(differing)


def test_equal_totals_mean_single_mode() -> None:
    """Totals that are the USDT row's own figures are those of single-asset mode, whatever other assets hold."""
    status = make_status([make_asset("BNB", **make_figures(50.0)), make_asset(**make_figures())], **make_figures())

    assert AssetMode.SINGLE is infer_asset_mode(status)


@pytest.mark.parametrize("name", FIGURES)
def test_each_total_alone_means_multi_mode(name: str) -> None:
    """One of the eleven totals that is not the USDT row's own is enough for multi-assets mode."""
    own = make_figures()
    status = make_status([make_asset(**own)], **{**own, name: own[name] + 1e-8})

    assert AssetMode.MULTI is infer_asset_mode(status)


@pytest.mark.parametrize("name", FIGURES)
def test_missing_figures_prove_nothing(name: str) -> None:
    """A figure that is missing among the totals or in the USDT row is not a difference."""
    own = make_figures()
    of_totals = make_status([make_asset(**own)], **{**own, name: None})
    of_row = make_status([make_asset(**{**own, name: None})], **own)

    assert AssetMode.SINGLE is infer_asset_mode(of_totals)
    assert AssetMode.SINGLE is infer_asset_mode(of_row)


@pytest.mark.parametrize("name", FIGURES)
def test_without_usdt_row_totals_must_be_zero(name: str) -> None:
    """Without a USDT row, single-asset mode's totals are all zero."""
    zeros: dict[str, Any] = dict.fromkeys(FIGURES, 0.0)
    bnb = make_asset("BNB", **make_figures())

    assert AssetMode.SINGLE is infer_asset_mode(make_status([bnb], **zeros))
    assert AssetMode.MULTI is infer_asset_mode(make_status([bnb], **{**zeros, name: -1.0}))


def test_nothing_is_fresh_before_the_first_answer() -> None:
    """An account without any response is neither fresh nor up."""
    state = make_state()

    assert float("-inf") == state.stale_at
    assert not state.is_fresh(0.0)
    assert not state.is_up(0.0)


@pytest.mark.parametrize(("now", "fresh"), [(1000.0, True), (1059.999, True), (1060.0, False), (2000.0, False)])
@pytest.mark.parametrize("succeeded", [True, False])
def test_figures_are_fresh_until_they_are_stale(*, now: float, fresh: bool, succeeded: bool) -> None:
    """Figures are shown until they are stale_after old, and up is 1 only while they are."""
    state = make_state(answered_at=1000.0, stale_after_seconds=60.0)
    state.last_poll_succeeded = succeeded

    assert fresh is state.is_fresh(now)
    assert (fresh and succeeded) is state.is_up(now)


def test_stretch_moves_interval_and_staleness_alike() -> None:
    """The weight plan's factor applies to the settings, not to the last factor's outcome."""
    state = make_state(answered_at=1000.0, interval_seconds=15.0, stale_after_seconds=60.0)

    state.stretch(4.0)
    state.stretch(2.0)

    assert (state.interval_seconds, state.stale_after_seconds) == (30.0, 120.0)
    assert state.stale_at == 1060.0  # what was shown before keeps the time that it was given


def margin_asset_of(symbol: str, assets: list[str], **risk: Any) -> str | None:
    """Return the margin asset of a position in an account with these assets."""
    risks = [make_risk(symbol, **risk)] if risk else []
    snapshot = make_snapshot([make_asset(asset) for asset in assets], [make_position(symbol)], risks)
    (position,) = snapshot.held
    return position.margin_asset


@pytest.mark.parametrize(
    ("expected", "symbol", "assets"),
    [
        ("USDT", "BTCUSDT", ["BNB", "USDT", "USDC"]),
        ("USDC", "BTCUSDC", ["BNB", "USDT", "USDC"]),
        ("USDT", "BTCUSDT_260327", ["BNB", "USDT"]),
        ("USDT", "USDTUSDT", ["BNB", "USDT"]),
        ("USD1", "BTCUSD1", ["USDT", "USD1", "D1"]),
        ("DUSDT", "BTCDUSDT", ["USDT", "DUSDT"]),
        ("DUSDT", "BTCDUSDT", ["DUSDT", "USDT"]),
        ("FDUSD", "BNBFDUSD", ["USD", "FDUSD"]),
        ("BTC", "ETHBTC", ["BTC", "USDT"]),
        ("USDT", "币安人生USDT", ["BNB", "USDT"]),
        (None, "BTCUSDT", ["BNB", "USDC"]),
        (None, "BTCUSDT_USDC", ["USDC"]),
        (None, "BTCUSDT", []),
    ],
)
def test_margin_asset_is_inferred_from_the_symbol(expected: str | None, symbol: str, assets: list[str]) -> None:
    """Without marginAsset it is the longest of the account's assets that the symbol, up to any _, ends with."""
    assert expected == margin_asset_of(symbol, assets)
    assert expected == margin_asset_of(symbol, assets, margin_asset=None)
    assert expected == margin_asset_of(symbol, assets, margin_asset="")


@pytest.mark.parametrize(
    ("expected", "symbol", "margins"),
    [
        ("BNFCR", "BTCUSDT", {"USDT": 0.0, "BNFCR": 3.6}),
        ("BNFCR", "BTCUSDT", {"USDT": 0.0, "BNFCR": 3.42}),
        (None, "BTCUSDT", {"USDT": 0.0, "BNFCR": 3.41}),
        (None, "BTCUSDT", {"USDT": 0.0, "USDC": 3.6}),
        ("USDT", "BTCUSDT", {"USDT": 3.6, "BNFCR": 3.6}),
        ("USDT", "BTCUSDT", {"USDT": None, "BNFCR": 3.6}),
        ("USDT", "WLDUSDT", {"USDT": 3.6, "LDUSDT": 0.0}),
        ("LDUSDT", "WLDUSDT", {"USDT": 9.0, "LDUSDT": 3.6}),
        (None, "BTCUSDT", {}),
    ],
)
def test_margin_asset_carries_the_margin(expected: str | None, symbol: str, margins: dict[str, float | None]) -> None:
    """An asset that carries less than 95 % of a position's maintenance margin is not what it is margined in."""
    assets = [make_asset(asset, maintenance_margin=margin) for asset, margin in margins.items()]
    snapshot = make_snapshot(assets, [make_position(symbol, maintenance_margin=3.6)])

    assert [expected] == [position.margin_asset for position in snapshot.held]


@pytest.mark.parametrize("sent", ["USDC", "BNFCR"])
def test_margin_asset_as_sent_is_believed(sent: str) -> None:
    """A margin asset that was sent is believed over the symbol, also where the account has no row of it."""
    assert sent == margin_asset_of("BTCUSDT", ["USDT", "USDC"], margin_asset=sent)


def test_status_decides_which_rows_exist() -> None:
    """A row that is only in the risk response is dropped; one that is only in the status has no risk figures."""
    risks = [make_risk("SOLUSDT", mark_price=1.0), make_risk("ETHUSDT", mark_price=2.0)]

    snapshot = make_snapshot([USDT], [BTC, ETH], risks)

    assert (BTC, ETH) == snapshot.positions
    assert [("ETHUSDT", 2.0)] == [(risk.symbol, risk.mark_price) for risk in snapshot.risks]
    assert ["BTCUSDT", "ETHUSDT"] == [position.row.symbol for position in snapshot.held]


def test_sides_of_a_symbol_have_their_own_risk() -> None:
    """Risk figures belong to a symbol and side."""
    positions = [make_position(side="LONG"), make_position(side="SHORT", amount=-1.0)]
    risks = [make_risk(side="SHORT", mark_price=2.0), make_risk(side="BOTH", mark_price=3.0)]

    assert [("SHORT", 2.0)] == [
        (risk.position_side, risk.mark_price) for risk in make_snapshot([USDT], positions, risks).risks
    ]


def series_of(position: Position, risk: PositionRisk) -> dict[str, float]:
    """Return the position's samples of an account with one row, those of the status left out."""
    text = b"".join(render(ACCOUNTS, make_snapshot([USDT], [position], [risk]), "main").fragments)
    of_status = ("amount", "notional", "unrealized_pnl", "initial_margin", "maintenance_margin", "isolated_")
    return {
        name.removeprefix("binance_futures_position_"): value
        for name, value in ((series.partition("{")[0], value) for series, value in samples(text).items())
        if name.startswith(("binance_futures_position_", "binance_futures_isolated_"))
        and not name.removeprefix("binance_futures_position_").startswith((*of_status, "risk_missing"))
    }


RISK: dict[str, Any] = {
    "margin_asset": "USDT",
    "entry_price": 1.0,
    "break_even_price": 2.0,
    "mark_price": 3.0,
    "liquidation_price": 4.0,
    "adl_quantile": 2,
    "open_order_initial_margin": 5.0,
    "bid_notional": 6.0,
    "ask_notional": 7.0,
}
OF_ORDERS = {"mark_price": 3.0, "open_order_initial_margin": 5.0, "bid_notional": 6.0, "ask_notional": 7.0}
OF_POSITION = {"entry_price": 1.0, "break_even_price": 2.0, "liquidation_price": 4.0, "adl_quantile": 2.0, "info": 1.0}
ISOLATED: dict[str, Any] = {"isolated_wallet_balance": 50.0, "unrealized_pnl": -40.0, "maintenance_margin": 8.0}


@pytest.mark.parametrize("amount_of_risk", [0.0, 1.0])
@pytest.mark.parametrize("amount", [0.0, -0.0])
def test_rows_with_only_open_orders_have_no_position_prices(amount: float, amount_of_risk: float) -> None:
    """A row without an amount has no entry, break-even or liquidation price, ADL, info or ratio, whatever was sent."""
    position = make_position(amount=amount, **ISOLATED)

    assert OF_ORDERS == series_of(position, make_risk(amount=amount_of_risk, **RISK))


@pytest.mark.parametrize("amount", [0.0, -1.0])
def test_fields_of_a_position_are_dropped_by_default(amount: float) -> None:
    """A row whose position is not held, or is another one, keeps only the fields named as independent of it."""
    sent = fill(make_risk(amount=1.0))
    (risk,) = make_snapshot([USDT], [make_position(amount=amount)], [sent]).risks
    kept = {name: value for name, value in msgspec.structs.asdict(risk).items() if value is not None}

    assert {name: getattr(sent, name) for name in FIELDS_WITHOUT_POSITION} == kept


@pytest.mark.parametrize("amount_of_risk", [1.0, 0.5, 3.0])
def test_position_has_its_risk_figures(amount_of_risk: float) -> None:
    """A row with an amount in the status has all of them, also where its size has changed a moment later."""
    expected = {**OF_ORDERS, **OF_POSITION, "binance_futures_isolated_margin_ratio": 0.8}

    assert expected == series_of(make_position(**ISOLATED), make_risk(amount=amount_of_risk, **RISK))


@pytest.mark.parametrize("amount_of_risk", [0.0, -1.0])
def test_prices_of_another_position_are_dropped(amount_of_risk: float) -> None:
    """A position that was closed or turned round between the two answers has no prices of what came after it."""
    series = series_of(make_position(**ISOLATED), make_risk(amount=amount_of_risk, **RISK))

    assert not {"entry_price", "break_even_price", "liquidation_price", "adl_quantile"} & series.keys()
    assert 0.8 == series["binance_futures_isolated_margin_ratio"]
    assert "mark_price" in series


def test_several_assets_may_end_a_symbol() -> None:
    """Of assets that end the symbol the one with maintenance margin counts, though another is longer."""
    assets = [make_asset("USDT", maintenance_margin=5.0), make_asset("LDUSDT", maintenance_margin=0.0)]
    (held,) = make_snapshot(assets, [make_position("WLDUSDT")]).held

    assert "USDT" == held.margin_asset


@pytest.mark.parametrize(
    ("missing", "fields"),
    [
        ("liquidation_price", {"liquidation_price": 0.0}),
        ("adl_quantile", {"adl_quantile": None}),
        ("entry_price", {"entry_price": None}),
    ],
)
def test_figure_that_was_not_sent_has_no_sample(missing: str, fields: dict[str, Any]) -> None:
    """A liquidation price of 0 and any missing figure have no sample; the others are kept."""
    expected = {**OF_ORDERS, **OF_POSITION}
    del expected[missing]

    assert expected == series_of(make_position(), make_risk(**{**RISK, **fields}))


@pytest.mark.parametrize(
    ("mark_price", "fields"),
    [
        (3.0, {"liquidation_price": None}),
        (None, {"mark_price": None}),
        (None, {"mark_price": 0.0}),
    ],
)
def test_position_without_distance_to_liquidation_has_no_prices(
    mark_price: float | None, fields: dict[str, Any]
) -> None:
    """Without a mark or liquidation price a position has no prices; a mark price of 0 is not a price."""
    series = series_of(make_position(), make_risk(**{**RISK, **fields}))

    assert not {"entry_price", "break_even_price", "liquidation_price", "adl_quantile"} & series.keys()
    assert mark_price == series.get("mark_price")


def test_position_info_needs_the_margin_asset() -> None:
    """A position whose margin asset is unknown has no info, and keeps its other figures."""
    series = series_of(make_position("BTCEUR"), make_risk("BTCEUR", **{**RISK, "margin_asset": None}))

    assert {**OF_ORDERS, **OF_POSITION}.keys() - {"info"} == series.keys()


def test_position_info_does_without_risk_figures() -> None:
    """If position risk was not requested, the info is derived from the status alone."""
    text = b"".join(
        render(
            ACCOUNTS, make_snapshot([USDT], [make_position(), make_position("ETHUSDT", **ISOLATED)]), "main"
        ).fragments
    )

    assert {
        f'binance_futures_position_info{{account="main",margin_asset="USDT",margin_type="{kind}",'
        f'position_side="BOTH",symbol="{symbol}"}}': 1.0
        for kind, symbol in (("cross", "BTCUSDT"), ("isolated", "ETHUSDT"))
    } == {series: value for series, value in samples(text).items() if "position_info" in series}


def test_risk_rows_with_one_identity_are_refused() -> None:
    """Two risk rows of one symbol and side fail with the path of the second, also where the status has none."""
    with pytest.raises(DecodeError) as caught:
        make_snapshot([USDT], [ETH], [make_risk("BTCUSDT"), make_risk("BTCUSDT", amount=2.0)])

    assert "result[1]" == caught.value.path
    assert "result[1]: duplicates result[0]" == str(caught.value)


def test_many_assets_cost_their_sum_not_their_product() -> None:
    """Positions take no longer to find their margin assets among ten times as many assets than ten times as long."""

    def seconds(assets: int) -> float:
        rows = [make_asset(f"A{number}") for number in range(assets)]
        positions = [make_position(f"S{number}A{assets - 1}") for number in range(2000)]
        began = time.thread_time()
        make_snapshot(rows, positions)
        return time.thread_time() - began

    assert 5 * seconds(1000) > min(seconds(10_000) for _ in range(3))


def test_margin_asset_is_the_longest_ending() -> None:
    """Of several assets that a symbol ends with the longest is the margin asset, and before it one with margin."""
    assets = [make_asset("USDT", maintenance_margin=1.0), make_asset("LDUSDT"), make_asset("BUSDT")]
    snapshot = make_snapshot(assets, [make_position("WLDUSDT"), make_position("XBUSD"), make_position("DBUSDT_261225")])
    without_margin = make_snapshot([make_asset("USDT"), make_asset("LDUSDT")], [make_position("WLDUSDT")])

    assert ["USDT", None, "USDT"] == [position.margin_asset for position in snapshot.held]
    assert ["LDUSDT"] == [position.margin_asset for position in without_margin.held]
