"""The dashboard of what accounts earned and paid: today, this month, and by day, week and month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from monitoring.dashboards import income_queries as q
from monitoring.dashboards import panels as p
from monitoring.dashboards.balances import FUNDING
from monitoring.dashboards.layout import PanelRow, dashboard, link_to, variables
from monitoring.dashboards.queries import max_by
from monitoring.dashboards.tables import Column, table_panel

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, timeseries
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-results"
_ABSENT: Final = "None, or income is not enabled or not read"
_NOT_RECORDED: Final = "None, or nothing recorded: income and the recording rules are required"
_AMOUNT: Final[dict[str, Any]] = {"unit": p.MONEY, "decimals": 2, "steps": p.RED_BELOW_ZERO}
_FINE_AMOUNT: Final[dict[str, Any]] = {**_AMOUNT, "decimals": 4}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A part of the result: its name, the selector of its types, and what it consists of."""

    name: str
    selector: str
    consists_of: str


_KINDS: Final = (
    _Kind("Realized PnL", q.REALIZED, "Realized profit and loss of closed positions, before fees and funding."),
    _Kind("Funding", q.FUNDING, "Funding fees received less those paid."),
    _Kind("Fees", q.FEES, "Commissions of trades, negative because they are paid; without rebates."),
    _Kind(
        "Net",
        q.NET,
        "Realized PnL, funding, fees and all other income, such as liquidation fees and rebates, except transfers and "
        "conversions.",
    ),
)
_NET: Final = _KINDS[-1]


def _stat(kind: _Kind, period: str, expression: str, description: str) -> stat.Panel:
    return p.stat_panel(
        f"{kind.name} {period}",
        f"{kind.consists_of} {description}",
        p.Query(expression, "{{asset}}"),
        no_value="none known",
        text_mode=p.VALUE_AND_NAME,
        **_FINE_AMOUNT,
    )


_TODAY: Final = (
    *(
        _stat(kind, "today", q.today(kind.selector), "Since 00:00 UTC; until about 00:15 UTC that of the day before.")
        for kind in _KINDS
    ),
    p.stat_panel(
        "Income not read",
        """
        Selected accounts whose income is enabled but unknown: it has not been read completely since the start of the
        exporter, or not for `stale_after`. They are missing in all amounts.
        """,
        p.Query(q.unread()),
        steps=p.RED_FROM_ONE,
        no_value="not enabled",
    ),
)

_MONTH: Final = (
    *(
        _stat(
            kind,
            "this month",
            q.month_to_date(kind.selector),
            "Exact, since the start of the UTC month. On the first, that of the month before until about 00:15 UTC, "
            "then 0 for 15 minutes.",
        )
        for kind in _KINDS
    ),
    p.stat_panel(
        "Left out this month",
        """
        Selected accounts that are missing in the amounts of this month, because with `since: day` their counters start
        again at 00:00 UTC every day.
        """,
        p.Query(q.since_day()),
        steps=p.WARNING_FROM_ONE,
        no_value="unknown",
    ),
)

_CUMULATIVE: Final = (
    p.time_series_panel(
        "Cumulative",
        """
        The amounts by day of realized PnL, funding, fees, and the net of all income except transfers and conversions,
        added up by asset over the UTC days that begin within the time range. Each day is shown at its start; the last
        one is incomplete.
        """,
        *(
            p.Query(q.cumulative(kind.selector), f"{kind.name[0].lower()}{kind.name[1:]} {{{{asset}}}}", interval="1d")
            for kind in _KINDS
        ),
        unit=p.MONEY,
        decimals=2,
        soft_range=(0, 0),
        no_value=_NOT_RECORDED,
        legend_values=("lastNotNull", "min", "max"),
    ),
    p.time_series_panel(
        "Cumulative net by account",
        """
        The net of all income except transfers and conversions, added up over the UTC days that begin within the time
        range. Only the ten accounts with the greatest profit or loss in each asset within the time range are shown.
        """,
        p.Query(
            f"{q.cumulative(q.NET, 'account, asset')}\nand on (account, asset)\n{q.greatest_change(10, q.NET)}",
            "{{account}} {{asset}}",
            interval="1d",
        ),
        unit=p.MONEY,
        decimals=2,
        soft_range=(0, 0),
        no_value=_NOT_RECORDED,
        legend_values=("lastNotNull", "min", "max"),
    ),
)


def _bars(kind: _Kind, period: str, expression: str, interval: str, description: str) -> timeseries.Panel:
    return p.time_series_panel(
        f"{kind.name} by {period}",
        f"{kind.consists_of} {description} Bars of different assets are in front of each other, not added.",
        p.Query(expression, "{{asset}}", interval=interval),
        unit=p.MONEY,
        decimals=2,
        soft_range=(0, 0),
        no_value=_NOT_RECORDED,
        bars=True,
        stacked=False,
        legend_values=("lastNotNull", "min", "max"),
    )


