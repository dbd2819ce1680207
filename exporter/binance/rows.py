"""The rows of an account's responses: their fields, by the exchange's names and by the names used here.

The source is Binance's "Account Information V2" (USDⓈ-M futures, WebSocket API). Figures are sent as decimal strings
and become float64; a figure that is missing or null is None.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

# The bounds reject "nan" and "inf", which lax decoding of strings accepts.
Figure = Annotated[float, Meta(ge=-1e300, le=1e300)]
_MAX_NAME_LENGTH: Final = 128  # several times the longest symbol; names become labels
Identity = Annotated[
    str, Meta(min_length=1, max_length=_MAX_NAME_LENGTH)
]  # to Prometheus an empty label is a missing one
Milliseconds = Annotated[int, Meta(ge=0, le=10**14)]  # up to the year 5138


class AssetBalance(Struct, frozen=True, kw_only=True, gc=False):
    """One row of ``assets[]``: the account's figures in one margin asset."""

    asset: Identity
    wallet_balance: Figure | None = field(name="walletBalance", default=None)
    unrealized_pnl: Figure | None = field(name="unrealizedProfit", default=None)
    margin_balance: Figure | None = field(name="marginBalance", default=None)
    available_balance: Figure | None = field(name="availableBalance", default=None)
    max_withdraw_amount: Figure | None = field(name="maxWithdrawAmount", default=None)
    initial_margin: Figure | None = field(name="initialMargin", default=None)
    maintenance_margin: Figure | None = field(name="maintMargin", default=None)
    position_initial_margin: Figure | None = field(name="positionInitialMargin", default=None)
    open_order_initial_margin: Figure | None = field(name="openOrderInitialMargin", default=None)
    cross_wallet_balance: Figure | None = field(name="crossWalletBalance", default=None)
    cross_unrealized_pnl: Figure | None = field(name="crossUnPnl", default=None)
    margin_available: bool | None = field(name="marginAvailable", default=None)
    update_time_ms: Milliseconds | None = field(name="updateTime", default=None)


class Position(Struct, frozen=True, kw_only=True, gc=False):
    """One row of ``positions[]``: a symbol and side with a position, or with only open orders (amount 0)."""

    symbol: Identity
    position_side: Identity = field(name="positionSide")  # BOTH; LONG or SHORT in hedge mode
    amount: Figure = field(name="positionAmt")  # negative when short
    unrealized_pnl: Figure | None = field(name="unrealizedProfit", default=None)
    isolated_margin: Figure | None = field(name="isolatedMargin", default=None)
    notional: Figure | None = None  # negative when short
    isolated_wallet_balance: Figure | None = field(name="isolatedWallet", default=None)
    initial_margin: Figure | None = field(name="initialMargin", default=None)
    maintenance_margin: Figure | None = field(name="maintMargin", default=None)
    update_time_ms: Milliseconds | None = field(name="updateTime", default=None)

    @property
    def is_isolated(self) -> bool:
        """Whether the row is a separate margin pool; a row with only open orders is not."""
        return bool(self.amount and (self.isolated_wallet_balance or self.isolated_margin))


class PositionRisk(Struct, frozen=True, kw_only=True, gc=False):
    """One row of ``v2/account.position``: what :class:`Position` lacks for the same symbol and side."""

    symbol: Identity
    position_side: Identity = field(name="positionSide")
    amount: Figure = field(name="positionAmt")
    margin_asset: Annotated[str, Meta(max_length=_MAX_NAME_LENGTH)] | None = field(name="marginAsset", default=None)
    entry_price: Figure | None = field(name="entryPrice", default=None)
    break_even_price: Figure | None = field(name="breakEvenPrice", default=None)
    mark_price: Figure | None = field(name="markPrice", default=None)
    liquidation_price: Figure | None = field(name="liquidationPrice", default=None)  # 0: none
    adl_quantile: Annotated[int, Meta(ge=0, le=100)] | None = field(name="adl", default=None)
    open_order_initial_margin: Figure | None = field(name="openOrderInitialMargin", default=None)
    bid_notional: Figure | None = field(name="bidNotional", default=None)
    ask_notional: Figure | None = field(name="askNotional", default=None)


# What a row still says if its position is not held. All other fields describe the position, as a new one does unless it
# is added here.
FIELDS_WITHOUT_POSITION: Final = (
    "symbol",
    "position_side",
    "amount",
    "margin_asset",
    "mark_price",
    "open_order_initial_margin",
    "bid_notional",
    "ask_notional",
)


class AccountStatus(Struct, frozen=True, kw_only=True):
    """The ``result`` of ``v2/account.status``: totals under the names of :class:`AssetBalance`, and the rows."""

    wallet_balance: Figure | None = field(name="totalWalletBalance", default=None)
    unrealized_pnl: Figure | None = field(name="totalUnrealizedProfit", default=None)
    margin_balance: Figure | None = field(name="totalMarginBalance", default=None)
    available_balance: Figure | None = field(name="availableBalance", default=None)
    max_withdraw_amount: Figure | None = field(name="maxWithdrawAmount", default=None)
    initial_margin: Figure | None = field(name="totalInitialMargin", default=None)
    maintenance_margin: Figure | None = field(name="totalMaintMargin", default=None)
    position_initial_margin: Figure | None = field(name="totalPositionInitialMargin", default=None)
    open_order_initial_margin: Figure | None = field(name="totalOpenOrderInitialMargin", default=None)
    cross_wallet_balance: Figure | None = field(name="totalCrossWalletBalance", default=None)
    cross_unrealized_pnl: Figure | None = field(name="totalCrossUnPnl", default=None)
    assets: tuple[AssetBalance, ...]
    positions: tuple[Position, ...]


# The field names of an account's eleven figures, in AccountStatus (as totals) and in AssetBalance.
FIGURES: Final = (
    "wallet_balance",
    "unrealized_pnl",
    "margin_balance",
    "available_balance",
    "max_withdraw_amount",
    "initial_margin",
    "maintenance_margin",
    "position_initial_margin",
    "open_order_initial_margin",
    "cross_wallet_balance",
    "cross_unrealized_pnl",
)


def wire_name(row: type[Struct], name: str) -> str:
    """Return the name of a field in Binance's response."""
    return _wire_names(row)[name]


@cache  # msgspec evaluates all annotations of the class for each call
def _wire_names(row: type[Struct]) -> dict[str, str]:
    return {field.name: field.encode_name for field in msgspec.structs.fields(row)}
