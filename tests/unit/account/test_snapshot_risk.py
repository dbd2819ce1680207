"""Position risk in snapshots: which rows have it, and the series that come of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.builders import fill, make_asset, make_position, make_risk, make_snapshot, samples

from exporter.binance.rows import FIELDS_WITHOUT_POSITION
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.text import render

if TYPE_CHECKING:
    from exporter.binance.rows import Position, PositionRisk

BTC, ETH = make_position("BTCUSDT"), make_position("ETHUSDT")
USDT = make_asset("USDT")

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
