"""The rows of `GET /fapi/v1/income`: every amount that changed a wallet, exact, and what identifies a row; no I/O."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

from exporter.binance.errors import DecodeError
from exporter.binance.messages import decode
from exporter.binance.rows import Identity, Milliseconds  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from msgspec import Raw

INCOME_WEIGHT: Final = 30
MAX_INCOME_ROWS: Final = 1000  # in a response
LATE_MS: Final = 600_000  # how long after its time a row may appear; each read returns the rows of that time again

# Binance adds types, so rows of other types are as good; these have labels in any case. One is misspelled by Binance.
INCOME_TYPES: Final = (
    "TRANSFER",
    "WELCOME_BONUS",
    "REALIZED_PNL",
    "FUNDING_FEE",
    "COMMISSION",
    "INSURANCE_CLEAR",
    "REFERRAL_KICKBACK",
    "COMMISSION_REBATE",
    "API_REBATE",
    "CONTEST_REWARD",
    "CROSS_COLLATERAL_TRANSFER",
    "OPTIONS_PREMIUM_FEE",
    "OPTIONS_SETTLE_PROFIT",
    "INTERNAL_TRANSFER",
    "AUTO_EXCHANGE",
    "DELIVERED_SETTELMENT",
    "COIN_SWAP_DEPOSIT",
    "COIN_SWAP_WITHDRAW",
    "POSITION_LIMIT_INCREASE_FEE",
    "STRATEGY_UMFUTURES_TRANSFER",
    "FEE_RETURN",
    "BFUSD_REWARD",
    "SPECIAL_FUNDING_FEE",
)

# Those that move or convert money, as labels: neither a profit nor a loss. All others are, also unknown ones.
TRANSFERS: Final = (
    "transfer",
    "internal_transfer",
    "cross_collateral_transfer",
    "strategy_umfutures_transfer",
    "coin_swap_deposit",
    "coin_swap_withdraw",
    "auto_exchange",
)

# Java, which Binance uses, writes some decimals with an exponent, such as 0E-8.
_AMOUNT: Final = r"^[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?\Z"
_MAX_AMOUNT: Final = Decimal(10**18)
_MIN_EXPONENT: Final = -36
_Name = Annotated[str, Meta(max_length=128)]  # may be empty


class IncomeRow(NamedTuple):
    """A row, which is its own identity: two rows of which every field is equal are the same row.

    Except if `transaction` (Binance's `tranId`) is 0: several transfers can be equal. Otherwise it is unique within an
    income type, and shared by the profit and the commission of a trade. Rows sort by time.
    """

    time_ms: int
    income_type: str
    transaction: int
    asset: str
    symbol: str  # empty if the row is not of a symbol
    trade: str  # empty if the row is not of a trade
    amount: Decimal  # negative if it was paid


class _Row(Struct, frozen=True, gc=False):
    income_type: Identity = field(name="incomeType")
    asset: Identity
    income: Annotated[str, Meta(pattern=_AMOUNT)]
    time: Milliseconds
    transaction: int | Annotated[str, Meta(pattern=r"^[0-9]{1,20}\Z")] = field(name="tranId")
    symbol: _Name | None = None
    trade: _Name | None = field(name="tradeId", default=None)


_decoder = msgspec.json.Decoder(list[_Row])


def decode_income(body: Raw) -> list[IncomeRow]:
    """Return the rows of a response, in its order.

    Raises:
        DecodeError: it is not a list of rows, or a field has another type or is out of bounds.
    """
    rows = decode(_decoder, body, "response")
    return [
        IncomeRow(
            row.time,
            row.income_type,
            int(row.transaction),
            row.asset,
            row.symbol or "",
            row.trade or "",
            _amount(row.income, index),
        )
        for index, row in enumerate(rows)
    ]


def _amount(text: str, index: int) -> Decimal:
    amount = Decimal(text)
    exponent = amount.as_tuple().exponent
    if amount.copy_abs() >= _MAX_AMOUNT or not isinstance(exponent, int) or exponent < _MIN_EXPONENT:
        raise DecodeError(f"response[{index}].income", "is out of bounds")
    return amount
