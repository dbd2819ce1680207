"""The alerts on the monitoring itself: the exporter, the polls of its accounts, and the connection to each endpoint."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from monitoring.promql import block
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
    Group,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_IP: Final = "the IP from which {{ $labels.instance }} asks {{ $labels.endpoint }}"


def health(threshold: Mapping[str, str], job: str = JOB) -> Group:
    """Return the alerts; `threshold` maps the name of each threshold to its text in the expressions."""
    return Group(
        "binance-futures-health",
        (*_exporter_alerts(threshold, job), *_account_alerts(threshold), *_endpoint_alerts(threshold)),
    )


def _failing(up: str, threshold: Mapping[str, str]) -> str:
    """Return the condition of a series of 1 and 0: 0 now, or repeatedly and too often.

    A single success among failures does not end it. A series younger than the window is judged by its current value
    only, because its first failures would be a large part of its few samples.
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
        # By the job's name, which is all that is left once nothing is scraped; and every other exporter ever scraped.
        Alert(
            "BinanceFuturesExporterDown",
            "critical",
            f'max by ({INSTANCE}) (up{{job="{job}"}}) == 0\nor\n'
            + _failing("instance:binance_futures_exporter_up:max", threshold)
            + f'\nor\nabsent(up{{job="{job}"}})',
            "5m",
            "The exporter cannot be scraped",
            "{{ if $labels.instance }}Scrapes of {{ $labels.instance }} fail{{ else }}Prometheus finds no target"
            "{{ end }} (job {{ $labels.job }}): the accounts it polls are not watched.",
        ),
        Alert(
            "BinanceFuturesReloadFailed",
            "warning",
            f"max by ({INSTANCE}) (binance_futures_exporter_config_last_reload_successful) == 0",
            "5m",
            "The exporter's configuration was not taken over",
            "The configuration that {{ $labels.instance }} read last is faulty: it goes on with the one before.",
        ),
    )


def _account_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    # An account that disappeared, with the shard that polled it or by a configuration mistake, is down as well. A
    # target that cannot be scraped has its own alert. An account that an exporter has never polled gets five more
    # minutes: the first round of many accounts takes a while.
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
            "Polls of account {{ $labels.account }} fail, and it had open positions: its figures vanish, and no alert "
            "on them can fire.",
        ),
        Alert(
            "BinanceFuturesAccountDown",
            "warning",
            down,
            "5m",
            "An account cannot be polled",
            "Polls of account {{ $labels.account }} fail or have never started: no alert on its figures can fire.",
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
            "An account's figures are too old to be shown",
            "The last good answer for account {{ $labels.account }} is {{ $value | humanizeDuration }} old.",
        ),
        # Refused keys are retried after at most five minutes, and every poll until then counts as refused, too. The
        # last value of `up` counts, since a restart of the exporter would interrupt `up == 0`. By exporter: if two poll
        # an account, each with its own key, one of them may be refused.
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
            "The exchange refuses an account's API key",
            "The exchange refuses the key of account {{ $labels.account }}: "
            '{{ $value | printf "%.0f" }} polls were refused or held back for it in 15 minutes.',
        ),
    )


def _endpoint_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    # A pause ends before the next one begins: for a scrape or two there is none.
    paused = f'max by ({ENDPOINT}, reason) (max_over_time(binance_futures_paused{{reason="%s"}}[{RECENT}])) == 1'
    return (
        Alert(
            "BinanceFuturesPaused",
            "critical",
            paused % "banned",
            "0s",
            "The exchange has banned an IP",
            f"The exchange has banned {_IP}: nothing is sent, and any bot behind the same IP is banned as well.",
        ),
        Alert(
            "BinanceFuturesPaused",
            "warning",
            paused % "rate_limited",
            "5m",
            "The exchange has limited an IP's rate",
            f"The exchange has limited the rate of {_IP}: nothing is sent meanwhile.",
        ),
        # The gauge restarts every minute, and is absent until a response of that minute reports it.
        Alert(
            "BinanceFuturesRequestWeightHigh",
            "warning",
            block(f"""
                max by ({ENDPOINT}) (
                  max_over_time(binance_futures_request_weight_used[{RECENT}]) / binance_futures_request_weight_limit
                ) > {threshold["request_weight"]}
            """),
            "5m",
            "An IP uses most of its request weight",
            f"{{{{ $value | humanizePercentage }}}} of the WebSocket API's request weight per minute are used by {_IP}"
            ", which all programs behind that IP share.",
        ),
        Alert(
            "BinanceFuturesClockOff",
            "warning",
            f"max by ({ENDPOINT}) (abs(binance_futures_clock_offset_seconds)) > {threshold['clock_offset_seconds']}",
            "5m",
            "A host's clock differs from the exchange's",
            "The clocks of {{ $labels.instance }} and of {{ $labels.endpoint }} differ by "
            "{{ $value | humanizeDuration }}.",
        ),
        # Every connection except planned replacements follows one that broke. Failed dials do not count: a single
        # outage causes many. Rounded, because `increase` extrapolates to the ends of its window, which makes a little
        # more than five out of five.
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