_EXTRAPOLATED: Final = """
    Calculated with `increase()` of the recorded counters, which extrapolates to the ends of the period and may assign
    what was read at its ends to either side; the current one is incomplete.
"""
_BY_DAY: Final = [
    _bars(
        kind,
        "day",
        q.by_day(kind.selector),
        "1d",
        f"Days are in UTC, shown at their start. {_EXTRAPOLATED} The exact amount of today is shown above.",
    )
    for kind in _KINDS
]
_BY_WEEK: Final = [
    _bars(
        kind,
        "week",
        q.change(kind.selector, "1w", "offset -4d"),
        "1w",
        f"Weeks are from Monday to Sunday in UTC, shown at their Thursday. {_EXTRAPOLATED}",
    )
    for kind in _KINDS
]
_BY_MONTH: Final = [
    _bars(
        kind,
        "month",
        q.months(kind.selector),
        "1d",
        """
        The amount of each complete UTC month, shown at its last day; exact if income is read at least every 15 minutes.
        It is missing if nothing was recorded at 00:24 UTC after the month, and for accounts with `since: day`. Select a
        longer time range to see more months.
        """,
    )
    for kind in _KINDS
]

_ACCOUNT_ASSET: Final = "account, asset"
_BY_ACCOUNT: Final = table_panel(
    "By account",
    """
    One row per account and asset with any income this month. Net is all income except transfers and conversions.
    Amounts of this month are missing for accounts with `since: day`. Click an account to open its dashboard.
    """,
    [
        Column("Account", "account", link=("Show this account", link_to("binance-futures-account", "account"))),
        Column("Asset", "asset", width=90),
        *(
            Column(f"{kind.name}, {period}", expression=make(kind.selector, _ACCOUNT_ASSET), **_FINE_AMOUNT)
            for period, make in (("today", q.today), ("month", q.month_to_date))
            for kind in _KINDS
        ),
    ],
    sort=[("Net, month", True)],
    no_value=_ABSENT,
)

_SYMBOL: Final = "account, symbol, asset"
_BY_SYMBOL: Final = table_panel(
    "By symbol",
    """
    One row per account, symbol and asset with any income this month. Requires `by_symbol` for `income`, which is off by
    default. Amounts of this month are missing for accounts with `since: day`.
    """,
    [
        Column("Account", "account"),
        Column("Symbol", "symbol", width=130),
        Column("Asset", "asset", width=80),
        *(
            Column(kind.name, expression=q.month_to_date(kind.selector, _SYMBOL, q.OF_SYMBOLS), **_FINE_AMOUNT)
            for kind in _KINDS
        ),
        Column("Net, today", expression=q.today(q.NET, _SYMBOL, q.OF_SYMBOLS), **_FINE_AMOUNT),
    ],
    sort=[("Net", True)],
    no_value="by_symbol is not enabled, or there is no income",
)

_BY_TYPE: Final = table_panel(
    "By type",
    """
    What each account received and paid this month (with `since: day`: today), by the exchange's types.
    Transfers and conversions are included here only.
    """,
    [
        Column("Account", "account"),
        Column("Type", "income_type"),
        Column("Asset", "asset", width=80),
        Column("Received", expression=q.by_type("received"), unit=p.MONEY, decimals=8, width=150),
        Column("Paid", expression=q.by_type("paid"), unit=p.MONEY, decimals=8, width=150),
    ],
    sort=[("Account", False), ("Type", False)],
    no_value=_ABSENT,
)

_READING: Final = table_panel(
    "How income is read",
    """
    One row per account whose income is enabled. Age is the time since the last complete read began. Incomplete is
    how often the sums were found to differ from the exchange's records since the start of the exporter. Since is the
    start of the day or month that the counters sum over.
    """,
    [
        Column("Account", "account"),
        Column("Age", expression=q.read_age(), unit=p.SECONDS, decimals=0, steps=p.INCOME_AGE, width=100),
        Column("Interval", expression=max_by("income_interval_seconds"), unit=p.SECONDS, width=90),
        Column("Failed reads", expression=q.failed_reads(), decimals=0, steps=p.WARNING_FROM_ONE, width=110),
        Column(
            "Incomplete", expression=max_by("income_incomplete_total"), decimals=0, steps=p.WARNING_FROM_ONE, width=100
        ),
        Column(
            "Since",
            expression=f"1000 * {max_by('income_since_timestamp_seconds')}",
            unit="dateTimeAsIso",
            width=170,
        ),
    ],
    sort=[("Age", True)],
    no_value="Income is not enabled",
)


def results_dashboard() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Results",
        "What accounts earned and paid: realized PnL, funding, fees and net, by day, week, month, account and symbol.",
        variables("account", "asset", "symbol", all_selected=["account", "asset", "symbol"]),
        [
            PanelRow(4, _TODAY, widths=(5, 5, 5, 6, 3)),
            PanelRow(4, _MONTH, widths=(5, 5, 5, 6, 3)),
            PanelRow(10, _CUMULATIVE),
            PanelRow(8, [_BY_ACCOUNT]),
            PanelRow(8, _BY_DAY),
            PanelRow(8, _BY_WEEK),
            PanelRow(8, _BY_MONTH),
            PanelRow(8, [_BY_SYMBOL]),
            PanelRow(7, [FUNDING]),
            PanelRow(9, [_BY_TYPE, _READING]),
        ],
        shows="30d",
        refresh="5m",
        timezone="utc",
    )
