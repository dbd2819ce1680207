"""The rows of symbols in v1 account.status: leverages and the position mode, and what a malformed row affects."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.account_configuration import FIELDS, a_result, decode, fields_of, json_values
from support.simulator_client import funded_account

from exporter.binance import configuration
from exporter.simulator.answers import account_status_v1
from exporter.simulator.market import SYMBOLS

if TYPE_CHECKING:
    from exporter.simulator import SimulatedAccount

SYMBOL_COUNT = 900


def leverages_of(result: Any, replaced: str | None = None) -> list[int | None]:
    """Return the leverages of the symbols of `a_result`."""
    decoded = decode(result, replaced)
    return [decoded.leverages.get(symbol) for symbol in ("BTCUSDT", "ETHUSDT", "币安人生USDT")]


def padded_account(*, hedge: bool) -> tuple[SimulatedAccount, dict[str, int]]:
    """Return an account with positions, and the leverage of each of 900 symbols, all but a few of them set."""
    account = funded_account(hedge=hedge, multi_assets=True)
    extra = [f"PAD{number}USDT" for number in range(SYMBOL_COUNT - len(SYMBOLS))]
    account.ledger.leverages = {
        symbol: 1 + number % 125 for number, symbol in enumerate([*list(SYMBOLS)[10:], *extra[:-5]])
    }
    account.open("BTCUSDT", "0.1", "LONG" if hedge else "BOTH", leverage=77)
    account.open("币安人生USDT", "-100", "SHORT" if hedge else "BOTH", leverage=3)
    return account, {symbol: account.leverage_of(symbol) for symbol in [*SYMBOLS, *extra]}


@pytest.mark.parametrize("hedge", [False, True])
@pytest.mark.parametrize("one_malformed", [False, True])
def test_all_symbols(*, hedge: bool, one_malformed: bool) -> None:
    """The leverages of 900 symbols are exact in either position mode, whether or not one row is malformed."""
    account, expected = padded_account(hedge=hedge)
    result = account_status_v1(account, SYMBOL_COUNT - len(SYMBOLS))
    if one_malformed:
        result["positions"].insert(7, {"symbol": "NEWUSDT", "leverage": None})
    decoded = decode(result)

    assert SYMBOL_COUNT * (2 if hedge else 1) == len(result["positions"]) - one_malformed
    assert SYMBOL_COUNT == len(expected)
    assert expected == {symbol: decoded.leverages.get(symbol) for symbol in expected}
    assert decoded.leverages.get("NEWUSDT") is None
    assert decoded.hedge_mode is hedge


@pytest.mark.parametrize("field", ["symbol", "leverage"])
@pytest.mark.parametrize("value", [None, "null", "true", "[]", "{}", '""', "0", "-5", '"0"', "1e400", "[[[1]]]"])
def test_malformed_row_is_skipped(field: str, value: str | None) -> None:
    """A row without a usable symbol or leverage is skipped, and the others are decoded."""
    result = a_result()
    if value is None:
        del result["positions"][1][field]
    else:
        result["positions"][1][field] = "@@"

    assert [125, None, 3] == leverages_of(result, value)
    assert decode(result, value).hedge_mode is False
    assert {name: result[name] for name in FIELDS} == fields_of(decode(result, value))


@pytest.mark.parametrize("value", ["null", "1", '"text"', "[]", "{}"])
def test_row_that_is_no_row_is_skipped(value: str) -> None:
    """A value in place of a row is skipped."""
    result = a_result(hedge=True)
    result["positions"][2] = "@@"  # the first of ETHUSDT's two rows

    assert [125, 20, 3] == leverages_of(result, value)
    assert decode(result, value).hedge_mode is True


@pytest.mark.parametrize("value", [None, "0", "1001", "", []])
def test_malformed_leverage_affects_nothing_else(value: object) -> None:
    """A malformed leverage contradicts no other row of its symbol, and the side of its row counts."""
    result = a_result(hedge=True)
    for row in result["positions"][1:5]:
        row["leverage"] = value

    assert [125, None, 3] == leverages_of(result)
    result["positions"][0]["positionSide"] = result["positions"][5]["positionSide"] = "BOTH"
    assert decode(result).hedge_mode is None


@pytest.mark.parametrize(
    ("value", "leverage"),
    [
        ('"1"', 1),
        ('"1000"', 1000),
        ("20", 20),
        ('"1001"', None),
        ("1001", None),
        ('"20x"', None),
        ('" 20"', None),
        ('"20.5"', None),
        ('"nan"', None),
        ('"' + "9" * 5000 + '"', None),
        ("9" * 5000, None),
    ],
)
def test_leverage_is_text_or_an_integer(value: str, leverage: int | None) -> None:
    """A leverage is an integer from 1 to 1000, or the text of one."""
    result = a_result()
    result["positions"][1]["leverage"] = "@@"

    assert [125, leverage, 3] == leverages_of(result, value)


@pytest.mark.parametrize("leverages", [("20", "10"), ("10", "20"), ("20", "10", "20"), ("20", "20", "10", "10")])
@pytest.mark.parametrize("one_malformed", [False, True])
def test_disagreeing_rows_are_unknown(*, leverages: tuple[str, ...], one_malformed: bool) -> None:
    """The leverage of a symbol whose rows contradict each other is unknown."""
    result = a_result(hedge=True)
    rows = [{"symbol": "ETHUSDT", "leverage": leverage, "positionSide": "LONG"} for leverage in leverages]
    result["positions"][2:4] = [None, *rows] if one_malformed else rows

    assert [125, None, 3] == leverages_of(result)


@pytest.mark.parametrize(
    ("sides", "hedge_mode"),
    [
        (("BOTH", "BOTH", "BOTH"), False),
        (("LONG", "SHORT", "LONG"), True),
        (("LONG", "LONG", "LONG"), True),
        (("BOTH", "LONG", "SHORT"), None),
        (("LONG", "NET", "SHORT"), None),
        (("BOTH", "NET", "BOTH"), None),
        (("BOTH", None, 1), False),
        ((None, "LONG", ["BOTH"]), True),
        ((None, None, None), None),
    ],
)
def test_hedge_mode_is_that_of_all_rows(*, sides: tuple[object, ...], hedge_mode: bool | None) -> None:
    """The position mode is known if the rows with a side agree, and no side affects a leverage."""
    result = a_result()
    for row, side in zip(result["positions"], sides, strict=True):
        row["positionSide"] = side

    assert decode(result).hedge_mode is hedge_mode
    assert [125, 20, 3] == leverages_of(result)


@pytest.mark.parametrize("one_malformed", [False, True])
def test_too_many_rows_are_ignored(*, one_malformed: bool) -> None:
    """More than 10,000 rows are ignored, and the other fields are decoded."""
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "leverage": "125"}
    most = [None] * one_malformed + [row] * (10_000 - one_malformed)

    assert leverages_of(a_result() | {"positions": most})[0] == 125
    assert decode(a_result() | {"positions": [*most, row]}).hedge_mode is None
    assert [None, None, None] == leverages_of(a_result() | {"positions": [*most, row]})
    assert decode(a_result() | {"positions": [*most, row]}).fee_tier == 4


def test_long_malformed_rows_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of more than 4 MiB with a malformed one among them are ignored, and the other fields are decoded."""
    positions = [None, *a_result()["positions"]]
    length = len(json.dumps(positions))
    monkeypatch.setattr(configuration, "_MAX_ROWS_BYTES", length)
    within = leverages_of(a_result() | {"positions": positions})
    monkeypatch.setattr(configuration, "_MAX_ROWS_BYTES", length - 1)
    beyond = decode(a_result() | {"positions": positions})

    assert [125, 20, 3] == within
    assert beyond.leverages.get("BTCUSDT") is None
    assert beyond.hedge_mode is None
    assert beyond.fee_tier == 4


