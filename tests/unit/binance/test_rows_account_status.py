"""The result of v2/account.status: its totals and rows, and what is reported of a malformed one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support.builders import any_text
from support.response_figures import as_decoded, as_sent

from exporter.binance.errors import DecodeError
from exporter.binance.messages import decode_account_status, decode_envelope
from exporter.binance.rows import AccountStatus, AssetBalance, Position

TIME_MS = 1625474304765
TOTALS = {
    "totalInitialMargin": ("initial_margin", 21.5921),
    "totalMaintMargin": ("maintenance_margin", 0.863684),
    "totalWalletBalance": ("wallet_balance", 103.12345678),
    "totalUnrealizedProfit": ("unrealized_pnl", -1.23),
    "totalMarginBalance": ("margin_balance", 101.89345678),
    "totalPositionInitialMargin": ("position_initial_margin", 21.25),
    "totalOpenOrderInitialMargin": ("open_order_initial_margin", 0.3421),
    "totalCrossWalletBalance": ("cross_wallet_balance", 99.5),
    "totalCrossUnPnl": ("cross_unrealized_pnl", -1.5),
    "availableBalance": ("available_balance", 80.30135678),
    "maxWithdrawAmount": ("max_withdraw_amount", 79.0),
}
ASSET = {
    "walletBalance": ("wallet_balance", 1.0),
    "unrealizedProfit": ("unrealized_pnl", -2.25),
    "marginBalance": ("margin_balance", 3.0),
    "maintMargin": ("maintenance_margin", 4.0),
    "initialMargin": ("initial_margin", 5.0),
    "positionInitialMargin": ("position_initial_margin", 6.0),
    "openOrderInitialMargin": ("open_order_initial_margin", 7.0),
    "crossWalletBalance": ("cross_wallet_balance", 8.0),
    "crossUnPnl": ("cross_unrealized_pnl", -9.0),
    "availableBalance": ("available_balance", 10.0),
    "maxWithdrawAmount": ("max_withdraw_amount", 11.0),
}
POSITION = {
    "unrealizedProfit": ("unrealized_pnl", -1.23),
    "isolatedMargin": ("isolated_margin", 12.0),
    "notional": ("notional", -215.921),
    "isolatedWallet": ("isolated_wallet_balance", 13.0),
    "initialMargin": ("initial_margin", 14.0),
    "maintMargin": ("maintenance_margin", 15.0),
}
# Where each figure stands, as a path within the result.
FIGURES = [
    *((name,) for name in TOTALS),
    *(("assets", 0, name) for name in ASSET),
    *(("positions", 0, name) for name in (*POSITION, "positionAmt")),
]
OPTIONAL = [
    *FIGURES[:-1],
    ("assets", 0, "marginAvailable"),
    ("assets", 0, "updateTime"),
    ("positions", 0, "updateTime"),
]
REQUIRED: list[tuple[tuple[str | int, ...], object]] = [
    (("assets",), {}),
    (("assets",), "[]"),
    (("assets", 0), "USDT"),
    (("assets", 0, "asset"), 1),
    (("positions",), False),
    (("positions", 0), []),
    (("positions", 0, "symbol"), 1),
    (("positions", 0, "positionSide"), True),
    (("positions", 0, "positionAmt"), {}),
]


def a_result() -> dict[str, Any]:
    """Return a result of v2/account.status with every field, each figure different."""
    asset = {"asset": "USDT", **as_sent(ASSET), "marginAvailable": True, "updateTime": TIME_MS}
    position = {"symbol": "币安人生USDT", "positionSide": "SHORT", "positionAmt": "-0.002", **as_sent(POSITION)}
    return {**as_sent(TOTALS), "assets": [asset], "positions": [{**position, "updateTime": TIME_MS + 1}]}


def corrupted(path: tuple[str | int, ...], json_value: str | None) -> Raw:
    """Return the full result with other JSON at `path`, or without it."""
    result = a_result()
    inner: Any = result
    for step in path[:-1]:
        inner = inner[step]
    if json_value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = "@@"
    return Raw(json.dumps(result).replace('"@@"', json_value or "").encode())


def path_text(path: tuple[str | int, ...]) -> str:
    """Return a path as errors show it."""
    return "result" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def fault_of(result: Raw) -> tuple[str, str]:
    """Return the path and the text of the fault in a result."""
    with pytest.raises(DecodeError) as caught:
        decode_account_status(result)
    return caught.value.path, str(caught.value)


def test_every_field_lands_where_it_belongs() -> None:
    """Every total, asset figure and position figure is read under its own name."""
    asset = AssetBalance(asset="USDT", margin_available=True, update_time_ms=TIME_MS, **as_decoded(ASSET))
    position = Position(
        symbol="币安人生USDT",
        position_side="SHORT",
        amount=-0.002,
        update_time_ms=TIME_MS + 1,
        **as_decoded(POSITION),
    )
    expected = AccountStatus(assets=(asset,), positions=(position,), **as_decoded(TOTALS))
    whole = decode_envelope(json.dumps({"id": "1", "status": 200, "result": a_result()}))

    assert expected == decode_account_status(whole.result)


@pytest.mark.parametrize("json_value", [None, "null"])
@pytest.mark.parametrize("path", OPTIONAL, ids=path_text)
def test_missing_figure_is_none_and_alone(path: tuple[str | int, ...], json_value: str | None) -> None:
    """A figure that is missing or null is None, and nothing else changes."""
    decoded = msgspec.to_builtins(decode_account_status(corrupted(path, json_value)))
    whole = msgspec.to_builtins(decode_account_status(corrupted(path, "1")))
    for step in path[:-1]:
        decoded, whole = decoded[step], whole[step]

    assert None is decoded.pop(path[-1])
    assert (whole.pop(path[-1]), whole) == (1, decoded)


@given(st.dictionaries(any_text, st.recursive(st.none() | st.floats() | any_text, st.lists, max_leaves=5)))
def test_unknown_fields_are_ignored(unknown: dict[str, object]) -> None:
    """Unknown fields change nothing, at any place and with any content."""
    result = a_result()
    expected = decode_account_status(Raw(json.dumps(result).encode()))
    more = {f"new {name}": value for name, value in unknown.items()}
    more_of_all = more | result | {name: [more | result[name][0]] for name in ("assets", "positions")}

    assert expected == decode_account_status(Raw(msgspec.json.encode(more_of_all)))


def test_empty_lists_are_an_account_without_positions() -> None:
    """An account without assets and positions is decoded as such."""
    decoded = decode_account_status(Raw(b'{"assets":[],"positions":[]}'))

    assert ((), (), None) == (decoded.assets, decoded.positions, decoded.wallet_balance)


@pytest.mark.parametrize(
    ("json_value", "figure"),
    [
        ('"-0.00000000"', 0.0),
        ("1.5", 1.5),
        ("-3", -3.0),
        ('"1e-7"', 1e-7),
        ('"123456789.12345678"', 123456789.12345678),
    ],
)
def test_figure_is_a_number_or_its_text(json_value: str, figure: float) -> None:
    """A figure may come as a decimal string or as a number."""
    assert figure == decode_account_status(corrupted(("totalWalletBalance",), json_value)).wallet_balance


@pytest.mark.parametrize(
    "json_value",
    [
        *('"NaN"', '"nan"', '"-nan"', '"inf"', '"-inf"', '"Infinity"', '"1e400"', '"-1e400"', "1e400"),
        *("true", "false", '""', '" "', '" 1 "', '"1_000"', '"0x10"', '"1,5"', '"abc"', "[]", "[1]", "{}"),
    ],
)
def test_figure_that_is_not_a_number_is_reported_with_its_path(json_value: str) -> None:
    """A figure that is not a finite number fails with its path, at every place of a figure."""
    assert [path_text(path) for path in FIGURES] == [fault_of(corrupted(path, json_value))[0] for path in FIGURES]


@pytest.mark.parametrize(("path", "wrong"), REQUIRED, ids=str)
def test_required_field_null_or_of_another_type_is_reported_with_its_path(
    path: tuple[str | int, ...], wrong: object
) -> None:
    """A required field that is null or of another type is reported with its path."""
    paths = [fault_of(corrupted(path, json_value))[0] for json_value in ("null", json.dumps(wrong))]

    assert [path_text(path)] * 2 == paths


@pytest.mark.parametrize("path", [path for path, _ in REQUIRED if isinstance(path[-1], str)], ids=path_text)
def test_missing_required_field_is_reported_with_its_path(path: tuple[str | int, ...]) -> None:
    """A missing field is reported with its path."""
    assert (path_text(path), f"{path_text(path)}: is missing") == fault_of(corrupted(path, None))


@pytest.mark.parametrize(
    ("path", "json_value"),
    [
        (("positions", 0, "updateTime"), "-1"),
        (("positions", 0, "updateTime"), "1.5"),
        (("assets", 0, "updateTime"), '"soon"'),
        (("assets", 0, "marginAvailable"), '"perhaps"'),
        (("assets", 0, "marginAvailable"), "2"),
    ],
)
def test_time_or_flag_of_another_type_is_reported_with_its_path(path: tuple[str | int, ...], json_value: str) -> None:
    """A time that is not in whole milliseconds and a flag that is not a boolean are reported with their paths."""
    assert path_text(path) == fault_of(corrupted(path, json_value))[0]


def test_path_names_the_row() -> None:
    """An error in a later row is reported with the number of the row, and without the value."""
    result = a_result()
    result["positions"] += [{**result["positions"][0], "notional": "203.0.113.7"}]

    assert (
        "result.positions[1].notional",
        "result.positions[1].notional: Expected `float | null`, got `str`",
    ) == fault_of(Raw(json.dumps(result).encode()))


@pytest.mark.parametrize(
    "result",
    [
        *(b"", b"null", b"[]", b'"x"', b"7", b'{"assets":[{"asset":"US', b"{]", b"\xff"),
        b'{"assets":[],"positions":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda result: repr(result[:16]),
)
def test_result_that_is_not_an_object_is_rejected(result: bytes) -> None:
    """A result that is missing, null, not an object, truncated or too deep fails as a whole."""
    assert "result" == fault_of(Raw(result))[0]


@pytest.mark.parametrize("path", ["assets.0.asset", "positions.0.symbol", "positions.0.positionSide"])
def test_endless_name_is_refused(path: str) -> None:
    """A name too long for a label fails the decoding, with its path."""
    part, _, name = path.split(".")
    result = {
        "assets": [{"asset": "USDT"}],
        "positions": [{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "1"}],
    }
    decode_account_status(Raw(msgspec.json.encode(result)))
    result[part][0][name] = "x" * 129
    with pytest.raises(DecodeError) as caught:
        decode_account_status(Raw(msgspec.json.encode(result)))

    assert caught.value.path in {f"result.{part}[0].{name}", f"result.{part}[...].{name}"}
