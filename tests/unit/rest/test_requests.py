"""Decoding of REST responses: what they contain, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support.builders import any_text

from exporter.binance.errors import DecodeError
from exporter.rest.requests import (
    Funding,
    RestPath,
    decode_api_restrictions,
    decode_asset_index,
    decode_funding_info,
    decode_premium_index,
    decode_rest_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DECODERS = (decode_premium_index, decode_funding_info, decode_asset_index, decode_api_restrictions)
KEY = {
    "ipRestrict": True,
    "createTime": 1_700_000_000_000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
}


def raw(value: Any) -> Raw:
    """Return a value as JSON."""
    return Raw(json.dumps(value).encode())


def premium(symbol: str = "BTCUSDT", rate: Any = "0.0001", at_ms: Any = 1_700_000_000_000) -> dict[str, Any]:
    """Return a row of premiumIndex."""
    return {"symbol": symbol, "markPrice": "1", "lastFundingRate": rate, "nextFundingTime": at_ms, "unknown": [{}]}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b"1", b'"x"', b"[1]", b"[null]", b"<html></html>", b'[{"symbol":"BTCUSDT"', b"\xff"],
)
def test_something_else_is_refused(decoder: Callable[[Raw], object], body: bytes) -> None:
    """A response that is something else, empty or truncated is a decoding error, never an empty result."""
    with pytest.raises(DecodeError):
        decoder(Raw(body))


@pytest.mark.parametrize("decoder", DECODERS)
def test_deep_nesting_is_refused(decoder: Callable[[Raw], object]) -> None:
    """A response that is nested deeply is a decoding error."""
    with pytest.raises(DecodeError):
        decoder(Raw(b"[" * 100_000))


@given(text=any_text)
def test_any_text_is_decoded_or_refused(text: str) -> None:
    """No text makes a decoder fail in another way than with a decoding error."""
    for decoder in DECODERS:
        with pytest.raises(DecodeError):
            decoder(Raw(text.encode()))


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.integers()) | st.text(max_size=9))
def test_any_rate_is_a_number_or_refused(value: object) -> None:
    """A rate is a finite number, absent, or a decoding error."""
    body = raw([premium("ETHUSDT"), premium(rate=value)])
    try:
        funding = decode_premium_index(body)
    except DecodeError:
        return
    assert abs(funding.get("BTCUSDT", Funding(0.0, 0.0)).rate) < float("inf")


def test_premium_index() -> None:
    """Rates and times of one row or of many; symbols without either are left out."""
    rows = [premium(), premium("LUNAUSDT", "", 0), premium("A", None), premium("B", at_ms=0), premium("C_260327", "")]

    assert {"BTCUSDT": Funding(0.0001, 1_700_000_000.0)} == decode_premium_index(raw(rows))
    assert {"BTCUSDT": Funding(-0.5, 1_700_000_000.0)} == decode_premium_index(raw(premium(rate="-0.5")))
    assert {"BTCUSDT": Funding(0.0, 1_700_000_000.0)} == decode_premium_index(raw(premium(rate="0.00000000")))


@pytest.mark.parametrize("rate", ["", None])
def test_premium_index_without_rates(rate: str | None) -> None:
    """A response in which no perpetual has a rate is refused; a dated contract has none."""
    for body in (premium(rate=rate), [premium(rate=rate), premium("BTCUSDT_260327", rate)]):
        with pytest.raises(DecodeError, match="contains no funding rate"):
            decode_premium_index(raw(body))

    assert {} == decode_premium_index(raw(premium("BTCUSDT_260327", rate)))


@pytest.mark.parametrize("rate", ["x", "nan", "inf", "1e400", " 1", "", None])
def test_wrong_rate_is_left_out(rate: object) -> None:
    """A symbol whose rate is missing or not a number is left out, not the others."""
    funding = decode_premium_index(raw([premium("ETHUSDT"), premium(rate=rate)]))

    assert ["ETHUSDT"] == list(funding)


@pytest.mark.parametrize("rate", [0.1, True, [1]])
def test_rate_of_another_type_is_refused(rate: object) -> None:
    """One rate that is not a text fails the whole response."""
    with pytest.raises(DecodeError):
        decode_premium_index(raw([premium("ETHUSDT"), premium(rate=rate)]))


@pytest.mark.parametrize("hours", ["8", 0, -1, 1000, 1.5, None, True])
def test_funding_info(hours: object) -> None:
    """Hours by symbol; anything but a whole number from 1 to 168 is refused."""
    assert {"XUSDT": 4} == decode_funding_info(raw([{"symbol": "XUSDT", "fundingIntervalHours": 4, "unknown": 1}]))
    with pytest.raises(DecodeError):
        decode_funding_info(raw([{"symbol": "XUSDT", "fundingIntervalHours": hours}]))


def test_asset_index() -> None:
    """Prices by asset, of symbols in USD; 0 and null are absent."""
    rows = [("BTCUSD", "50000.5"), ("BFUSDUSD", "0.99"), ("ETHUSD", "0"), ("XUSD", None), ("ADABTC", "1"), ("Y", "-1")]

    assert {"BTC": 50000.5, "BFUSD": 0.99} == decode_asset_index(raw([{"symbol": s, "index": i} for s, i in rows]))


@pytest.mark.parametrize("index", ["nan", "", [], {}, "x"])
def test_wrong_price_is_refused(index: object) -> None:
    """One price that is not a number fails the whole response."""
    with pytest.raises(DecodeError):
        decode_asset_index(raw([{"symbol": "ETHUSD", "index": "1"}, {"symbol": "BTCUSD", "index": index}]))


def test_api_restrictions() -> None:
    """Permissions have the names of the fields in snake case without enable or permits, also unknown ones."""
    flags = ("permitsUniversalTransfer", "enableSpotAndMarginTrading", "enableFixApiTrade", "enableNewThing")
    body = KEY | dict.fromkeys(flags, True) | {"other": True, "enable": True, "enableText": "true", "tradingTime": 1}
    key = decode_api_restrictions(raw(body))
    names = {"universal_transfer", "spot_and_margin_trading", "fix_api_trade", "new_thing"}

    assert {"reading": True, "withdrawals": False, "internal_transfer": False} | dict.fromkeys(
        names, True
    ) == key.permissions
    assert (True, 1_700_000_000.0) == (key.ip_restricted, key.created_unix)


@pytest.mark.parametrize("value", [None, 1, "true", []])
@pytest.mark.parametrize("name", [name for name in KEY if name != "createTime"])
def test_flags_of_alerts_are_required(name: str, value: object) -> None:
    """A response without a flag that alerts use is refused: its absence must not look harmless."""
    for body in (KEY | {name: value}, {other: flag for other, flag in KEY.items() if other != name}):
        with pytest.raises(DecodeError, match=rf"response\.{name}: is missing or not a boolean"):
            decode_api_restrictions(raw(body))


def test_two_spellings_of_a_permission() -> None:
    """Two fields with the same name but for the prefix are one permission, granted if either is."""
    body = raw(KEY | {"enableTransfer": True, "permitsTransfer": False})

    assert decode_api_restrictions(body).permissions["transfer"]


def test_many_permissions_are_refused() -> None:
    """More than 64 fields are refused: each would be a series."""
    with pytest.raises(DecodeError, match="more than 64 fields"):
        decode_api_restrictions(raw(KEY | {f"enableX{number}": True for number in range(64)}))


@pytest.mark.parametrize("created", [None, "x", 0, -1, 10**20])
def test_creation_is_optional(created: object) -> None:
    """Without a usable time the key's creation is absent."""
    assert decode_api_restrictions(raw(KEY | {"createTime": created})).created_unix is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"code":-1121,"msg":"Invalid symbol."}', "Invalid symbol. (code -1121, status 400)"),
        (b"<html>", "HTTP status 400 (code None, status 400)"),
        (b'{"code":[],"msg":1}', "HTTP status 400 (code None, status 400)"),
        (b"[" * 2000, "HTTP status 400 (code None, status 400)"),
        (b'{"msg":"banned IP(203.0.113.7)"}', "banned IP([ip]) (code None, status 400)"),
    ],
)
def test_error(body: bytes, text: str) -> None:
    """An error has Binance's code and text if it has them, without IP addresses."""
    assert text == str(decode_rest_error(400, body, None))


def test_only_paths_that_read_are_listed() -> None:
    """The closed list of paths: adding one is a decision."""
    paths = {"/fapi/v1/premiumIndex", "/fapi/v1/fundingInfo", "/fapi/v1/assetIndex", "/fapi/v1/income"}

    assert paths | {"/sapi/v1/account/apiRestrictions"} == {path.value for path in RestPath}