@pytest.mark.parametrize("positions", [None, "null", "[]", "{}", '"rows"', "1", "[1, null, [], {}]"])
def test_without_rows(positions: str | None) -> None:
    """Without rows the position mode and every leverage are unknown, and the other fields are decoded."""
    result = a_result() | {"positions": "@@"}
    if positions is None:
        del result["positions"]

    assert {name: result[name] for name in FIELDS} == fields_of(decode(result, positions))
    assert decode(result, positions).hedge_mode is None
    assert [None, None, None] == leverages_of(result, positions)


rows = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["A", "B"]) | json_values,
        "positionSide": st.sampled_from(["BOTH", "LONG", "SHORT"]) | json_values,
        "leverage": st.sampled_from(["10", 10, "20", 20, "1000", 1001, "0", None, True, [], "1O"]),
    },
)


@given(st.lists(rows | json_values, max_size=6))
def test_any_rows(positions: list[Any]) -> None:
    """Whatever the rows are, a leverage is the one that all usable rows of its symbol have."""
    decoded = decode({"multiAssetsMargin": False, "positions": positions})

    for symbol in ("A", "B"):
        sent = [row.get("leverage") for row in positions if isinstance(row, dict) and row.get("symbol") == symbol]
        usable = {int(value) for value in sent if value in ("10", 10, "20", 20, "1000") and value is not True}
        assert decoded.leverages.get(symbol) == (usable.pop() if len(usable) == 1 else None)


@pytest.mark.parametrize("hedge", [False, True])
def test_accounts_share_the_symbols(*, hedge: bool) -> None:
    """Accounts with the same 900 symbols, in whatever order, need about 2 KB each besides what they share."""
    account, expected = padded_account(hedge=hedge)
    result = account_status_v1(account, SYMBOL_COUNT - len(SYMBOLS))
    first = decode(result)
    result["positions"].reverse()
    second = decode(result)

    assert expected == {symbol: second.leverages.get(symbol) for symbol in expected}
    assert first == second
    assert first.leverages.slots is second.leverages.slots
    assert sys.getsizeof(second.leverages.values) < 2 * SYMBOL_COUNT + 200
