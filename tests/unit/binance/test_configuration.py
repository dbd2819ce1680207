"""The account configuration in v1 account.status: what is decoded, and what a malformed field affects."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support.builders import any_text
from support.clocks import Clock
from support.simulator_client import exchange_of, funded_account

from exporter.binance import configuration
from exporter.binance.configuration import AccountConfiguration, decode_account_configuration
from exporter.binance.errors import DecodeError
from exporter.binance.messages import decode_envelope
from exporter.simulator import SimulatedAccount
from exporter.simulator.answers import account_status_v1
from exporter.simulator.market import SYMBOLS

SYMBOL_COUNT = 900
FIELDS = {
    "multiAssetsMargin": "multi_assets",
    "feeTier": "fee_tier",
    "canTrade": "can_trade",
    "canDeposit": "can_deposit",
    "canWithdraw": "can_withdraw",
}
OPTIONAL = [name for name in FIELDS if name != "multiAssetsMargin"]
MALFORMED = ("null", "[]", "{}", '"true"', '"1"', "-1", "1.5", "1e300", "1001")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


def a_result(*, hedge: bool = False) -> dict[str, Any]:
    """Return a result in which every field besides the rows has another value than by default."""
    sides = ("LONG", "SHORT") if hedge else ("BOTH",)
    leverages = {"BTCUSDT": "125", "ETHUSDT": "20", "币安人生USDT": "3"}
    return {
        "feeTier": 4,
        "canTrade": False,
        "canDeposit": True,
        "canWithdraw": False,
        "multiAssetsMargin": True,
        "positions": [
            {"symbol": symbol, "leverage": leverage, "positionSide": side, "maxNotional": "1"}
            for symbol, leverage in leverages.items()
            for side in sides
        ],
    }


def decode(result: Any, replaced: str | None = None) -> AccountConfiguration:
    """Decode a result, with JSON in place of "@@"."""
    return decode_account_configuration(Raw(json.dumps(result).replace('"@@"', replaced or "").encode()))


def leverages_of(result: Any, replaced: str | None = None) -> list[int | None]:
    """Return the leverages of the symbols of `a_result`."""
    decoded = decode(result, replaced)
    return [decoded.leverages.get(symbol) for symbol in ("BTCUSDT", "ETHUSDT", "币安人生USDT")]


def fields_of(decoded: AccountConfiguration) -> dict[str, object]:
    """Return what was decoded besides the rows, by Binance's names."""
    return {name: getattr(decoded, attribute) for name, attribute in FIELDS.items()}


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


async def test_response_of_the_exchange() -> None:
    """The configuration of an account is decoded from the frame that the simulated exchange sends."""
    clock, account = Clock(1_700_000_010.0), SimulatedAccount("main", hedge=True)
    account.fee_tier, account.can_withdraw = 2, False
    account.ledger.leverages["ETHUSDT"] = 8
    async with exchange_of(account, clock=clock, extra_symbols=5) as (_, client):
        frame = json.dumps(await client.signed(account, "account.status"))
    decoded = decode_account_configuration(decode_envelope(frame).result)

    assert fields_of(decoded) == {
        "multiAssetsMargin": False,
        "feeTier": 2,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
    }
    assert decoded.hedge_mode is True
    assert [8, 20, 20, None] == [decoded.leverages.get(f"{name}USDT") for name in ("ETH", "BTC", "PAD4", "PAD5")]


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("value", [None, *MALFORMED])
def test_malformed_field_is_unknown(name: str, value: str | None) -> None:
    """A field that is missing, null or malformed is None, and all others are decoded."""
    result = a_result()
    expected = {field: result[field] for field in FIELDS} | {name: None}
    if value is None:
        del result[name]
    else:
        result[name] = "@@"
    decoded = decode(result, value)

    assert expected == fields_of(decoded)
    assert decoded.hedge_mode is False
    assert decoded.leverages.get("BTCUSDT") == 125


@pytest.mark.parametrize("value", ["null", '"true"', "1", "0", "[]", "{}"])
def test_multi_assets_must_be_a_boolean(value: str) -> None:
    """A multiAssetsMargin that is not a boolean is an error that names it."""
    with pytest.raises(DecodeError) as caught:
        decode(a_result() | {"multiAssetsMargin": "@@"}, value)

    assert caught.value.path == "result.multiAssetsMargin"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (b"", "result: is missing"),
        (b"null", "result: Expected `object`"),
        (b"[]", "result: Expected `object`"),
        (b'"text"', "result: Expected `object`"),
        (b"{}", "result.multiAssetsMargin: is missing"),
        (b'{"feeTier": 1, "positions": []}', "result.multiAssetsMargin: is missing"),
        (b'{"multiAssetsMargin": true, "positions": [', "result: "),
        (b'{"multiAssetsMargin": true, "positions": ' + b"[" * 100_000, "result: is nested too deeply"),
        (b"\xff\xfe", "result: "),
        (b'{"multiAssetsMargin": "' + b"x" * 1_000_000 + b'"}', "result.multiAssetsMargin: Expected `bool`"),
    ],
)
def test_garbage_is_rejected(result: bytes, message: str) -> None:
    """What is not an object with multiAssetsMargin is an error that names what is wrong."""
    with pytest.raises(DecodeError) as caught:
        decode_account_configuration(Raw(result))

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("positions", [None, "null", "[]", "{}", '"rows"', "1", "[1, null, [], {}]"])
def test_without_rows(positions: str | None) -> None:
    """Without rows the position mode and every leverage are unknown, and the other fields are decoded."""
    result = a_result() | {"positions": "@@"}
    if positions is None:
        del result["positions"]

    assert {name: result[name] for name in FIELDS} == fields_of(decode(result, positions))
    assert decode(result, positions).hedge_mode is None
    assert [None, None, None] == leverages_of(result, positions)


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


@given(st.fixed_dictionaries({"multiAssetsMargin": st.booleans()}, optional=dict.fromkeys(OPTIONAL, json_values)))
def test_any_field(result: dict[str, Any]) -> None:
    """Whatever the fields are, each is a value of its type or None."""
    decoded = decode(result | {"positions": a_result()["positions"]})

    assert decoded.multi_assets is result["multiAssetsMargin"]
    assert decoded.fee_tier is None or (type(decoded.fee_tier), decoded.fee_tier) == (int, result["feeTier"])
    for name in OPTIONAL[1:]:
        sent = result.get(name)
        assert getattr(decoded, FIELDS[name]) is (sent if isinstance(sent, bool) else None)
    assert decoded.leverages.get("BTCUSDT") == 125


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
