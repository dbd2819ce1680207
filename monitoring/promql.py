"""PromQL shared by recording rules and dashboards.

Rules and dashboards differ in the series that they select and in the labels that identify an account. Two exporters may
expose an account while it moves from one to the other. Series are therefore joined within each exporter first; then the
worse of the two values is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

PREFIX = "binance_futures_"


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that identify an exporter and an account, for `by (…)` and `on (…)`."""

    exporter: str
    account: str

    @property
    def exporter_account(self) -> str:
        """The labels of an account in one exporter's series."""
        return f"{self.exporter}, account"

    @property
    def exporter_position(self) -> str:
        """The labels of a position in one exporter's series."""
        return f"{self.exporter_account}, symbol, position_side"

    @property
    def pool(self) -> str:
        """The labels of a cross margin pool."""
        return f"{self.account}, margin_asset"

    @property
    def position(self) -> str:
        """The labels of a position, which are also those of an isolated margin pool."""
        return f"{self.account}, symbol, position_side"


def block(text: str) -> str:
    """Return an expression without the common indentation of its lines."""
    return dedent(text).strip()


def series(metric: str, *selectors: str) -> str:
    """Return a metric, named without its prefix, with selectors such as `job="x", account="y"`."""
    selector = ", ".join(filter(None, selectors))
    return f"{PREFIX}{metric}{{{selector}}}" if selector else f"{PREFIX}{metric}"


def data_age(by: str, selector: str = "") -> str:
    """Return the seconds since the last successful poll."""
    return f"time() - max by ({by}) ({series('last_success_timestamp_seconds', selector)})"


def pool_margin_ratio(labels: Labels, selector: str = "") -> str:
    """Return the margin ratio of each cross pool, by margin asset, and of each isolated position."""
    return block(f"""
        max by ({labels.pool}) ({series("cross_margin_ratio", selector)})
        or
        max by ({labels.position}) ({series("isolated_margin_ratio", selector)})
    """)


def open_positions(labels: Labels, selector: str = "") -> str:
    """Return the size of each open position, without its sign."""
    return f"max by ({labels.position}) (abs({series('position_amount', selector)})) > 0"


def position_margin_ratio(labels: Labels, selector: str = "", *, accounts: str = "") -> str:
    """Return the margin ratio of the pool that each open position belongs to.

    Args:
        labels: the labels to join and aggregate by.
        selector: the selector for series of positions.
        accounts: the selector for series of accounts.
    """
    info, amount = series("position_info", selector), series("position_amount", selector)
    cross_position = series("position_info", selector, 'margin_type="cross"')
    pool, usd_pool = (
        series("cross_margin_ratio", accounts),
        series("cross_margin_ratio", accounts, 'margin_asset="USD"'),
    )
    of_account, of_pool = labels.exporter_account, f"{labels.exporter_account}, margin_asset"
    return (
        f"max by ({labels.position}) ({series('isolated_margin_ratio', selector)})\n"
        "or\n"
        f"max by ({labels.position}) (\n"
        f"  {cross_position}\n"
        f"  * on ({of_pool}) group_left ()\n"
        f"  max by ({of_pool}) ({pool})\n"
        ")\n"
        "or\n"
        f"max by ({labels.position}) (\n"
        # In multi-assets mode there is one pool, also for positions whose margin asset is unknown.
        f"  (\n"
        f"    {cross_position}\n"
        f"    or on ({labels.exporter_position})\n"
        f"    abs(sgn({amount} != 0))\n"
        f"    unless on ({labels.exporter_position}) {info}\n"
        f"  )\n"
        f"  * on ({of_account}) group_left ()\n"
        f"  max by ({of_account}) ({usd_pool})\n"
        ")"
    )


def assets_without_margin_ratio(labels: Labels, selector: str = "") -> str:
    """Return the maintenance margin of each asset for which the margin ratio of cross positions is unknown."""
    return block(f"""
        max by ({labels.pool}) (
          label_join({series("asset_maintenance_margin", selector)} > 0, "margin_asset", "", "asset")
        )
        unless
        max by ({labels.pool}) ({series("cross_margin_ratio", selector)})
        unless on ({labels.account})
        max by ({labels.account}) ({series("cross_margin_ratio", selector, 'margin_asset="USD"')})
    """)


def liquidation_distance(by: str, selector: str = "") -> str:
    """Return the shortest distance between mark price and liquidation price, as a fraction of the mark price."""
    mark = series("position_mark_price", selector)
    return block(f"""
        min by ({by}) (
          abs({mark} - {series("position_liquidation_price", selector)})
          / {mark}
        )
    """)


def in_margin_asset(metric: str, labels: Labels, selector: str = "") -> str:
    """Return a monetary metric of each position with a `margin_asset` label; orders without a position are left out."""
    key = f"{labels.exporter_position}, margin_asset"
    return block(f"""
        max by ({labels.position}, margin_asset) (
          {series(metric, selector)}
          * on ({labels.exporter_position}) group_left (margin_asset)
          max by ({key}) ({series("position_info", selector)})
        )
    """)


def leverage(labels: Labels, selector: str = "") -> str:
    """Return the leverage in use: notional divided by the position's initial margin, open orders excluded."""
    position_margin = series("position_initial_margin", selector)
    order_margin = series("position_open_order_initial_margin", selector)
    return block(f"""
        max by ({labels.position}) (
          abs({series("position_notional", selector)})
          / ({position_margin} - {order_margin} > 0)
          and on ({labels.exporter_position}) {series("position_info", selector)}
        )
    """)
