"""PromQL of the dashboards. It uses only the exporter's series, so that dashboards need no recording rules.

What accounts earned and paid is in `income_queries`, which does need them.

While an account moves from one exporter to another, both expose it. Every metric is therefore reduced to one series per
account, the worse of the two, before it is summed. Amounts in different assets are never added.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

from monitoring import promql
from monitoring.promql import Labels
from monitoring.thresholds import VALUES

JOB: Final = 'job=~"$job"'
ACCOUNT: Final = f'{JOB}, account=~"$account"'
POSITION: Final = f'{ACCOUNT}, symbol=~"$symbol"'
PROCESS: Final = f'{JOB}, instance=~"$instance"'

LABELS: Final = Labels(exporter="job, instance", account="account")


def series(metric: str, selector: str = ACCOUNT) -> str:
    """Return the selected series of a metric, named without its prefix."""
    return promql.series(metric, selector)


def max_by(metric: str, labels: str = "account", selector: str = ACCOUNT) -> str:
    """Return a metric as one series per combination of labels, regardless of the exporter."""
    return f"max by ({labels}) ({series(metric, selector)})"


def account_total(metric: str) -> str:
    """Return an amount of each account in its currency."""
    return max_by(f"account_{metric}", "account, currency")


def total_by_currency(metric: str) -> str:
    """Return the sum of an amount over the selected accounts, by currency."""
    return f"sum by (currency) ({account_total(metric)})"


def asset(metric: str) -> str:
    """Return an amount of each account and asset, if the account holds, owes or uses the asset."""
    held = " or ".join(
        f"{series(f'asset_{amount}')} != 0" for amount in ("wallet_balance", "unrealized_pnl", "initial_margin")
    )
    return f"{max_by(f'asset_{metric}', 'account, asset')}\nand on (account, asset) ({held})"


def position(metric: str) -> str:
    """Return a metric of each open position."""
    value, info = series(f"position_{metric}", POSITION), series("position_info", POSITION)
    return f"max by ({LABELS.position}) ({value} and on ({LABELS.exporter_position}) {info})"


def seven_digits(price: str) -> str:
    """Return prices rounded to seven significant digits; Binance reports some with eight or more decimals."""
    scale = f"10 ^ (6 - floor(log10({price})))"
    return f"round({price} * {scale}) / {scale}"


def in_margin_asset(metric: str) -> str:
    """Return an amount of each open position with its margin asset."""
    return promql.in_margin_asset(f"position_{metric}", LABELS, POSITION)


def margin_ratio() -> str:
    """Return the highest margin ratio of each account, over its cross and isolated pools."""
    return f"max by (account) (\n{indent(promql.pool_margin_ratio(LABELS, ACCOUNT), '  ')}\n)"


def position_margin_ratio() -> str:
    """Return the margin ratio of the pool that each open position belongs to."""
    return promql.position_margin_ratio(LABELS, POSITION, accounts=ACCOUNT)


def distance(by: str = LABELS.position, selector: str = ACCOUNT) -> str:
    """Return the shortest distance between mark price and liquidation price, as a fraction of the mark price."""
    return promql.liquidation_distance(by, selector)


def distance_or_infinite() -> str:
    """Return the distance of every open position; infinite without a liquidation price, so that it sorts last.

    The entry price is missing if it is unknown whether there is a liquidation price.
    """
    return f"{distance(selector=POSITION)}\nor\n{max_by('position_entry_price', LABELS.position, POSITION)} * +Inf"


def position_risk(selector: str = POSITION) -> str:
    """Return the risk of each open position, as `assess` does: 0 normal, 1 warning, 2 unknown, 3 critical."""
    ratio = f"(\n{_indented(promql.position_margin_ratio(LABELS, selector, accounts=ACCOUNT))}\n)"
    opened, shortest = promql.open_positions(LABELS, selector), distance(selector=selector)
    near = f"{shortest} < {VALUES['liquidation_distance_warning']}"

    def ratio_limit(if_near: str, otherwise: str) -> str:
        return f"(\n{_indented(f'0 * ({near}) {if_near}')}\n  or\n  0 * ({opened}) + {otherwise}\n)"

    # Limits by position, so that the long expression of the ratio is needed only once for each.
    critical = ratio_limit(f"+ {VALUES['liquidation_margin_ratio']}", VALUES["margin_ratio_critical"])
    # Near liquidation, any margin ratio is a warning.
    warning = ratio_limit("- 1", VALUES["margin_ratio_warning"])
    prices = " and ".join(series(f"position_{price}", selector) for price in ("mark_price", "entry_price"))
    return (
        f"3 * group by ({LABELS.position}) (\n"
        f"{_indented(f'{ratio} > {critical}')}\n"
        f"  or\n"
        f"{_indented(shortest)} < {VALUES['liquidation_distance_critical']}\n"
        f")\n"
        f"or\n"
        f"(\n"
        f"{_indented(f'{ratio} > bool {warning}')}\n"
        # The entry price is missing if the distance is unknown. It is not expected without `v2/account.position`.
        f"  unless on ({LABELS.position})\n"
        f"  (\n"
        f"    {opened}\n"
        f"    and on (account) {series('position_risk_missing')}\n"
        f"    unless max by ({LABELS.position}) ({prices})\n"
        f"  )\n"
        f")\n"
        f"or\n"
        f"2 * group by ({LABELS.position}) ({opened})"
    )


def account_risk() -> str:
    """Return the risk of each account, the worst of its positions, as numbers like those of `position_risk`.

    If the last poll failed, only what is critical is known, as in the recorded risk level.
    """
    return (
        f"max by (account) (\n"
        f"{_indented(position_risk(ACCOUNT))}\n"
        f"  or\n"
        f"  2 * group by (account) (\n"
        f"    {max_by('up')} == 0\n"
        f"    or\n"
        f"    {max_by('up')} unless {max_by('account_open_positions')}\n"
        f"    or\n"
        f"{_indented(promql.assets_without_margin_ratio(LABELS, ACCOUNT), 4)}\n"
        f"  )\n"
        f"  or\n"
        f"  0 * {max_by('up')}\n"
        f")"
    )


_ENDPOINT: Final = f"{LABELS.exporter}, endpoint"


def _with_endpoint(amount: str, asset_mode: str = "") -> str:
    """Return series of accounts with the label of their endpoint, which funding and prices have."""
    info = promql.series("account_info", ACCOUNT, asset_mode)
    key = f"{LABELS.exporter_account}, endpoint"
    return f"{amount}\n* on ({LABELS.exporter_account}) group_left (endpoint)\nmax by ({key}) ({info})"


def funding(metric: str) -> str:
    """Return a metric of funding for each open position."""
    size = f"abs(sgn({series('position_amount', POSITION)} != 0))"
    return _funding(size, series(f"funding_{metric}", JOB), "max")


def funding_due() -> str:
    """Return the seconds until the next funding of each open position."""
    return f"clamp_min(\n{_indented(funding('next_timestamp_seconds'))}\n  - time(),\n0)"


def funding_amount() -> str:
    """Return what each open position receives at the next funding, with its margin asset; negative if it pays."""
    key = f"{LABELS.exporter_position}, margin_asset"
    notional = (
        f"-{series('position_notional', POSITION)}\n"
        f"* on ({LABELS.exporter_position}) group_left (margin_asset)\n"
        f"max by ({key}) ({series('position_info', POSITION)})"
    )
    return _funding(notional, series("funding_rate", JOB), "min", f"{LABELS.position}, margin_asset")


def _funding(position_value: str, funding_value: str, aggregate: str, labels: str = LABELS.position) -> str:
    return (
        f"{aggregate} by ({labels}) (\n"
        f"{_indented(_with_endpoint(position_value))}\n"
        f"  * on ({_ENDPOINT}, symbol) group_left ()\n"
        f"  max by ({_ENDPOINT}, symbol) ({funding_value})\n"
        f")"
    )


def equity_in_usd() -> str:
    """Return the equity of each account in USD; absent if the price of an asset that it holds is unknown."""
    held = f"{series('asset_margin_balance')} != 0"
    single, multi = 'asset_mode="single"', f'{ACCOUNT}, currency="USD"'
    priced = (
        f"{_with_endpoint(f'({held})', single)}\n"
        f"* on ({_ENDPOINT}, asset) group_left ()\n"
        f"max by ({_ENDPOINT}, asset) ({series('asset_index_price', JOB)})"
    )
    return (
        f"min by (account) (\n"
        f"  {series('account_margin_balance', multi)}\n"
        f"  or on ({LABELS.exporter_account})\n"
        f"  sum by ({LABELS.exporter_account}) (\n"
        f"{_indented(priced, 4)}\n"
        f"    or on ({LABELS.exporter_account}, asset)\n"
        f"    {series('asset_margin_balance')} == 0\n"
        f"  )\n"
        f"  unless on ({LABELS.exporter_account}) (\n"
        f"    {held}\n"
        f"    unless on ({LABELS.exporter_account}, asset)\n"
        f"{_indented(priced, 4)}\n"
        f"  )\n"
        f")"
    )


def leverage() -> str:
    """Return the leverage in use of each open position."""
    return promql.leverage(LABELS, POSITION)


def pnl_over_wallet() -> str:
    """Return the unrealized profit and loss of each account as a fraction of its wallet balance."""
    return f"min by (account) (\n  {series('account_unrealized_pnl')}\n  / ({series('account_wallet_balance')} > 0)\n)"


def age() -> str:
    """Return the seconds since the last successful poll of each account."""
    return promql.data_age("account", ACCOUNT)


def top(count: int, expression: str, labels: str, *, ranked_by: str = "", lowest: bool = False) -> str:
    """Return the series with the highest values within the time range, including series that ended within it.

    Args:
        count: how many to return.
        expression: the series, with at least the labels.
        labels: the labels that identify a series.
        ranked_by: the expression to rank by; by default the series themselves.
        lowest: return the series with the lowest values instead.
    """
    keep, extreme = ("bottomk", "min_over_time") if lowest else ("topk", "max_over_time")
    ranking = f"({ranked_by or expression})[$__range:$__interval] @ end()"
    return f"{expression}\nand on ({labels})\n{keep}({count}, {extreme}({ranking}))"


def _indented(expression: str, spaces: int = 2) -> str:
    return indent(expression, " " * spaces)
