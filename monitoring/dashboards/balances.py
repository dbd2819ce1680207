"""Panels of an account's money: balances by asset, equity against margin, what orders bind."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards.tables import Column, rows

BALANCES: Final = rows(
    "Balances by asset",
    "Each asset that is held or owed, or serves as margin, in its own units; never added up. Assets without any are "
    "left out. In multi-assets mode "
    "available and withdrawable are what the exchange would let go in that asset. Margin tells whether the asset "
    "serves as "
    "margin in multi-assets mode.",
    [
        Column("Account", "account", width=130),
        Column("Asset", "asset", width=80),
        Column("Wallet", expression=q.asset("wallet_balance"), unit=p.MONEY, decimals=8, width=130),
        Column(
            "Unrealized PnL", expression=q.asset("unrealized_pnl"), unit=p.MONEY, decimals=2, steps=p.PROFIT, width=115
        ),
        Column("Margin balance", expression=q.asset("margin_balance"), unit=p.MONEY, decimals=8, width=138),
        Column("Cross wallet", expression=q.asset("cross_wallet_balance"), unit=p.MONEY, decimals=8, width=130),
        Column(
            "Cross PnL", expression=q.asset("cross_unrealized_pnl"), unit=p.MONEY, decimals=2, steps=p.PROFIT, width=90
        ),
        Column("Initial margin", expression=q.asset("initial_margin"), unit=p.MONEY, decimals=2, width=105),
        Column("… of positions", expression=q.asset("position_initial_margin"), unit=p.MONEY, decimals=2, width=105),
        Column("… of orders", expression=q.asset("open_order_initial_margin"), unit=p.MONEY, decimals=2, width=88),
        Column("Maintenance", expression=q.asset("maintenance_margin"), unit=p.MONEY, decimals=2, width=105),
        Column("Available", expression=q.asset("available_balance"), unit=p.MONEY, decimals=8, width=122),
        Column("Can be withdrawn", expression=q.asset("max_withdraw_amount"), unit=p.MONEY, decimals=8, width=138),
        Column(
            "Margin",
            expression=q.asset("margin_available"),
            mappings=(p.named({"0": ("no", "text"), "1": ("yes", "text")}),),
            width=65,
        ),
    ],
    sort=[("Account", False), ("Margin balance", True)],
    absent="No balance, or the account is down",
)

_ORDERS_OPEN: Final = "max by (account, symbol, position_side) ({} > 0)"


def _order(metric: str) -> str:
    return _ORDERS_OPEN.format(q.of(f"position_{metric}", q.POSITION))


EQUITY_AND_ORDERS: Final = (
    (
        12,
        p.lines(
            "Equity against the margin it has to cover",
            "Margin balance, wallet balance, initial and maintenance margin of the whole account, by currency. Where "
            "the maintenance margin "
            "meets the equity of a cross account, it is liquidated; isolated positions earlier, each alone.",
            p.Query(q.totals("margin_balance"), "equity, {{currency}}"),
            p.Query(q.totals("wallet_balance"), "wallet, {{currency}}"),
            p.Query(q.totals("initial_margin"), "initial margin, {{currency}}"),
            p.Query(q.totals("maintenance_margin"), "maintenance margin, {{currency}}"),
            unit=p.MONEY,
            decimals=2,
            soft=(0, None),
            absent="No figures: the account is down",
            calcs=("lastNotNull", "min", "max"),
        ),
    ),
    (
        12,
        rows(
            "Open orders by symbol",
            "Value of the open buy and sell orders and the initial margin they bind, in the symbol's margin asset.",
            [
                Column("Account", "account"),
                Column("Symbol", "symbol", width=140),
                Column("Side", "position_side", width=80),
                Column("Buy orders", expression=_order("bid_notional"), unit=p.MONEY, decimals=2, width=115),
                Column("Sell orders", expression=_order("ask_notional"), unit=p.MONEY, decimals=2, width=115),
                Column(
                    "Initial margin",
                    expression=_order("open_order_initial_margin"),
                    unit=p.MONEY,
                    decimals=2,
                    width=125,
                ),
            ],
            sort=[("Initial margin", True)],
            absent="No open order known",
        ),
    ),
)
