"""The dashboard of the exporter itself: whether it polls in time, what it spends, what the exchange refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards.layout import Band, choices, dashboard, link_to
from monitoring.dashboards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-exporter"
_GONE: Final = "No figures: the exporter cannot be scraped"
_PLACE: Final = "instance, endpoint"
_PLACE_NAME: Final = "{{instance}} → {{endpoint}}"
_CLOCK: Final = p.ALERTS_AT["clock_offset_seconds"]


def _rate(metric: str, by: str, where: str, *, per: str = "") -> str:
    return f"sum by ({by}) (\n  {per}rate({q.of(metric, where)}[$__rate_interval])\n)"


def _process(metric: str) -> str:
    return f"max by (instance) ({metric}{{{q.PROCESS}}})"


_SUMMARY: Final = (
    (
        4,
        p.number(
            "Exporters down",
            "Targets of the jobs chosen that Prometheus does not reach: none of their accounts is watched.",
            p.Query(f"sum(1 - up{{{q.PROCESS}}})"),
            steps=p.ANY_IS_BAD,
            absent="no target",
        ),
    ),
    (
        4,
        p.number(
            "Accounts up",
            "The part of the accounts whose last due poll succeeded.",
            p.Query(f"avg({q.one('up', where=q.PROCESS)})"),
            unit=p.PART,
            decimals=0,
            steps=((None, "red"), (1, "green")),
            absent="no account",
        ),
    ),
    (
        4,
        p.number(
            "Not connected",
            "Endpoints to which no request can be sent now.",
            p.Query(f"sum(1 - {q.one('connected', _PLACE, q.PROCESS)})"),
            steps=p.ANY_IS_BAD,
            absent="no endpoint",
        ),
    ),
    (
        4,
        p.number(
            "Pauses",
            "Endpoints to which nothing is sent because the exchange has banned this IP or limited its rate.",
            p.Query(f"sum({q.one('paused', f'{_PLACE}, reason', q.PROCESS)})"),
            steps=p.ANY_IS_BAD,
            absent="no endpoint",
        ),
    ),
    (
        4,
        p.number(
            "Configuration",
            "Whether the configuration was good when it was last read; if not, the one before is still in use. Of "
            "several "
            "exporters, the worst.",
            p.Query(f"min({q.of('exporter_config_last_reload_successful', q.PROCESS)})"),
            mappings=(p.named({"0": ("refused", "red"), "1": ("in use", "green")}),),
            absent="unknown",
        ),
    ),
    (
        4,
        p.number(
            "Version",
            "Versions that run, with the revision they were built from.",
            p.Query(
                f"count by (version, revision) ({q.of('exporter_build_info', q.PROCESS)})", "{{version}} ({{revision}})"
            ),
            absent="unknown",
            text=p.NAME,
        ),
    ),
)

_POLLS: Final = (
    (
        8,
        p.lines(
            "Polls",
            "Due polls a minute, and those of them that failed or could not be sent.",
            p.Query(_rate("polls_total", "instance", q.PROCESS, per="60 * "), "{{instance}} due"),
            p.Query(_rate("poll_failures_total", "instance", q.PROCESS, per="60 * "), "{{instance}} failed"),
            least=0,
            decimals=1,
            absent=_GONE,
        ),
    ),
    (
        8,
        p.lines(
            "Failed polls by reason",
            "Failed polls a minute. `refused` is the key, `clock` this host's clock, `rate_limited` and `banned` the "
            "IP, "
            "`decode` and `protocol` an answer that is not understood.",
            p.Query(f"{_rate('poll_failures_total', 'reason', q.PROCESS, per='60 * ')} > 0", "{{reason}}"),
            least=0,
            decimals=1,
            absent="No poll failed",
            as_bars=True,
        ),
    ),
    (
        8,
        p.lines(
            "Time from request to answer",
            "Quantiles over all endpoints, by method.",
            *[
                p.Query(
                    f"histogram_quantile({quantile}, sum by (le, method) (\n"
                    f"  rate({q.of('request_duration_seconds_bucket', q.PROCESS)}[$__rate_interval])\n)) >= 0",
                    f"{name} {{{{method}}}}",
                )
                for name, quantile in (("median", 0.5), ("99 %", 0.99))
            ],
            unit=p.SECONDS,
            least=0,
            absent="No answer yet",
        ),
    ),
)

_WEIGHT: Final = (
    (
        8,
        p.lines(
            "Request weight used of the IP's limit",
            "What all programs behind the IP have used of the WebSocket API's pool in the exchange's current minute, "
            "as a part of its limit. REST requests other than orders have their own pool and are not included. It "
            "starts again every minute. At 100 % the exchange rejects requests, and bans an IP that continues.",
            p.Query(
                f"max by ({_PLACE}) (\n"
                f"  {q.of('request_weight_used', q.PROCESS)}\n  / {q.of('request_weight_limit', q.PROCESS)}\n)",
                _PLACE_NAME,
            ),
            unit=p.PART,
            decimals=1,
            steps=((None, "transparent"), (p.ALERTS_AT["request_weight"], "orange"), (1, "red")),
            least=0,
            soft=(None, 1.05),
            stairs=True,
            absent="No answer of this minute has told",
        ),
    ),
    (
        8,
        p.lines(
            "Request weight spent",
            "What this exporter itself spends a minute, connections included. The difference to what the IP has used "
            "is other "
            "programs'.",
            p.Query(_rate("request_weight_spent_total", _PLACE, q.PROCESS, per="60 * "), _PLACE_NAME),
            least=0,
            decimals=0,
            absent=_GONE,
        ),
    ),
    (
        8,
        p.lines(
            "Pauses by reason",
            "1 while nothing is sent because the exchange has banned this IP or limited its rate.",
            p.Query(q.one("paused", f"{_PLACE}, reason", q.PROCESS), f"{_PLACE_NAME} {{{{reason}}}}"),
            least=0,
            soft=(None, 1),
            decimals=0,
            stairs=True,
            fill=30,
            absent=_GONE,
        ),
    ),
)

_CONNECTIONS: Final = (
    (
        8,
        p.lines(
            "Clock of the exchange",
            "How far it is ahead of this host's. Requests are stamped with the corrected time; an offset that grows "
            "is a host "
            "whose clock is not kept.",
            p.Query(q.one("clock_offset_seconds", _PLACE, q.PROCESS), _PLACE_NAME),
            unit=p.SECONDS,
            steps=((None, "red"), (-_CLOCK, "transparent"), (_CLOCK, "red")),
            soft=(-0.6, 0.6),
            absent="Not learnt yet",
            calcs=("lastNotNull", "min", "max"),
        ),
    ),
    (
        8,
        p.lines(
            "Connections opened and ended",
            "Within five minutes. `rotation` is planned: the exchange ends every connection after a day, and it is "
            "replaced "
            "before.",
            p.Query(f"sum(increase({q.of('connections_total', q.PROCESS)}[5m]))", "opened"),
            p.Query(
                f"sum by (reason) (increase({q.of('disconnections_total', q.PROCESS)}[5m])) > 0", "ended: {{reason}}"
            ),
            least=0,
            soft=(None, 1),
            decimals=1,
            absent=_GONE,
        ),
    ),
    (
        8,
        p.lines(
            "Frames that belong to no request",
            "Ignored frames a minute by reason. A few are the exchange's own notices; many are a proxy or an "
            "exchange that "
            "misbehaves.",
            p.Query(f"{_rate('frames_ignored_total', 'reason', q.PROCESS, per='60 * ')} > 0", "{{reason}}"),
            least=0,
            decimals=1,
            absent="No such frame",
            as_bars=True,
        ),
    ),
)

_MACHINE: Final = (
    (
        8,
        p.lines(
            "Memory",
            "Resident memory of the process.",
            p.Query(_process("process_resident_memory_bytes"), "{{instance}}"),
            unit="bytes",
            least=0,
            absent="Not exported, or the exporter cannot be scraped",
        ),
    ),
    (
        8,
        p.lines(
            "CPU",
            "Part of one processor that the process takes.",
            p.Query(
                f"sum by (instance) (rate(process_cpu_seconds_total{{{q.PROCESS}}}[$__rate_interval]))", "{{instance}}"
            ),
            unit=p.PART,
            decimals=1,
            least=0,
            absent="Not exported, or the exporter cannot be scraped",
        ),
    ),
    (
        8,
        p.lines(
            "Open files",
            "File descriptors in use, sockets included; growth without end is a leak.",
            p.Query(_process("process_open_fds"), "{{instance}}"),
            least=0,
            decimals=0,
            absent="Not exported, or the exporter cannot be scraped",
        ),
    ),
)

_INFO: Final = "account, endpoint, key_type, asset_mode"
_ACCOUNTS: Final = rows(
    "How the accounts are asked",
    "One row an account, those that are down first. The interval is longer than configured where the request weight "
    "demands it; "
    "figures older than allowed vanish. Failed polls are a part of those due in the time shown.",
    [
        Column("Account", "account", link=("Show this account", link_to("binance-futures-account", "account"))),
        Column("State", expression=q.one("up"), mappings=p.UP, width=80),
        Column("Endpoint", "endpoint"),
        Column("Key", "key_type", width=90),
        Column("Asset mode", "asset_mode", width=100),
        Column("Interval", expression=q.one("poll_interval_seconds"), unit=p.SECONDS, width=90),
        Column("Age of figures", expression=q.age(), unit=p.SECONDS, decimals=1, width=120),
        Column("Oldest allowed", expression=q.one("stale_after_seconds"), unit=p.SECONDS, width=120),
        Column(
            "Failed polls",
            expression=(
                f"clamp_max(\n  sum by (account) (increase({q.of('poll_failures_total')}[$__range]))\n"
                f"  / sum by (account) (increase({q.of('polls_total')}[$__range])),\n1)"
            ),
            unit=p.PART,
            decimals=1,
            steps=((None, "green"), (0.01, "orange"), (0.5, "red")),
            width=110,
        ),
        Column("Asked", expression=q.one("account_info", _INFO), hidden=True),
    ],
    sort=[("State", False), ("Account", False)],
    absent="No account",
)


def health() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Exporter",
        "The exporter itself: polls, failures, latency, request weight, pauses, clock, connections and memory.",
        choices("instance", "account", all_of=["instance", "account"]),
        [
            Band(4, _SUMMARY),
            Band(8, _POLLS),
            Band(8, _WEIGHT),
            Band(8, _CONNECTIONS),
            Band(8, _MACHINE),
            Band(8, [(24, _ACCOUNTS)]),
        ],
    )
