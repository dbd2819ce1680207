"""Alerts on the monitoring itself: the exporter, the polls of its accounts, and the connection to each endpoint."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from exporter.rest.requests import MONEY_PERMISSIONS
from monitoring.promql import block
from monitoring.rules.income import reading_alerts
from monitoring.rules.rule import (
    ACCOUNT,
    ENDPOINT,
    EXPECTED,
    HOLD,
    INSTANCE,
    JOB,
    LABELS,
    RECENT,
    SCOPE,
    Alert,
    RuleGroup,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# Trading is not included, because the futures API may require that permission.
_MOVES_MONEY: Final = "|".join(MONEY_PERMISSIONS)
_IP: Final = "the IP that {{ $labels.instance }} uses for {{ $labels.endpoint }}"


def health(threshold: Mapping[str, str], job: str = JOB) -> RuleGroup:
    """Return the alerts; `threshold` maps the name of each threshold to its text in the expressions."""
    return RuleGroup(
        "binance-futures-health",
        (
            *_exporter_alerts(threshold, job),
            *_account_alerts(threshold),
            *reading_alerts(threshold),
            *_endpoint_alerts(threshold),
        ),
    )


def _failing(up: str, threshold: Mapping[str, str]) -> str:
    """Return the condition of a series of 1 and 0: 0 now, or repeatedly and too often.

    A single success among failures does not end it. A series younger than the window is judged by its current value
    only, because a failure at its start would be a large part of its few samples.
    """
    return block(f"""
        {up} == 0
        or
        (
          avg_over_time({up}[{HOLD}]) < {threshold["success"]}
          and
          min_over_time({up}[{RECENT}]) == 0
          and
          last_over_time({up}[5m] offset {HOLD})
        )
    """)


def _exporter_alerts(threshold: Mapping[str, str], job: str) -> tuple[Alert, ...]:
    return (
        # Identified by the job name, which is all that is left when there is no target, and in addition every exporter
        # that was scraped under another job name.
        Alert(
            "BinanceFuturesExporterDown",
            "critical",
            f'max by ({INSTANCE}) (up{{job="{job}"}}) == 0\nor\n'
            + _failing("instance:binance_futures_exporter_up:max", threshold)
            + f'\nor\nabsent(up{{job="{job}"}})',
            "5m",
            "The exporter cannot be scraped",
            "Prometheus {{ if $labels.instance }}cannot scrape {{ $labels.instance }}{{ else }}has no target{{ end }} "
            "(job {{ $labels.job }}). The accounts that it polls are not monitored.",
        ),
        # A shard that was never started has no target that could be down.
        Alert(
            "BinanceFuturesShardMissing",
            "critical",
            block(f"""
                count by ({SCOPE}) (
                  count_values by ({SCOPE}) ("shard", last_over_time(binance_futures_exporter_shard_index[5m]))
                )
                <
                max by ({SCOPE}) (last_over_time(binance_futures_exporter_shards[5m]))
                or
                min by ({SCOPE}) (last_over_time(binance_futures_exporter_shards[5m]))
                <
                max by ({SCOPE}) (last_over_time(binance_futures_exporter_shards[5m]))
            """),
            "10m",
            "A shard of the exporter is missing",
            "Prometheus scrapes fewer shards than the exporters' --total-shards, or these differ (job "
            "{{ $labels.job }}). The accounts of missing shards are not monitored.",
        ),
        Alert(
            "BinanceFuturesReloadFailed",
            "warning",
            f"max by ({INSTANCE}) (binance_futures_exporter_config_last_reload_successful) == 0",
            "5m",
            "Configuration reload failed",
            "{{ $labels.instance }} could not load its configuration and keeps using the previous one.",
        ),
    )


def _account_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    # An account that disappeared, with the shard that polled it or by a configuration mistake, is down as well. A
    # target that cannot be scraped has its own alert. An account that has never been polled gets five more minutes,
    # because the first round over many accounts takes a while.
    each_account = LABELS.exporter_account
    down = block("""
        %s
        or
        (
          last_over_time(account:binance_futures_up:max[1h])
          unless
          account:binance_futures_up:max
          unless on (%s)
          min by (%s) (up) == 0
        )
        or
        max by (%s) (
          binance_futures_account_info offset 5m
          unless on (%s)
          last_over_time(binance_futures_up[5m])
          unless on (%s)
          up == 0
        )
    """) % (_failing("account:binance_futures_up:max", threshold), SCOPE, SCOPE, ACCOUNT, each_account, INSTANCE)
    return (
        Alert(
            "BinanceFuturesAccountDown",
            "critical",
            f"(\n{indent(down, '  ')}\n)\n"
            f"and\nlast_over_time(account:binance_futures_open_positions:max[{EXPECTED}]) > 0",
            "15m",
            "An account with open positions cannot be polled",
            "Polls of account {{ $labels.account }}, which had open positions, are failing. Its series are dropped, "
            "and alerts on its margin, positions and balances cannot fire.",
        ),
        Alert(
            "BinanceFuturesAccountDown",
            "warning",
            down,
            "5m",
            "An account cannot be polled",
            "Polls of account {{ $labels.account }} are failing or have not started. Alerts on its margin, positions "
            "and balances cannot fire.",
        ),
        Alert(
            "BinanceFuturesDataStale",
            "warning",
            block(f"""
                account:binance_futures_data_age_seconds:min
                > on ({ACCOUNT})
                max by ({ACCOUNT}) (binance_futures_stale_after_seconds)
            """),
            "5m",
            "An account's data has expired",
            "The last successful poll of account {{ $labels.account }} was {{ $value | humanizeDuration }} ago.",
        ),
        # Rejected keys are retried after at most five minutes, and every poll until then counts as refused, too. The
        # last value of `up` is used because a restart of the exporter would interrupt `up == 0`. Calculated for each
        # exporter: if two poll an account, each with its own key, only one of them may be rejected.
        Alert(
            "BinanceFuturesKeyRefused",
            "warning",
            block(f"""
                max by ({ACCOUNT}) (
                  max by ({each_account}) (increase(binance_futures_poll_failures_total{{reason="refused"}}[15m]))
                  > {threshold["refused_polls"]} * max by ({each_account}) (increase(binance_futures_polls_total[15m]))
                  and
                  max by ({each_account}) (last_over_time(binance_futures_up[5m])) == 0
                )
            """),
            "10m",
            "The exchange rejects an account's API key",
            "The exchange rejects the API key of account {{ $labels.account }}: "
            '{{ $value | printf "%.0f" }} polls were rejected, or skipped until the next retry, in 15 minutes.',
        ),
        _key_unsafe(),
    )


def _key_unsafe() -> Alert:
    """Return the alert on what a key that only monitors should not be able to do; it needs `key_check`.

    The last value is used because a restarted exporter does not know it until it has asked the exchange.
    """
    return Alert(
        "BinanceFuturesKeyUnsafe",
        "warning",
        block(f"""
            max by ({ACCOUNT}, permission) (
              last_over_time(binance_futures_key_permission{{permission=~"{_MOVES_MONEY}"}}[{HOLD}])
            ) == 1
            or
            min by ({ACCOUNT}) (last_over_time(binance_futures_key_ip_restricted[{HOLD}])) == 0
        """),
        "5m",
        "An account's API key can move money or be used from any IP",
        "The API key of account {{ $labels.account }} {{ if $labels.permission }}has the permission "
        "{{ $labels.permission }}, which monitoring does not need{{ else }}is not restricted to trusted IPs{{ end }}.",
    )


def _endpoint_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    # There is a gap of a scrape or two between consecutive pauses. A ban is that of the IP, whichever API reports it.
    def paused(metric: str, reason: str) -> str:
        return f'max by ({ENDPOINT}, reason) (max_over_time({metric}{{reason="{reason}"}}[{RECENT}])) == 1'

    return (
        Alert(
            "BinanceFuturesPaused",
            "critical",
            paused("binance_futures_paused", "banned") + "\nor\n" + paused("binance_futures_rest_paused", "banned"),
            "0s",
            "The exchange has banned an IP",
            f"The exchange has banned {_IP}. Every other program behind the IP, such as a trading bot, is banned as "
            "well.",
        ),
        Alert(
            "BinanceFuturesPaused",
            "warning",
            paused("binance_futures_paused", "rate_limited"),
            "5m",
            "The exchange is rate limiting an IP",
            f"The exchange is rate limiting {_IP}. The exporter sends no requests until the limit ends.",
        ),
        # The gauge restarts every minute and is absent until a response within that minute reports it.
        Alert(
            "BinanceFuturesRequestWeightHigh",
            "warning",
            block(f"""
                max by ({ENDPOINT}) (
                  max_over_time(binance_futures_request_weight_used[{RECENT}]) / binance_futures_request_weight_limit
                ) > {threshold["request_weight"]}
            """),
            "5m",
            "The request weight of an IP is nearly used up",
            f"Programs behind {_IP} use {{{{ $value | humanizePercentage }}}} of the WebSocket API's request weight "
            "per minute.",
        ),
        Alert(
            "BinanceFuturesClockOff",
            "warning",
            f"max by ({ENDPOINT}) (abs(binance_futures_clock_offset_seconds)) > {threshold['clock_offset_seconds']}",
            "5m",
            "The clocks of host and exchange differ",
            "The clocks of {{ $labels.instance }} and {{ $labels.endpoint }} differ by "
            "{{ $value | humanizeDuration }}.",
        ),
        # Every connection except a planned replacement follows one that broke. Failed attempts are not counted,
        # because a single outage causes many. Rounded, because `increase` extrapolates to the ends of its window, which
        # turns five into slightly more than five.
        Alert(
            "BinanceFuturesConnectionUnstable",
            "warning",
            block(f"""
                round(
                  sum by ({ENDPOINT}) (increase(binance_futures_connections_total[30m]))
                  - sum by ({ENDPOINT}) (
                    increase(binance_futures_disconnections_total{{reason=~"rotation|shutdown"}}[30m])
                  )
                ) > {threshold["connection_losses"]}
            """),
            "5m",
            "Connections to the exchange keep breaking",
            "Connections from {{ $labels.instance }} to {{ $labels.endpoint }} broke "
            '{{ $value | printf "%.0f" }} times in 30 minutes.',
        ),
    )
