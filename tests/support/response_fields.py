"""Binance's names of the figures in responses, by the names in metrics, written without the exporter's code."""

from __future__ import annotations

from typing import Final

# An account's eleven figures in rows of assets, and as totals, of which most start with `total`.
FIGURES: Final = {
    "wallet_balance": "walletBalance",
    "unrealized_pnl": "unrealizedProfit",
    "margin_balance": "marginBalance",
    "available_balance": "availableBalance",
    "max_withdraw_amount": "maxWithdrawAmount",
    "initial_margin": "initialMargin",
    "maintenance_margin": "maintMargin",
    "position_initial_margin": "positionInitialMargin",
    "open_order_initial_margin": "openOrderInitialMargin",
    "cross_wallet_balance": "crossWalletBalance",
    "cross_unrealized_pnl": "crossUnPnl",
}
TOTALS: Final = {
    name: wire if wire in {"availableBalance", "maxWithdrawAmount"} else f"total{wire[0].upper()}{wire[1:]}"
    for name, wire in FIGURES.items()
}
# In rows of positions.
POSITION_FIELDS: Final = {
    "amount": "positionAmt",
    "notional": "notional",
    "unrealized_pnl": "unrealizedProfit",
    "initial_margin": "initialMargin",
    "maintenance_margin": "maintMargin",
    "isolated_margin": "isolatedMargin",
    "isolated_wallet_balance": "isolatedWallet",
}
# In rows of v2/account.position: those of a held position, and those that open orders have, too.
RISK_FIELDS_WHILE_HELD: Final = {
    "entry_price": "entryPrice",
    "break_even_price": "breakEvenPrice",
    "adl_quantile": "adl",
}
RISK_FIELDS: Final = {
    "mark_price": "markPrice",
    "open_order_initial_margin": "openOrderInitialMargin",
    "bid_notional": "bidNotional",
    "ask_notional": "askNotional",
}
