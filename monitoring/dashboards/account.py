"""The dashboard of one account, or a few: pools, positions by risk, balances, exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards import stats as s
from monitoring.dashboards.balances import BALANCES, EQUITY_AND_ORDERS, FUNDING
from monitoring.dashboards.layout import PanelRow, dashboard, link_to, variables
from monitoring.dashboards.tables import Column, table_panel

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-account"
_FLAT: Final = "No open position, or the account is down"
_POSITION: Final = q.LABELS.position
_POSITION_LEGEND: Final = "{{account}} {{symbol}} {{position_side}}"

_SUMMARY: Final = (
    p.stat_panel(
        "State",
        "Whether the last due poll succeeded. If several accounts are selected, the worst of them is shown.",
        p.Query(f"min({q.max_by('up')})"),
        mappings=p.UP_TEXTS,
        no_value="not polled",
    ),
    s.risk(),
    s.data_age(
        "Data age",
        "Time since the last successful poll. If several accounts are selected, the longest is shown.",
    ),
    s.worst_margin_ratio(
        """
        The highest margin ratio (maintenance margin divided by equity) of the cross and isolated pools. Higher is
        worse: 100 % is liquidation, and 0 % means that no maintenance margin is required.
        """,
    ),
    s.nearest_liquidation(),
    s.amount_by_currency(
        "Equity",
        """
        Margin balance (wallet balance plus unrealized profit and loss) by currency. In single-asset mode it covers
        USDT only; other assets are listed under Balances by asset.
        """,
        "margin_balance",
    ),
    s.amount_by_currency(
        "Unrealized PnL",
        "Unrealized profit and loss of all positions, by currency.",
        "unrealized_pnl",
        p.RED_BELOW_ZERO,
    ),
)

_PRICE: Final[dict[str, Any]] = {"unit": p.MONEY, "decimals": 8}

_POSITIONS: Final = table_panel(
    "Positions, the worst first",
    """
    Every open position, by risk and then by distance. Risk is by the default thresholds of the alerting rules; unknown
    if the margin ratio or the distance is missing and what is known is not critical. Distance is the distance between
    the mark price and Binance's liquidation price as a percentage of the mark price, or none if Binance reports no such
    price. Margin ratio is the ratio of the position's pool, which all cross positions of a margin asset share. Leverage
    is the notional divided by the initial margin in use, Configured the leverage that is set for the symbol. Notional
    and PnL are in the margin asset shown under Asset. Side is BOTH in one-way mode. Positions with ADL 4 are
    deleveraged first.
    """,
    [
        Column("Account", "account", link=("Show this account", link_to(UID, "account"))),
        Column(
            "Symbol", "symbol", link=("Show this symbol", link_to(UID, "symbol") + "&${account:queryparam}"), width=130
        ),
        Column("Side", "position_side", width=70),
        Column("Risk", expression=q.position_risk(), mappings=p.RISK_TEXTS, width=80),
        Column("Margin", "margin_type", width=78),
        Column(
            "Distance",
            expression=q.distance_or_infinite(),
            unit=p.PERCENT,
            decimals=2,
            steps=p.DISTANCE,
            mappings=p.DISTANCE_TEXTS,
            width=85,
        ),
        Column(
            "Margin ratio",
            expression=q.position_margin_ratio(),
            unit=p.PERCENT,
            decimals=1,
            steps=p.MARGIN_RATIO,
            mappings=p.RATIO_TEXTS,
            width=105,
        ),
        Column("Amount", expression=q.position("amount"), steps=p.RED_BELOW_ZERO, **_PRICE, width=90),
        Column("Entry", expression=q.position("entry_price"), **_PRICE, width=100),
        Column("Break-even", expression=q.seven_digits(q.position("break_even_price")), **_PRICE, width=100),
        Column("Mark", expression=q.position("mark_price"), **_PRICE, width=100),
        Column("Liquidation", expression=q.seven_digits(q.position("liquidation_price")), **_PRICE, width=100),
        Column("Notional", expression=q.position("notional"), unit=p.MONEY, decimals=2, width=110),
        Column(
            "Unrealized PnL",
            expression=q.position("unrealized_pnl"),
            unit=p.MONEY,
            decimals=2,
            steps=p.RED_BELOW_ZERO,
            width=118,
        ),
        Column("Asset", "margin_asset", width=65),
        Column("Leverage", expression=q.leverage(), unit="suffix:x", decimals=1, width=80),
        Column("Configured", expression=q.position("leverage"), unit="suffix:x", decimals=0, width=90),
        Column("ADL", expression=q.position("adl_quantile"), decimals=0, steps=((None, "text"), (4, "red")), width=50),
        Column(
            "Kind",
            expression=q.max_by("position_info", f"{_POSITION}, margin_asset, margin_type", q.POSITION),
            hidden=True,
        ),
    ],
    sort=[("Risk", True), ("Distance", False)],
    no_value=_FLAT,
)

_CROSS: Final = f"clamp_max({q.max_by('cross_margin_ratio', 'account, margin_asset')} > 0, 2)"
_ISOLATED: Final = f"clamp_max({q.max_by('isolated_margin_ratio', _POSITION, q.POSITION)}, 2)"

_RISK: Final = (
    p.time_series_panel(
        "Margin ratio by pool",
        """
        Maintenance margin divided by equity of each cross pool (by margin asset; USD in multi-assets mode) and each
        isolated position. 100 % is liquidation. Values are capped at 200 %, including those of pools without any
        equity left. Pools that require no maintenance margin are not shown. Only the ten highest cross pools and the
        ten highest isolated positions within the time range are shown.
        """,
        p.Query(
            q.top(10, _CROSS, "account, margin_asset"),
            "{{account}} cross {{margin_asset}}",
        ),
        p.Query(q.top(10, _ISOLATED, _POSITION), _POSITION_LEGEND),
        unit=p.PERCENT,
        decimals=1,
        steps=p.MARGIN_RATIO,
        minimum=0,
        soft_range=(None, 1.05),
        no_value="No margin required, or the account is down",
    ),
    p.time_series_panel(
        "Distance to liquidation by position",
        """
        The distance between mark price and Binance's liquidation price, as a percentage of the mark price. 0 % is
        liquidation. The axis ends at 25 %. Only the ten positions with the shortest distance within the time range
        are shown.
        """,
        p.Query(q.top(10, q.distance(selector=q.POSITION), _POSITION, lowest=True), _POSITION_LEGEND),
        unit=p.PERCENT,
        decimals=2,
        steps=p.DISTANCE_LINES,
        minimum=0,
        maximum=0.25,
        no_value="No position with a liquidation price, or the account is down",
        legend_values=("lastNotNull", "min"),
        lowest_first=True,
    ),
)

_PNL: Final = q.in_margin_asset("unrealized_pnl")
_NOTIONAL: Final = q.in_margin_asset("notional")

_MONEY: Final = (
    p.time_series_panel(
        "Unrealized PnL by position",
        """
        Unrealized profit and loss of each position, in its margin asset. Closed positions keep their last value in
        the legend. Only the ten positions with the greatest profit or loss within the time range are shown.
        """,
        p.Query(q.top(10, _PNL, _POSITION, ranked_by=f"abs({_PNL})"), _POSITION_LEGEND + " ({{margin_asset}})"),
        unit=p.MONEY,
        decimals=2,
        no_value=_FLAT,
        legend_values=("lastNotNull", "min", "max"),
        lowest_first=True,
    ),
    p.time_series_panel(
        "Exposure by margin asset",
        """
        Value of the positions at the mark price for each margin asset: long, short (negative) and the net of both.
        In multi-assets mode each position still counts in its own margin asset.
        """,
        p.Query(f"sum by (margin_asset) (clamp_min({_NOTIONAL}, 0))", "long {{margin_asset}}"),
        p.Query(f"sum by (margin_asset) (clamp_max({_NOTIONAL}, 0))", "short {{margin_asset}}"),
        p.Query(f"sum by (margin_asset) ({_NOTIONAL})", "net {{margin_asset}}"),
        unit=p.MONEY,
        decimals=0,
        no_value=_FLAT,
        fill=5,
        legend_values=("lastNotNull", "min", "max"),
    ),
)


def account_dashboard() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Account",
        "One account, or a few: risk, margin pools, positions, PnL, exposure, funding, balances, open orders.",
        variables("account", "symbol", all_selected=["symbol"]),
        [
            PanelRow(4, _SUMMARY, widths=(3, 3, 3, 3, 4, 4, 4)),
            PanelRow(8, [_POSITIONS]),
            PanelRow(11, _RISK),
            PanelRow(11, _MONEY),
            PanelRow(7, [FUNDING]),
            PanelRow(7, [BALANCES]),
            PanelRow(10, EQUITY_AND_ORDERS),
        ],
    )
