"""The result of v2/account.position: its rows, and what is reported of a malformed one."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw
from support.response_figures import as_decoded, as_sent

from exporter.binance.errors import DecodeError
from exporter.binance.messages import decode_position_risk
from exporter.binance.rows import PositionRisk

RISK = {
    "entryPrice": ("entry_price", 1.0),
    "breakEvenPrice": ("break_even_price", 2.0),
    "markPrice": ("mark_price", 3.0),
    "liquidationPrice": ("liquidation_price", 4.0),
    "openOrderInitialMargin": ("open_order_initial_margin", 5.0),
    "bidNotional": ("bid_notional", 6.0),
    "askNotional": ("ask_notional", 7.0),
}
RISK_IDENTITY = {"symbol": "币安人生USDT", "positionSide": "SHORT", "positionAmt": "-0.002"}


def risk_fault_of(row: object) -> str:
    """Return the fault in a result of v2/account.position with this row."""
    with pytest.raises(DecodeError) as caught:
        decode_position_risk(Raw(json.dumps([row]).encode()))
    return str(caught.value)


def test_every_field_lands_where_it_belongs() -> None:
    """Every figure of a row is decoded under its name; those that the status also contains are ignored."""
    row = {
        **RISK_IDENTITY,
        **as_sent(RISK),
        "marginAsset": "USDT",
        "adl": 4,
        "unRealizedProfit": "1",
        "updateTime": 5,
    }
    expected = PositionRisk(
        symbol="币安人生USDT",
        position_side="SHORT",
        amount=-0.002,
        margin_asset="USDT",
        adl_quantile=4,
        **as_decoded(RISK),
    )

    assert (expected,) == decode_position_risk(Raw(json.dumps([row]).encode()))
    assert () == decode_position_risk(Raw(b"[]"))


@pytest.mark.parametrize("sent", [{}, dict.fromkeys((*RISK, "marginAsset", "adl"), None)])
def test_missing_and_null_figures_are_none(sent: dict[str, None]) -> None:
    """A row requires only its identity and amount; what is missing or null is None."""
    expected = PositionRisk(symbol="币安人生USDT", position_side="SHORT", amount=-0.002)

    assert (expected,) == decode_position_risk(Raw(json.dumps([{**RISK_IDENTITY, **sent}]).encode()))


@pytest.mark.parametrize("name", [*RISK, "positionAmt"])
@pytest.mark.parametrize("value", ["NaN", "inf", "-Infinity", "1e301", "", "word", [], {}])
def test_figures_that_are_not_numbers_are_rejected(name: str, value: object) -> None:
    """A figure that is not a finite number fails with its path."""
    assert risk_fault_of({**RISK_IDENTITY, name: value}).startswith(f"result[0].{name}: ")


@pytest.mark.parametrize("name", RISK_IDENTITY)
def test_identity_and_amount_must_be_there(name: str) -> None:
    """A row without its symbol, side or amount fails with its path."""
    missing = {key: value for key, value in RISK_IDENTITY.items() if key != name}

    assert f"result[0].{name}: is missing" == risk_fault_of(missing)
    assert risk_fault_of({**RISK_IDENTITY, name: None}).startswith(f"result[0].{name}: ")
    assert risk_fault_of({**RISK_IDENTITY, name: []}).startswith(f"result[0].{name}: ")


@pytest.mark.parametrize("result", ["", "null", "{}", '"[]"', "[1]", "[null]"])
def test_result_must_be_a_list_of_rows(result: str) -> None:
    """A result that is missing or no list of rows is refused."""
    with pytest.raises(DecodeError, match=r"^result"):
        decode_position_risk(Raw(result.encode()))
