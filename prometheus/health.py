"""The alerts on the watching itself: the exporter, its accounts' polls, and each endpoint's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus.rule import ACCOUNT, ENDPOINT, INSTANCE, JOB, Alert, Group, promql

if TYPE_CHECKING:
    from collections.abc import Mapping

_IP: Final = "the IP from which {{ $labels.instance }} asks {{ $labels.endpoint }}"


def health(threshold: Mapping[str, str], job: str = JOB) -> Group:
    """Return the alerts; `threshold` maps each name of the table to what stands in the expressions."""
    return Group("binance-futures-health", (*_of_the_program(job), *_of_accounts(threshold), *_of_endpoints(threshold)))


def _of_the_program(job: str) -> tuple[Alert, ...]:
    return (
        Alert(
            "BinanceFuturesExporterDown",
            "critical",
            promql(f"""
                max by ({INSTANCE}) (up{{job="{job}"}}) == 0
                or
                absent(up{{job="{job}"}})
            """),
            "5m",
            "The exporter cannot be scraped",
            "Prometheus {{ if $labels.instance }}cannot scrape {{ $labels.instance }}{{ else }}finds no target{{ end }}"
            " of job {{ $labels.job }}: the accounts it polls are not watched.",
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
    return (
        # Known for a day, since the figures go when they are needed most: in a crash the exchange bans or falls silent.
        # Whatever the reason, also when the exporter itself is gone, it is over only once the account is polled again.
        Alert(
            "BinanceFuturesBlindWhileAtRisk",
            "critical",
            promql(f"""
                last_over_time(account:binance_futures_margin_ratio:max_over_time15m[1d])
                > {threshold["margin_ratio_warning"]}
                unless on ({ACCOUNT})
                account:binance_futures_up:max == 1
            """),
            "2m",
            "An account at risk of liquidation is not watched",
            "Account {{ $labels.account }} cannot be polled, and its worst margin ratio was "
            "{{ $value | humanizePercentage }} in the 15 minutes before; liquidation is at 100%.",
        ),
        Alert(
            "BinanceFuturesAccountDown",
            "warning",
            "account:binance_futures_up:max == 0",
            "5m",
            "An account cannot be polled",
            "Polls of account {{ $labels.account }} fail: its figures vanish, and no alert on them can fire.",
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
        # Refused keys are asked again every five minutes, and every poll between counts as refused, too. Not `up == 0`,
        # which a restart of the exporter would interrupt.
        Alert(
            "BinanceFuturesKeyRefused",
            "warning",
            promql(f"""
                sum by ({ACCOUNT}) (increase(binance_futures_poll_failures_total{{reason="refused"}}[15m])) > 0
                unless on ({ACCOUNT})
                account:binance_futures_up:max == 1
            """),
            "10m",
            "The exchange refuses an account's API key",
            "The exchange refuses the key of account {{ $labels.account }}: "
            '{{ $value | printf "%.0f" }} polls were refused or held back for it in 15 minutes.',
        ),
    )


def _of_endpoints(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    paused = f'max by ({ENDPOINT}, reason) (binance_futures_paused{{reason="%s"}}) == 1'
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
                  max_over_time(binance_futures_request_weight_used[2m]) / binance_futures_request_weight_limit
                ) > {threshold["request_weight"]}
            """),
            "5m",
            "An IP uses most of its request weight",
            f"{{{{ $value | humanizePercentage }}}} of the request weight a minute are used by {_IP}, other programs "
            "included.",
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
        # Left out is the planned rotation, once a day. Dials that fail count, too. Rounded: `increase` extrapolates to
        # the ends of its window, which makes a little more than five out of five.
        Alert(
            "BinanceFuturesConnectionUnstable",
            "warning",
            promql(f"""
                round(
                  sum by ({ENDPOINT}) (increase(binance_futures_disconnections_total{{reason!="rotation"}}[30m]))
                ) > {threshold["connection_losses"]}
            """),
            "5m",
            "Connections to the exchange keep breaking",
            "Connections from {{ $labels.instance }} to {{ $labels.endpoint }} broke or were refused "
            '{{ $value | printf "%.0f" }} times in 30 minutes.',
        ),
    )
