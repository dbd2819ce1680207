"""Recordings and alerts of what accounts earned and paid; they need `income`, which is off by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.rest.income_rows import TRANSFERS
from monitoring.promql import block
from monitoring.rules.rule import ACCOUNT, COINS, DOLLARS, Alert, Recording

if TYPE_CHECKING:
    from collections.abc import Mapping

NET_TODAY: Final = "account_asset:binance_futures_net_income_today:sum"

# With `by_symbol`, a maximum without the symbol would be that of the largest one.
_LABELS: Final = f"{ACCOUNT}, asset, income_type, symbol"
# The first read of many accounts takes an hour or longer.
_FIRST_READ: Final = "2h"
# How long the day's result is held. The alert that the income is not read fires before that, so that an alert on a loss
# never resolves unnoticed.
_HELD: Final = "3h"


def _counter(name: str) -> Recording:
    """Record a counter across restarts: neither a pod's new `instance` nor a redundant exporter is a reset.

    The zeros at the turn of a month last 15 minutes, of which 5 remain visible.
    """
    return Recording(
        f"account:binance_futures_income_{name}:max",
        f"max by ({_LABELS}) (max_over_time(binance_futures_income_{name}_total[10m]))",
    )


def _net_today() -> Recording:
    """Record the day's profit or loss, or the last one while the account's income is absent.

    It is absent after a restart until it has been read again, and once it is too old.
    """
    today = f'binance_futures_income_today{{income_type!~"{"|".join(TRANSFERS)}"}}'
    return Recording(
        NET_TODAY,
        block(f"""
            sum by ({ACCOUNT}, asset) (
              min by ({_LABELS}) ({today})
            )
            or
            (
              sum by ({ACCOUNT}, asset) (
                min by ({_LABELS}) (last_over_time({today}[{_HELD}]))
              )
              unless on ({ACCOUNT})
              binance_futures_income_today
            )
        """),
    )


INCOME: Final = (_counter("received"), _counter("paid"), _net_today())


def reading_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    """Return the alerts on income that is not read, or not completely."""
    interval, read_until, incomplete = (
        f"binance_futures_income_{name}"
        for name in ("interval_seconds", "read_until_timestamp_seconds", "incomplete_total")
    )
    return (
        Alert(
            "BinanceFuturesIncomeNotRead",
            "warning",
            block(f"""
                time() - max by ({ACCOUNT}) ({read_until})
                >
                clamp_min(2 * max by ({ACCOUNT}) ({interval}), {threshold["income_age_seconds"]})
                or
                (
                  max by ({ACCOUNT}) ({interval})
                  and
                  max by ({ACCOUNT}) ({interval} offset {_FIRST_READ})
                  unless
                  max by ({ACCOUNT}) (last_over_time({read_until}[{_FIRST_READ}]))
                )
            """),
            "5m",
            "An account's income is not read",
            "The income of account {{ $labels.account }} has not been read for too long. Its results are old or "
            "missing, and alerts on its losses may not fire.",
        ),
        # The second part is for an exporter that found rows missing before it was first scraped.
        Alert(
            "BinanceFuturesIncomeIncomplete",
            "warning",
            block(f"""
                max by ({ACCOUNT}) (
                  increase({incomplete}[1d]) > 0
                  or
                  ({incomplete} > 0 unless {incomplete} offset 1d)
                )
            """),
            "0s",
            "An account's income is incomplete",
            "Within the last day, the sums of the income of account {{ $labels.account }} were found to differ from "
            "the exchange's records. Its results may be wrong.",
        ),
    )


def loss_alert(threshold: Mapping[str, str]) -> Alert:
    """Return the alert on the loss of a day; an asset's threshold of 0, the default, turns it off for the asset."""

    def beyond(selector: str, name: str) -> str:
        limit = threshold[name]
        return f"-{NET_TODAY}{{{selector}}} > {limit} and on () vector({limit}) > 0"

    return Alert(
        "BinanceFuturesDailyLossHigh",
        "warning",
        "\nor\n".join(
            (
                beyond(f'asset=~"{DOLLARS}"', "daily_loss_usd"),
                beyond(f'asset=~"{COINS}"', "daily_loss_btc"),
                beyond(f'asset!~"{DOLLARS}|{COINS}"', "daily_loss_other"),
            )
        ),
        "1m",
        "An account has lost more than allowed today",
        'Since 00:00 UTC, account {{ $labels.account }} has lost {{ $value | printf "%.8g" }} {{ $labels.asset }}, '
        "funding and fees included.",
    )
