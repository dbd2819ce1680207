"""The alerts on the watching itself: the exporter, its accounts' polls, and each endpoint's connection."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from monitoring.rules.rule import (
    ACCOUNT,
    ENDPOINT,
    INSTANCE,
    JOB,
    KNOWN,
    RECENTLY,
    REMEMBERED,
    SCOPE,
    Alert,
    Group,
    promql,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_IP: Final = "the IP from which {{ $labels.instance }} asks {{ $labels.endpoint }}"


def health(threshold: Mapping[str, str], job: str = JOB) -> Group:
    """Return the alerts; `threshold` maps each name of the table to what stands in the expressions."""
    return Group(
        "binance-futures-health",
        (*_of_the_program(threshold, job), *_of_accounts(threshold), *_of_endpoints(threshold)),
    )


def _failing(up: str, threshold: Mapping[str, str]) -> str:
    """Compare what is 1 or 0: 0 now, or time and again and far too often.

    A single success among failures does not end it. What is not known for longer than the window is judged by now
    alone: its first failures would be a large part of what there is.
    """
    return promql(f"""
        {up} == 0
        or
        (
          avg_over_time({up}[{REMEMBERED}]) < {threshold["success"]}
          and
          min_over_time({up}[{RECENTLY}]) == 0
          and
          last_over_time({up}[5m] offset {REMEMBERED})
        )
    """)


def _of_the_program(threshold: Mapping[str, str], job: str) -> tuple[Alert, ...]:
    return (
        # By the job's name, which alone can tell that there is nothing any more; and every other exporter ever scraped.
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


def _of_accounts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    # One that is gone altogether, with the shard that polled it or by a mistake in its configuration, is down as well.
    # A target that cannot be scraped has its own alert. One that was never polled, by any one exporter, gets five
    # minutes more: the first round of many accounts takes a while.
    of_one = f"{INSTANCE}, account"
    down = promql("""
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
    """) % (_failing("account:binance_futures_up:max", threshold), SCOPE, SCOPE, ACCOUNT, of_one, INSTANCE)
    return (
        Alert(
            "BinanceFuturesAccountDown",
            "critical",
            f"(\n{indent(down, '  ')}\n)\nand\nlast_over_time(account:binance_futures_open_positions:max[{KNOWN}]) > 0",
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
            promql(f"""
                account:binance_futures_data_age_seconds:min
                > on ({ACCOUNT})
                max by ({ACCOUNT}) (binance_futures_stale_after_seconds)
            """),
            "5m",
            "An account's figures are too old to be shown",
            "The last good answer for account {{ $labels.account }} is {{ $value | humanizeDuration }} old.",
        ),
        # Refused keys are asked again after at most five minutes, and every poll between counts as refused, too. `up`
        # as it was last, since a restart of the exporter would interrupt `up == 0`. By exporter: of two that poll an
        # account, each with its own key, one may be refused.
        Alert(
            "BinanceFuturesKeyRefused",
            "warning",
            promql(f"""
                max by ({ACCOUNT}) (
                  max by ({of_one}) (increase(binance_futures_poll_failures_total{{reason="refused"}}[15m]))
                  > {threshold["refused_polls"]} * max by ({of_one}) (increase(binance_futures_polls_total[15m]))
                  and
                  max by ({of_one}) (last_over_time(binance_futures_up[5m])) == 0
                )
            """),
            "10m",
            "The exchange refuses an account's API key",
            "The exchange refuses the key of account {{ $labels.account }}: "
            '{{ $value | printf "%.0f" }} polls were refused or held back for it in 15 minutes.',
        ),
    )


def _of_endpoints(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    # A pause ends before the next is told: for a scrape or two there is none.
    paused = f'max by ({ENDPOINT}, reason) (max_over_time(binance_futures_paused{{reason="%s"}}[{RECENTLY}])) == 1'
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
        # The gauge starts anew every minute, and is absent until an answer of the minute tells it.
        Alert(
            "BinanceFuturesRequestWeightHigh",
            "warning",
            promql(f"""
                max by ({ENDPOINT}) (
                  max_over_time(binance_futures_request_weight_used[{RECENTLY}]) / binance_futures_request_weight_limit
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
        # Each connection but those that replace one as planned follows one that broke. Dials that fail do not count: a
        # single outage makes many. Rounded: `increase` extrapolates to the ends of its window, which makes a little
        # more than five out of five.
        Alert(
            "BinanceFuturesConnectionUnstable",
            "warning",
            promql(f"""
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
