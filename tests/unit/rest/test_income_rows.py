"""Decoding of income: exact amounts and ids, what identifies a row, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support.builders import any_text

from exporter.binance.errors import DecodeError
from exporter.rest.income_rows import IncomeRow, decode_income

COMMISSION = {
    "symbol": "BTCUSDT",
    "incomeType": "COMMISSION",
    "income": "-0.00000001",
    "asset": "BNB",
    "info": "297136607",
    "time": 1_700_000_000_001,
    "tranId": 9_007_199_254_740_993,  # the first integer that a float cannot represent
    "tradeId": "297136607",
}


def raw(*rows: object) -> Raw:
    """Return rows as JSON."""
    return Raw(json.dumps(rows).encode())


def changed(**fields: Any) -> Raw:
    """Return a row with other fields."""
    return raw(COMMISSION | fields)


def test_row() -> None:
    """A row has its amount, ids and time without rounding."""
    expected = IncomeRow(
        1_700_000_000_001,
        "COMMISSION",
        9_007_199_254_740_993,
        "BNB",
        "BTCUSDT",
        "297136607",
        Decimal("-0.00000001"),
    )

    assert [expected] == decode_income(raw(COMMISSION))
    assert [] == decode_income(raw())


def test_transfer() -> None:
    """A row without symbol and trade, be they empty, null or missing, of an unknown type and with unknown fields."""
    rows = [
        {"incomeType": "NEW_TYPE", "income": "7", "asset": "USDT", "time": 1, "tranId": 0, "new": [{}]} | optional
        for optional in ({"symbol": "", "tradeId": ""}, {"symbol": None, "tradeId": None}, {})
    ]

    assert {IncomeRow(1, "NEW_TYPE", 0, "USDT", "", "", Decimal(7))} == set(decode_income(raw(*rows)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("symbol", "ETHUSDT"),
        ("incomeType", "REALIZED_PNL"),
        ("income", "-0.00000002"),
        ("asset", "USDT"),
        ("time", 1_700_000_000_002),
        ("tranId", 9_007_199_254_740_992),
        ("tradeId", "1"),
    ],
)
def test_fields_of_the_identity(name: str, value: object) -> None:
    """Rows that differ in any of these fields are different rows."""
    assert 2 == len(set(decode_income(raw(COMMISSION, COMMISSION | {name: value}))))


def test_same_row_in_another_spelling() -> None:
    """Neither an amount's trailing zeros or exponent nor an id sent as text make a row another one."""
    spellings: list[dict[str, Any]] = [{}, {"income": "-0.0000000100"}, {"income": "-1E-8"}]
    spellings += [{"tranId": "9007199254740993"}, {"info": "x"}]

    assert 1 == len(set(decode_income(raw(*(COMMISSION | spelling for spelling in spellings)))))


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0E-8", "0"), ("+5", "5"), ("1e3", "1000"), ("999999999999999999.123456789012345678",) * 2],
)
def test_amounts(text: str, amount: str) -> None:
    """Every plain decimal is exact, also with more digits than Python's default precision."""
    assert Decimal(amount) == decode_income(changed(income=text))[0].amount


@pytest.mark.parametrize(
    "income",
    [
        1,
        1.5,
        None,
        True,
        "",
        " 1",
        "1\n",
        "nan",
        "inf",
        "1_0",
        "0x1",
        "1,5",
        "\u0661",
        ".",
        "1e18",
        "1e99",
        "1e-40",
        "9" * 19,
    ],
)
def test_wrong_amount_is_refused(income: object) -> None:
    """An amount that is not a plausible decimal text fails the whole response."""
    with pytest.raises(DecodeError, match=r"response\[1\]\.income"):
        decode_income(raw(COMMISSION, COMMISSION | {"income": income}))


@pytest.mark.parametrize(
    "fields",
    [
        {"tranId": 1.0},
        {"tranId": 1e18},
        {"tranId": None},
        {"tranId": True},
        {"tranId": ""},
        {"tranId": "x"},
        {"time": "1700000000000"},
        {"time": 1.5},
        {"time": -1},
        {"time": None},
        {"incomeType": ""},
        {"incomeType": None},
        {"asset": ""},
        {"asset": 1},
        {"symbol": 1},
        {"symbol": "x" * 129},
        {"tradeId": 1},
    ],
)
def test_wrong_field_is_refused(fields: dict[str, Any]) -> None:
    """A field of another type or without a plausible value fails the whole response; the error names it."""
    with pytest.raises(DecodeError, match=rf"response\[0\]\.{next(iter(fields))}"):
        decode_income(changed(**fields))


@pytest.mark.parametrize("name", ["incomeType", "income", "asset", "time", "tranId"])
def test_missing_field_is_refused(name: str) -> None:
    """A row that lacks a field on which the sums depend fails the whole response."""
    with pytest.raises(DecodeError, match=f"{name}: is missing"):
        decode_income(raw({key: value for key, value in COMMISSION.items() if key != name}))


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b"1", b"[1]", b"[null]", b"[[]]", b"<html>", b'[{"time":1', b"\xff", b"[" * 100_000]
)
def test_something_else_is_refused(body: bytes) -> None:
    """A response that is not a list of rows is a decoding error, never an empty list."""
    with pytest.raises(DecodeError):
        decode_income(Raw(body))


@given(text=any_text)
def test_any_text_is_decoded_or_refused(text: str) -> None:
    """No text makes the decoder fail in another way than with a decoding error."""
    with pytest.raises(DecodeError):
        decode_income(Raw(text.encode()))
    try:
        rows = decode_income(changed(income=text))
    except DecodeError:
        return
    assert [Decimal(text)] == [row.amount for row in rows]


@given(st.decimals(min_value=-(10**17), max_value=10**17, places=12))
def test_any_amount_is_exact(amount: Decimal) -> None:
    """An amount is decoded to exactly what was sent."""
    assert amount == decode_income(changed(income=f"{amount:f}"))[0].amount
