"""Stat panels that several dashboards show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat


def accounts_at_risk() -> stat.Panel:
    """Return the number of selected accounts at each risk but normal."""
    levels = ((3, "critical", p.RED_FROM_ONE), (2, "unknown", p.UNKNOWN_FROM_ONE), (1, "warning", p.WARNING_FROM_ONE))
    return p.stat_panel(
        "Accounts at risk",
        """
        Accounts whose risk is critical, unknown or warning, by the default thresholds of the alerting rules. Accounts
        that are down are unknown, unless the last data that is still shown is critical.
        """,
        *(p.Query(f"sum({q.account_risk()} == bool {number})", level, steps) for number, level, steps in levels),
        no_value="none known",
        text_mode=p.VALUE_AND_NAME,
    )


def risk() -> stat.Panel:
    """Return the risk of the selected accounts, the worst of them."""
    return p.stat_panel(
        "Risk",
        """
        The worst risk of all positions, by the default thresholds of the alerting rules. It is unknown if the account
        is down or the data of a position is missing. If several accounts are selected, the worst of them is shown.
        """,
        p.Query(f"max({q.account_risk()})"),
        mappings=p.RISK_TEXTS,
        no_value="not polled",
    )


def worst_margin_ratio(description: str) -> stat.Panel:
    """Return the highest margin ratio of the selected accounts."""
    return p.stat_panel(
        "Worst margin ratio",
        description,
        p.Query(f"max({q.margin_ratio()})"),
        unit=p.PERCENT,
        decimals=1,
        steps=p.MARGIN_RATIO,
        mappings=p.RATIO_TEXTS,
        no_value="unknown",
    )


def nearest_liquidation() -> stat.Panel:
    """Return the shortest distance to liquidation of the selected accounts."""
    return p.stat_panel(
        "Nearest liquidation",
        """
        The shortest distance between a position's mark price and Binance's liquidation price, as a percentage of
        the mark price.
        """,
        p.Query(f"min({q.distance('account')})"),
        unit=p.PERCENT,
        decimals=2,
        steps=p.DISTANCE,
        no_value="none known",
    )


def data_age(title: str, description: str) -> stat.Panel:
    """Return the longest time since a successful poll of the selected accounts."""
    return p.stat_panel(
        title,
        description,
        p.Query(f"max({q.age()})"),
        unit=p.SECONDS,
        decimals=0,
        steps=p.DATA_AGE,
        no_value="never polled",
    )


def amount_by_currency(title: str, description: str, metric: str, steps: p.Steps = p.PLAIN) -> stat.Panel:
    """Return an amount of the selected accounts, summed by currency, with its history."""
    return p.stat_panel(
        title,
        description,
        p.Query(q.total_by_currency(metric), "{{currency}}"),
        unit=p.MONEY,
        decimals=2,
        steps=steps,
        no_value="unknown",
        sparkline=True,
        text_mode=p.VALUE_AND_NAME,
    )
