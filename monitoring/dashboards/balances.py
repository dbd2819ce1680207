"""Panels of the account dashboard: funding due next, balances by asset, equity and margin, open orders."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards.tables import Column, table_panel

FUNDING: Final = table_panel(
    "Funding due next",
    """
    What each open position receives at its next funding settlement, at the current notional and rate; negative if the
    position pays. Long positions pay if the rate is positive. Both change until the settlement. Amount is in the margin
    asset shown under Asset. Contracts without funding are not shown. Requires `funding`, which is off by default.
    """,
    [
        Column("Account", "account"),
        Column("Symbol", "symbol", width=160),
        Column("Side", "position_side", width=90),
        Column("Due in", expression=q.funding_due(), unit=p.SECONDS, decimals=0, width=130),
        Column(
            "Amount",
            expression=q.funding_amount(),
            unit=p.MONEY,
            decimals=4,
            steps=p.RED_BELOW_ZERO,
            width=150,
        ),
        Column("Asset", "margin_asset", width=90),
        Column("Rate", expression=q.funding("rate"), unit=p.PERCENT, decimals=4, width=120),
        Column("Interval", expression=q.funding("interval_seconds"), unit=p.SECONDS, width=110),
    ],
    sort=[("Due in", False), ("Amount", False)],
    no_value="Funding is not enabled, or no open position has any",
)

BALANCES: Final = table_panel(
    "Balances by asset",
    """
    Each asset that is held, owed or used as margin, in units of the asset. Amounts in different assets are never added.
    In multi-assets mode, Available and Can be withdrawn are the account's total expressed in that asset. Margin shows
    whether the asset serves as margin in multi-assets mode.
    """,
    [
        Column("Account", "account", width=130),
        Column("Asset", "asset", width=80),
        Column("Wallet", expression=q.asset("wallet_balance"), unit=p.MONEY, decimals=8, width=130),
        Column(
            "Unrealized PnL",
            expression=q.asset("unrealized_pnl"),
            unit=p.MONEY,
            decimals=2,
            steps=p.RED_BELOW_ZERO,
            width=115,
        ),
        Column("Margin balance", expression=q.asset("margin_balance"), unit=p.MONEY, decimals=8, width=138),
        Column("Cross wallet", expression=q.asset("cross_wallet_balance"), unit=p.MONEY, decimals=8, width=130),
        Column(
            "Cross PnL",
            expression=q.asset("cross_unrealized_pnl"),
            unit=p.MONEY,
            decimals=2,
            steps=p.RED_BELOW_ZERO,
            width=90,
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
            mappings=(p.value_texts({"0": ("no", "text"), "1": ("yes", "text")}),),
            width=65,
        ),
    ],
    sort=[("Account", False), ("Margin balance", True)],
    no_value="No balance, or the account is down",
)

_OPEN_ORDERS: Final = "max by (account, symbol, position_side) ({} > 0)"


def _order(metric: str) -> str:
    return _OPEN_ORDERS.format(q.series(f"position_{metric}", q.POSITION))


EQUITY_AND_ORDERS: Final = (
    p.time_series_panel(
        "Equity and margin",
        """
        Margin balance, wallet balance, initial margin and maintenance margin of the account, by currency. Cross
        positions are liquidated when their equity falls to the maintenance margin. Isolated positions are liquidated
        separately and may be liquidated earlier.
        """,
        p.Query(q.total_by_currency("margin_balance"), "equity, {{currency}}"),
        p.Query(q.total_by_currency("wallet_balance"), "wallet, {{currency}}"),
        p.Query(q.total_by_currency("initial_margin"), "initial margin, {{currency}}"),
        p.Query(q.total_by_currency("maintenance_margin"), "maintenance margin, {{currency}}"),
        unit=p.MONEY,
        decimals=2,
        soft_range=(0, None),
        no_value="No data: the account is down",
        legend_values=("lastNotNull", "min", "max"),
    ),
    table_panel(
        "Open orders by symbol",
        "Value of the open buy and sell orders and their initial margin, in the margin asset of the symbol.",
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
        no_value="No open order, or the account is down",
    ),
)
