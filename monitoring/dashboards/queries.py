"""The PromQL of the dashboards: raw series of the exporter, so that they work where no recording rule is loaded.

An account that moves from one exporter to another is for a while told by both: every figure is first reduced to one
for each account, by the worse of the two, and only then summed. Money is never summed over different assets.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "binance_futures_"
JOB: Final = 'job=~"$job"'
ACCOUNT: Final = f'{JOB}, account=~"$account"'
POSITION: Final = f'{ACCOUNT}, symbol=~"$symbol"'
PROCESS: Final = f'{JOB}, instance=~"$instance"'

# What makes a position one, and what joins its series to `position_info` of the same exporter.
_ONE: Final = "account, symbol, position_side"
_SAME: Final = f"job, instance, {_ONE}"


def of(metric: str, where: str = ACCOUNT) -> str:
    """Return the selector of one of the exporter's metrics, named without its prefix."""
    return f"{PREFIX}{metric}{{{where}}}"


def one(metric: str, labels: str = "account", where: str = ACCOUNT, *, reduce: str = "max") -> str:
    """Return a metric as one series for each combination of the labels, whoever exports it."""
    return f"{reduce} by ({labels}) ({of(metric, where)})"


def total(metric: str) -> str:
    """Return an account's figure in its currency."""
    return one(f"account_{metric}", "account, currency")


def totals(metric: str) -> str:
    """Return the sum of a figure over the accounts chosen, for each currency."""
    return f"sum by (currency) ({total(metric)})"


def asset(metric: str) -> str:
    """Return an account's figure in an asset, where the account holds any of the asset or owes it."""
    held = " or ".join(
        f"{of(f'asset_{figure}')} != 0" for figure in ("wallet_balance", "unrealized_pnl", "initial_margin")
    )
    return f"{one(f'asset_{metric}', 'account, asset')}\nand on (account, asset) ({held})"


def position(metric: str, where: str = POSITION) -> str:
    """Return a figure of each open position."""
    info = of("position_info", where)
    return f"max by ({_ONE}) ({of(f'position_{metric}', where)} and on ({_SAME}) {info})"


def seven_digits(price: str) -> str:
    """Return prices rounded to seven digits, whatever their size: Binance tells some with eight decimals and more."""
    scale = f"10 ^ (6 - floor(log10({price})))"
    return f"round({price} * {scale}) / {scale}"


def in_margin_asset(metric: str, *, key: str = f"{_ONE}, margin_asset") -> str:
    """Return a money figure of each open position with the asset it is counted in."""
    return (
        f"max by ({key}) (\n"
        f"  {of(f'position_{metric}', POSITION)}\n"
        f"  * on ({_SAME}) group_left (margin_asset) {of('position_info', POSITION)}\n)"
    )


def margin_ratio(where: str = ACCOUNT) -> str:
    """Return the worst margin ratio of each account, over its cross and isolated pools."""
    return f"max by (account) (\n  {of('cross_margin_ratio', where)}\n  or\n  {of('isolated_margin_ratio', where)}\n)"


def position_margin_ratio() -> str:
    """Return the margin ratio of the pool that each open position belongs to."""
    cross = f'{PREFIX}position_info{{{POSITION}, margin_type="cross"}}'
    ratio = f"{PREFIX}cross_margin_ratio{{{ACCOUNT}"
    return (
        f"max by ({_ONE}) (\n"
        f"  {of('isolated_margin_ratio', POSITION)}\n"
        f"  or {cross}\n    * on (job, instance, account, margin_asset) group_left () {ratio}}}\n"
        f'  or {cross}\n    * on (job, instance, account) group_left () {ratio}, margin_asset="USD"}}\n)'
    )


def distance(by: str = _ONE, where: str = ACCOUNT) -> str:
    """Return the way from mark to liquidation price as a part of the mark price, the shortest by labels."""
    mark, liquidation = of("position_mark_price", where), of("position_liquidation_price", where)
    return f"min by ({by}) (\n  abs({mark} - {liquidation})\n  / {mark}\n)"


def distance_or_infinite() -> str:
    """Return the same for every open position: infinite where there is no liquidation price, so that it sorts last."""
    return f"{distance(where=POSITION)}\nor\nmax by ({_ONE}) ({of('position_info', POSITION)}) * +Inf"


def leverage() -> str:
    """Return the leverage in use: the notional over the initial margin of the position without its orders."""
    return (
        f"max by ({_ONE}) (\n"
        f"  abs({of('position_notional', POSITION)})\n"
        f"  / ({of('position_initial_margin', POSITION)} - {of('position_open_order_initial_margin', POSITION)} > 0)\n"
        f"  and on ({_SAME}) {of('position_info', POSITION)}\n)"
    )


def pnl_over_wallet() -> str:
    """Return the unrealized profit and loss of each account as a part of its wallet balance."""
    return f"min by (account) (\n  {of('account_unrealized_pnl')}\n  / ({of('account_wallet_balance')} > 0)\n)"


def age(metric: str = "last_success_timestamp_seconds", labels: str = "account", where: str = ACCOUNT) -> str:
    """Return the seconds since a time that a metric tells."""
    return f"time() - {one(metric, labels, where)}"


def foremost(count: int, expression: str, labels: str, *, ranked_by: str | None = None, least: bool = False) -> str:
    """Keep the series that went furthest within the time shown, those that ended meanwhile too.

    Args:
        count: how many to keep.
        expression: the series, with at least the labels.
        labels: what tells one from another.
        ranked_by: what to rank by, if not the expression itself.
        least: keep those that went lowest.
    """
    keep, extreme = ("bottomk", "min_over_time") if least else ("topk", "max_over_time")
    ranking = f"({ranked_by or expression})[$__range:$__interval] @ end()"
    return f"{expression}\nand on ({labels})\n{keep}({count}, {extreme}({ranking}))"
