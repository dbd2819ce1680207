"""The dashboard of the exporter itself: polls, request weight, connections and resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.rest.requests import TRADING_PERMISSIONS
from monitoring.dashboards import panels as p
from monitoring.dashboards import queries as q
from monitoring.dashboards.layout import PanelRow, dashboard, link_to, variables
from monitoring.dashboards.tables import Column, table_panel
from monitoring.thresholds import BY_NAME

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import timeseries
    from grafana_foundation_sdk.models.dashboard import Dashboard

UID: Final = "binance-futures-exporter"
_DOWN: Final = "No data: the exporter cannot be scraped"
_ENDPOINT: Final = "instance, endpoint"
_ENDPOINT_LEGEND: Final = "{{instance}} → {{endpoint}}"
_CLOCK: Final = BY_NAME["clock_offset_seconds"]


def _rate(metric: str, by: str, selector: str, *, per: str = "") -> str:
    return f"sum by ({by}) (\n  {per}rate({q.series(metric, selector)}[$__rate_interval])\n)"


def _process(metric: str) -> str:
    return f"max by (instance) ({metric}{{{q.PROCESS}}})"


_SUMMARY: Final = (
    p.stat_panel(
        "Exporters down",
        "Targets of the selected jobs that Prometheus cannot scrape: their accounts are not monitored.",
        p.Query(f"sum(1 - up{{{q.PROCESS}}})"),
        steps=p.RED_FROM_ONE,
        no_value="no target",
    ),
    p.stat_panel(
        "Accounts up",
        "Percentage of accounts whose last due poll succeeded.",
        p.Query(f"avg({q.max_by('up', selector=q.PROCESS)})"),
        unit=p.PERCENT,
        decimals=0,
        steps=((None, "red"), (1, "green")),
        no_value="no account",
    ),
    p.stat_panel(
        "Not connected",
        "Endpoints without a connection, to which no request can be sent.",
        p.Query(f"sum(1 - {q.max_by('connected', _ENDPOINT, q.PROCESS)})"),
        steps=p.RED_FROM_ONE,
        no_value="no endpoint",
    ),
    p.stat_panel(
        "Pauses",
        "Endpoints to which no requests are sent because the exchange has banned or rate limited the IP.",
        p.Query(f"sum({q.max_by('paused', f'{_ENDPOINT}, reason', q.PROCESS)})"),
        steps=p.RED_FROM_ONE,
        no_value="no endpoint",
    ),
    p.stat_panel(
        "Configuration",
        """
        Whether the last reload of the configuration succeeded. If it failed, the previous configuration is still in
        use. If several exporters are selected, the worst of them is shown.
        """,
        p.Query(f"min({q.series('exporter_config_last_reload_successful', q.PROCESS)})"),
        mappings=(p.value_texts({"0": ("reload failed", "red"), "1": ("in use", "green")}),),
        no_value="unknown",
    ),
    p.stat_panel(
        "Version",
        "Versions of the running exporters and the revisions they were built from.",
        p.Query(
            f"count by (version, revision) ({q.series('exporter_build_info', q.PROCESS)})",
            "{{version}} ({{revision}})",
        ),
        no_value="unknown",
        text_mode=p.NAME,
    ),
)

_POLLS: Final = (
    p.time_series_panel(
        "Polls",
        "Scheduled polls per minute, and those that failed or could not be sent.",
        p.Query(_rate("polls_total", "instance", q.PROCESS, per="60 * "), "{{instance}} due"),
        p.Query(_rate("poll_failures_total", "instance", q.PROCESS, per="60 * "), "{{instance}} failed"),
        minimum=0,
        decimals=1,
        no_value=_DOWN,
    ),
    p.time_series_panel(
        "Failed polls by reason",
        """
        Failed polls per minute. `refused` concerns the API key, `clock` the host's clock, `rate_limited` and `banned`
        the IP, and `decode` and `protocol` a response that the exporter cannot interpret.
        """,
        p.Query(f"{_rate('poll_failures_total', 'reason', q.PROCESS, per='60 * ')} > 0", "{{reason}}"),
        minimum=0,
        decimals=1,
        no_value="No poll failed",
        bars=True,
    ),
    p.time_series_panel(
        "Request duration",
        "Median and 99th percentile of the time between request and response over all endpoints, by method.",
        *[
            p.Query(
                f"histogram_quantile({quantile}, sum by (le, method) (\n"
                f"  rate({q.series('request_duration_seconds_bucket', q.PROCESS)}[$__rate_interval])\n)) >= 0",
                f"{name} {{{{method}}}}",
            )
            for name, quantile in (("median", 0.5), ("99 %", 0.99))
        ],
        unit=p.SECONDS,
        minimum=0,
        no_value="No response yet",
    ),
)


def _weight_panel(title: str, description: str, metric: str, no_value: str) -> timeseries.Panel:
    """Return a panel of the request weight of a pool, as a part of its limit; `metric` is the prefix of both."""
    return p.time_series_panel(
        title,
        description,
        p.Query(
            f"max by ({_ENDPOINT}) (\n"
            f"  {q.series(f'{metric}_used', q.PROCESS)}\n  / {q.series(f'{metric}_limit', q.PROCESS)}\n)",
            _ENDPOINT_LEGEND,
        ),
        unit=p.PERCENT,
        decimals=1,
        steps=((None, "transparent"), (BY_NAME["request_weight"], "orange"), (1, "red")),
        minimum=0,
        soft_range=(None, 1.05),
        stepped=True,
        no_value=no_value,
    )


_WEIGHT: Final = (
    _weight_panel(
        "Request weight used of the IP's limit",
        """
        The part of the WebSocket API's request weight that all programs behind the IP have used in the current
        minute, which starts from 0 every minute. REST requests other than orders have a separate pool and are not
        included. At 100 % the exchange rejects requests, and it bans an IP that continues to send them.
        """,
        "request_weight",
        no_value="Not reported within this minute",
    ),
    p.time_series_panel(
        "Request weight spent",
        """
        Request weight that the exporter spends per minute, connections included. Other programs spend the remainder
        of what the IP has used.
        """,
        p.Query(_rate("request_weight_spent_total", _ENDPOINT, q.PROCESS, per="60 * "), _ENDPOINT_LEGEND),
        minimum=0,
        decimals=0,
        no_value=_DOWN,
    ),
    p.time_series_panel(
        "Pauses by reason",
        "1 while no requests are sent because the exchange has banned or rate limited the IP; REST pauses separately.",
        p.Query(q.max_by("paused", f"{_ENDPOINT}, reason", q.PROCESS), f"{_ENDPOINT_LEGEND} {{{{reason}}}}"),
        p.Query(q.max_by("rest_paused", f"{_ENDPOINT}, reason", q.PROCESS), f"{_ENDPOINT_LEGEND} REST {{{{reason}}}}"),
        minimum=0,
        soft_range=(None, 1),
        decimals=0,
        stepped=True,
        fill=30,
        no_value=_DOWN,
    ),
)

_CONNECTIONS: Final = (
    p.time_series_panel(
        "Clock of the exchange",
        """
        How far the exchange's clock is ahead of the host's. Requests are signed with the corrected time. A growing
        offset means that the host's clock is not synchronized.
        """,
        p.Query(q.max_by("clock_offset_seconds", _ENDPOINT, q.PROCESS), _ENDPOINT_LEGEND),
        unit=p.SECONDS,
        steps=((None, "red"), (-_CLOCK, "transparent"), (_CLOCK, "red")),
        soft_range=(-0.6, 0.6),
        no_value="Not measured yet",
        legend_values=("lastNotNull", "min", "max"),
    ),
    p.time_series_panel(
        "Connections opened and ended",
        """
        Connections within five minutes. `rotation` is planned: the exchange closes every connection after a day, so
        the exporter replaces it before that.
        """,
        p.Query(f"sum(increase({q.series('connections_total', q.PROCESS)}[5m]))", "opened"),
        p.Query(
            f"sum by (reason) (increase({q.series('disconnections_total', q.PROCESS)}[5m])) > 0",
            "ended: {{reason}}",
        ),
        minimum=0,
        soft_range=(None, 1),
        decimals=1,
        no_value=_DOWN,
    ),
    p.time_series_panel(
        "Frames without a matching request",
        """
        Ignored frames per minute, by reason. A few are notices from the exchange. Many of them mean that a proxy or
        the exchange misbehaves.
        """,
        p.Query(f"{_rate('frames_ignored_total', 'reason', q.PROCESS, per='60 * ')} > 0", "{{reason}}"),
        minimum=0,
        decimals=1,
        no_value="No such frame",
        bars=True,
    ),
)

_MACHINE: Final = (
    p.time_series_panel(
        "Memory",
        "Resident memory of the process.",
        p.Query(_process("process_resident_memory_bytes"), "{{instance}}"),
        unit="bytes",
        minimum=0,
        no_value="Not exported, or the exporter cannot be scraped",
    ),
    p.time_series_panel(
        "CPU",
        "CPU time that the process uses, as a percentage of one core.",
        p.Query(
            f"sum by (instance) (rate(process_cpu_seconds_total{{{q.PROCESS}}}[$__rate_interval]))", "{{instance}}"
        ),
        unit=p.PERCENT,
        decimals=1,
        minimum=0,
        no_value="Not exported, or the exporter cannot be scraped",
    ),
    p.time_series_panel(
        "Open files",
        "Open file descriptors, sockets included. Steady growth indicates a leak.",
        p.Query(_process("process_open_fds"), "{{instance}}"),
        minimum=0,
        decimals=0,
        no_value="Not exported, or the exporter cannot be scraped",
    ),
)

_INFO: Final = "account, endpoint, key_type, asset_mode"
_ACCOUNTS: Final = table_panel(
    "Polling by account",
    """
    One row per account: accounts that are down come first. Interval is longer than configured if it was stretched to
    fit the request-weight budget. Series older than Stale after are dropped. Failed polls is the percentage of polls
    scheduled within the time range that failed.
    """,
    [
        Column("Account", "account", link=("Show this account", link_to("binance-futures-account", "account"))),
        Column("State", expression=q.max_by("up"), mappings=p.UP_TEXTS, width=80),
        Column("Endpoint", "endpoint"),
        Column("Key", "key_type", width=90),
        Column("Asset mode", "asset_mode", width=100),
        Column("Interval", expression=q.max_by("poll_interval_seconds"), unit=p.SECONDS, width=90),
        Column("Data age", expression=q.age(), unit=p.SECONDS, decimals=1, width=120),
        Column("Stale after", expression=q.max_by("stale_after_seconds"), unit=p.SECONDS, width=120),
        Column(
            "Failed polls",
            expression=(
                f"clamp_max(\n  sum by (account) (increase({q.series('poll_failures_total')}[$__range]))\n"
                f"  / sum by (account) (increase({q.series('polls_total')}[$__range])),\n1)"
            ),
            unit=p.PERCENT,
            decimals=1,
            steps=((None, "green"), (0.01, "orange"), (0.5, "red")),
            width=110,
        ),
        Column("Info", expression=q.max_by("account_info", _INFO), hidden=True),
    ],
    sort=[("State", False), ("Account", False)],
    no_value="No account",
)


def _allowed(*permissions: str) -> str:
    return q.max_by("key_permission", selector=f'{q.ACCOUNT}, permission=~"{"|".join(permissions)}"')


_DANGER: Final = (p.value_texts({"0": ("no", "green"), "1": ("yes", "orange")}),)
_TRADE: Final = (p.value_texts({"0": ("no", "green"), "1": ("yes", "text")}),)
_RESTRICTED: Final = (p.value_texts({"0": ("any IP", "orange"), "1": ("restricted", "green")}),)

_REST: Final = (
    table_panel(
        "API keys",
        """
        What the key of each account may do besides reading, as Binance reports it once a day: withdraw, transfer
        between accounts, and trade anything. Monitoring needs none of these, except that the futures API may require
        the permission for futures. IPs shows whether the key can only be used from certain IPs. Requires `key_check`,
        which is off by default and not available on the testnet.
        """,
        [
            Column("Account", "account"),
            Column("Withdraw", expression=_allowed("withdrawals"), mappings=_DANGER, width=90),
            Column(
                "Transfer", expression=_allowed("internal_transfer", "universal_transfer"), mappings=_DANGER, width=90
            ),
            Column("Trade", expression=_allowed(*TRADING_PERMISSIONS), mappings=_TRADE, width=80),
            Column(
                "IPs", expression=f"min by (account) ({q.series('key_ip_restricted')})", mappings=_RESTRICTED, width=100
            ),
            Column(
                "Age",
                expression=f"time() - min by (account) ({q.series('key_created_timestamp_seconds')})",
                unit=p.SECONDS,
                decimals=0,
                width=120,
            ),
        ],
        sort=[("Withdraw", True), ("Transfer", True), ("IPs", False)],
        no_value="Keys are not checked: key_check is not enabled",
    ),
    _weight_panel(
        "REST request weight used of the IP's limit",
        """
        The part of the REST request weight that all programs behind the IP have used in the current minute. Orders and
        the WebSocket API have a separate pool and are not included. Requires `funding` or `prices`, which are off by
        default.
        """,
        "rest_request_weight",
        no_value="REST is not enabled, or not used within this minute",
    ),
    p.time_series_panel(
        "Failed REST requests by reason",
        """
        Failed reads of funding and prices per minute. Their series are dropped after three intervals; polls are not
        affected.
        """,
        p.Query(f"{_rate('rest_request_failures_total', 'reason', q.PROCESS, per='60 * ')} > 0", "{{reason}}"),
        minimum=0,
        decimals=1,
        no_value="No request failed, or REST is not enabled",
        bars=True,
    ),
)


def exporter_dashboard() -> Dashboard:
    """Make the dashboard."""
    return dashboard(
        UID,
        "Binance futures / Exporter",
        "The exporter itself: polls, failures, latency, request weight, pauses, clock, connections, memory, API keys.",
        variables("instance", "account", all_selected=["instance", "account"]),
        [
            PanelRow(4, _SUMMARY),
            PanelRow(8, _POLLS),
            PanelRow(8, _WEIGHT),
            PanelRow(8, _CONNECTIONS),
            PanelRow(8, _MACHINE),
            PanelRow(8, [_ACCOUNTS]),
            PanelRow(8, _REST, widths=(12, 6, 6)),
        ],
    )
