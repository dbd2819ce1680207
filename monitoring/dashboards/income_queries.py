"""PromQL of what accounts earned and paid. Amounts in different assets are never added.

Sums of several accounts are made of one series per account, asset, type and symbol, regardless of the exporter. Changes
are taken from the recorded maximum of the counters, which a restart of the exporter does not reset.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

from exporter.rest.income_rows import TRANSFERS
from monitoring.dashboards.queries import ACCOUNT, max_by, series

REALIZED: Final = 'income_type="realized_pnl"'
FUNDING: Final = 'income_type=~"funding_fee|special_funding_fee"'
FEES: Final = 'income_type="commission"'
NET: Final = f'income_type!~"{"|".join(TRANSFERS)}"'

_LABELS: Final = "account, asset, income_type, symbol"
_SELECTED: Final = f'{ACCOUNT}, asset=~"$asset"'
# Not by `symbol`, since that of some income is empty.
OF_SYMBOLS: Final = 'symbol=~"$symbol", symbol!=""'
# The last UTC day of a month; how far behind its start the final sums of the month are still recorded: zeros begin at
# 00:15 UTC of the next day, and are recorded ten minutes later.
_MONTH_ENDS: Final = "day_of_month() == days_in_month()"
_AFTER_MONTH: Final = "offset -1d24m"


def today(kind: str, by: str = "asset", also: str = "") -> str:
    """Return the net amount since 00:00 UTC; `kind` and `also` select types and symbols."""
    return f"sum by ({by}) (\n  min by ({_LABELS}) ({_raw('today', kind, also)})\n)\n{_in_use(kind, by, also)}"


def month_to_date(kind: str, by: str = "asset", also: str = "") -> str:
    """Return the exact net amount since the start of the month, of accounts whose counters sum since then."""
    received, paid = (f"max by ({_LABELS}) ({_raw(f'{name}_total', kind, also)})" for name in ("received", "paid"))
    return (
        f"sum by ({by}) (\n  {received}\n  - {paid}\n  and on (account) {since_month()}\n)\n{_in_use(kind, by, also)}"
    )


def since_month(offset: str = "") -> str:
    """Return the accounts whose counters sum since the first of a month, on that day also those with `since: day`."""
    since = series("income_since_timestamp_seconds")
    return f"day_of_month(max by (account) ({f'{since} {offset}'.strip()})) == 1"


def by_type(amount: str) -> str:
    """Return `received` or `paid`, by account, asset and type, if there is any of the type."""
    total = f"sum by (account, asset, income_type) (max by ({_LABELS}) ({_raw(f'{amount}_total')}))"
    return f"{total}\n{_in_use('', 'account, asset, income_type')}"


def change(kind: str, window: str, at: str, by: str = "asset") -> str:
    """Return the net amount of a window, if it is not 0; `at` is the modifier that moves it, such as `offset -1d`."""
    received, paid = (
        f"max by ({_LABELS}) (increase({_recorded(name, kind)}[{window}] {at}))" for name in ("received", "paid")
    )
    return f"sum by ({by}) (\n  {received}\n  - {paid}\n) != 0"


def months(kind: str) -> str:
    """Return the exact net amount of each month at the start of its last day, if the points are a day apart."""
    received, paid = (f"max by ({_LABELS}) ({_recorded(name, kind)} {_AFTER_MONTH})" for name in ("received", "paid"))
    return (
        f"sum by (asset) (\n  {received}\n  - {paid}\n  and on (account) {since_month(_AFTER_MONTH)}\n) != 0\n"
        f"and on () {_MONTH_ENDS}"
    )


def by_day(kind: str, by: str = "asset") -> str:
    """Return the net amount of the UTC day that each point begins, if it is not 0 and the points are a day apart."""
    return change(kind, "1d", "offset -1d", by)


def cumulative(kind: str, by: str = "asset") -> str:
    """Return the sum of the amounts by day since the start of the time range, if the points are a day apart."""
    daily = f"{by_day(kind, by)}\nand on () vector(time()) >= $__from / 1000"
    return f"sum_over_time((\n{indent(daily, '  ')}\n)[$__range:1d])"


def greatest_change(count: int, kind: str) -> str:
    """Return, for each asset, the accounts with the greatest change within the time range, up or down."""
    changes = change(kind, "$__range", "@ end()", "account, asset")
    return f"topk by (asset) ({count}, abs(\n{indent(changes, '  ')}\n))"


def unread() -> str:
    """Return the number of accounts whose income is configured but absent."""
    configured = max_by("income_interval_seconds")
    return f"count({configured} unless on (account) {series('income_today')})\nor\nsum(0 * {configured})"


def since_day() -> str:
    """Return the number of accounts that are not in the month to date, because their counters sum since the day."""
    return f"sum(day_of_month({max_by('income_since_timestamp_seconds')}) != bool 1)"


def read_age() -> str:
    """Return the seconds since the last complete read of each account's income began."""
    return f"time() - {max_by('income_read_until_timestamp_seconds')}"


def failed_reads() -> str:
    """Return how many reads of each account's income failed within the time range."""
    return f"sum by (account) (increase({series('income_poll_failures_total')}[$__range]))"


def _raw(name: str, *selectors: str) -> str:
    return series(f"income_{name}", ", ".join(filter(None, (_SELECTED, *selectors))))


def _recorded(name: str, *selectors: str) -> str:
    selector = ", ".join(filter(None, (_SELECTED, *selectors)))
    return f"account:binance_futures_income_{name}:max{{{selector}}}"


def _in_use(kind: str, by: str, also: str = "") -> str:
    """Return the condition that there is any amount, today or this month; else there would be zeros for every asset."""
    amounts = "\n  or ".join(f"{_raw(name, kind, also)} != 0" for name in ("received_total", "paid_total", "today"))
    return f"and on ({by}) (\n  {amounts}\n)"
