"""The dashboard of all accounts at a glance: which are down, close to liquidation, or losing money."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards import stats as s
from monitoring.dashboards.layout import PanelRow, dashboard, link_to, variables
from monitoring.dashboards.tables import Column, table_panel
from monitoring.thresholds import BY_NAME

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-accounts"
_DOWN: Final = "No data: no account is selected, or all are down"
_FLAT: Final = "No position with a liquidation price, or all accounts are down"
_PRICES: Final = f"group({q.series('asset_index_price', q.JOB)})"

_SUMMARY: Final = (
    p.stat_panel(
        "Accounts polled",
        "Accounts that the exporters are configured to poll, including those that are down.",
        p.Query(f"count({q.max_by('up')})"),
        no_value="none",
    ),
    p.stat_panel(
        "Accounts down",
        """
        Accounts whose last due poll failed. The series of such an account are dropped once they are older than its
        `stale_after`.
        """,
        p.Query(f"sum(1 - {q.max_by('up')})"),
        steps=p.RED_FROM_ONE,
        no_value="none known",
    ),
    s.accounts_at_risk(),
    s.worst_margin_ratio(
        """
        The highest margin ratio (maintenance margin divided by equity) of any cross or isolated pool. Higher is
        worse: 100 % is liquidation, and 0 % means that no maintenance margin is required.
        """,
    ),
    s.nearest_liquidation(),
    p.stat_panel(
        "Open positions",
        "Number of open positions of all selected accounts that have data. Each side of a symbol counts separately.",
        p.Query(f"sum({q.max_by('account_open_positions')})"),
        no_value="unknown",
    ),
    s.data_age(
        "Oldest data",
        "Time since the last successful poll, of the account for which it is longest.",
    ),
)

_MONEY: Final = (
    s.amount_by_currency(
        "Equity",
        """
        Margin balance (wallet balance plus unrealized profit and loss) of the selected accounts, summed by currency.
        USDT covers only the USDT of single-asset accounts. USD is the total value that multi-assets accounts report.
        """,
        "margin_balance",
    ),
    s.amount_by_currency(
        "Unrealized PnL",
        "Unrealized profit and loss of the selected accounts, summed by currency.",
        "unrealized_pnl",
        p.RED_BELOW_ZERO,
    ),
    s.amount_by_currency(
        "Available for new positions",
        "Available balance of the selected accounts, summed by currency.",
        "available_balance",
    ),
    p.stat_panel(
        "Equity in USD",
        """
        Equity of the selected accounts, all assets included, at Binance's index prices. Multi-assets accounts count
        with the USD total that they report, single-asset accounts with the margin balance of each asset. Not covered,
        and counted separately, are accounts without data and those that hold an asset without a known price. Requires
        `prices`, which are off by default.
        """,
        p.Query(f"sum(\n{indent(q.equity_in_usd(), '  ')}\n)\nand {_PRICES}", "USD"),
        p.Query(
            f"count(\n  {q.max_by('up')}\n  unless on (account)\n{indent(q.equity_in_usd(), '  ')}\n)\nand {_PRICES}",
            "accounts not covered",
            p.WARNING_FROM_ONE,
        ),
        unit=p.MONEY,
        decimals=0,
        no_value="prices are not enabled",
        text_mode=p.VALUE_AND_NAME,
    ),
)

_TABLE: Final = table_panel(
    "Accounts",
    """
    One row per account: those at critical risk come first, then unknown, warning and normal, and among these the
    highest margin ratio. The risk is the worst of all positions, by the default thresholds of the alerting rules. It is
    unknown if the account is down or the data of a position is missing. A dash means that there is no value, because
    the account is down or has, for example, no position with a liquidation price. The series of an account that is down
    are dropped once they are older than its `stale_after`. Click an account to open its dashboard.
    """,
    [
        Column("Account", "account", link=("Show this account", link_to("binance-futures-account", "account"))),
        Column("Risk", expression=q.account_risk(), mappings=p.RISK_TEXTS, width=80),
        Column("State", expression=q.max_by("up"), mappings=p.UP_TEXTS, width=75),
        Column(
            "Worst margin ratio",
            expression=q.margin_ratio(),
            unit=p.PERCENT,
            decimals=1,
            steps=p.MARGIN_RATIO,
            mappings=p.RATIO_TEXTS,
            width=155,
        ),
        Column(
            "Nearest liquidation",
            expression=q.distance("account"),
            unit=p.PERCENT,
            decimals=2,
            steps=p.DISTANCE,
            width=155,
        ),
        Column("Positions", expression=q.max_by("account_open_positions"), width=90),
        Column("Equity", expression=q.account_total("margin_balance"), unit=p.MONEY, decimals=2, width=125),
        Column("Currency", "currency", width=90),
        Column(
            "Unrealized PnL",
            expression=q.account_total("unrealized_pnl"),
            unit=p.MONEY,
            decimals=2,
            steps=p.RED_BELOW_ZERO,
            width=130,
        ),
        Column(
            "PnL / wallet",
            expression=q.pnl_over_wallet(),
            unit=p.PERCENT,
            decimals=1,
            steps=p.RED_BELOW_ZERO,
            width=105,
        ),
        Column("Available", expression=q.account_total("available_balance"), unit=p.MONEY, decimals=2, width=125),
        Column(
            "Can be withdrawn", expression=q.account_total("max_withdraw_amount"), unit=p.MONEY, decimals=2, width=140
        ),
        Column("Data age", expression=q.age(), unit=p.SECONDS, decimals=0, width=120),
    ],
    sort=[("Risk", True), ("Worst margin ratio", True)],
    no_value="No account",
)

_RATIO: Final = f"clamp_max({q.margin_ratio()}, 2)"

_CHARTS: Final = (
    p.time_series_panel(
        "Worst margin ratio by account",
        """
        The highest margin ratio of each account's cross and isolated pools. 100 % is liquidation. Values are capped
        at 200 %, including those of pools without any equity left. Only the ten accounts with the highest ratio
        within the time range are shown.
        """,
        p.Query(q.top(10, _RATIO, "account"), "{{account}}"),
        unit=p.PERCENT,
        decimals=1,
        steps=p.MARGIN_RATIO,
        minimum=0,
        soft_range=(None, 1.05),
        no_value=_DOWN,
    ),
    p.time_series_panel(
        "Nearest liquidation by account",
        """
        The shortest distance between mark price and Binance's liquidation price, as a percentage of the mark price.
        0 % is liquidation. The axis ends at 25 %. Only the ten accounts with the shortest distance within the time
        range are shown.
        """,
        p.Query(q.top(10, q.distance("account"), "account", lowest=True), "{{account}}"),
        unit=p.PERCENT,
        decimals=2,
        steps=p.DISTANCE_LINES,
        minimum=0,
        maximum=0.25,
        no_value=_FLAT,
        legend_values=("lastNotNull", "min"),
        lowest_first=True,
    ),
)

_MORE_CHARTS: Final = (
    p.time_series_panel(
        "Unrealized PnL over wallet balance",
        """
        Unrealized profit and loss as a percentage of the wallet balance, which makes accounts in different
        currencies comparable. Only the ten accounts with the greatest loss within the time range are shown.
        """,
        p.Query(q.top(10, q.pnl_over_wallet(), "account", lowest=True), "{{account}}"),
        unit=p.PERCENT,
        decimals=1,
        steps=((None, "transparent"), (-BY_NAME["unrealized_loss"], "red")),
        no_value=_DOWN,
        legend_values=("lastNotNull", "min"),
        lowest_first=True,
    ),
    p.time_series_panel(
        "Failed polls by account and reason",
        """
        Due polls per minute that failed or could not be sent. `binance-futures-exporter check` and the exporter's
        web page explain the reasons.
        """,
        p.Query(
            f"sum by (account, reason) (\n  60 * rate({q.series('poll_failures_total')}[$__rate_interval])\n) > 0",
            "{{account}} {{reason}}",
        ),
        no_value="No poll failed",
        bars=True,
        minimum=0,
        legend_values=("lastNotNull", "max"),
    ),
)


def accounts_dashboard() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Accounts",
        "All accounts at a glance: health, risk, margin ratios, nearest liquidation, equity and unrealized PnL.",
        variables("account", all_selected=["account"]),
        [
            PanelRow(4, _SUMMARY, widths=(3, 3, 6, 3, 3, 3, 3)),
            PanelRow(4, _MONEY),
            PanelRow(8, [_TABLE]),
            PanelRow(10, _CHARTS),
            PanelRow(10, _MORE_CHARTS),
        ],
    )
