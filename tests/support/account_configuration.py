"""Results of v1 account.status, decoded with any JSON in place of a part."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from msgspec import Raw

from exporter.binance.configuration import AccountConfiguration, decode_account_configuration
from support.builders import any_text

FIELDS = {
    "multiAssetsMargin": "multi_assets",
    "feeTier": "fee_tier",
    "canTrade": "can_trade",
    "canDeposit": "can_deposit",
    "canWithdraw": "can_withdraw",
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


def a_result(*, hedge: bool = False) -> dict[str, Any]:
    """Return a result with true and false flags, another fee tier than 0, and rows of three symbols."""
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


def fields_of(decoded: AccountConfiguration) -> dict[str, object]:
    """Return what was decoded besides the rows, by Binance's names."""
    return {name: getattr(decoded, attribute) for name, attribute in FIELDS.items()}
