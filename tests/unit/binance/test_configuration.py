"""The account configuration in v1 account.status: the fields besides the rows, and what a malformed one affects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support.account_configuration import FIELDS, a_result, decode, fields_of, json_values
from support.clocks import Clock
from support.simulator_client import exchange_of

from exporter.binance.configuration import decode_account_configuration
from exporter.binance.errors import DecodeError
from exporter.binance.messages import decode_envelope
from exporter.simulator import SimulatedAccount

OPTIONAL = [name for name in FIELDS if name != "multiAssetsMargin"]
MALFORMED = ("null", "[]", "{}", '"true"', '"1"', "-1", "1.5", "1e300", "1001")


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
