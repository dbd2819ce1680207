"""The catalogs of the exporter's own metrics: polling of accounts, endpoints, and the program itself."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import exporter
from exporter.binance.errors import DisconnectReason, Reason, UnmatchedReason
from exporter.binance.histogram import Histogram
from exporter.binance.messages import Method
from exporter.metrics.model import Catalog, Family, Group, Kind, number, single_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.account.state import AccountState
    from exporter.binance.endpoint_state import EndpointState
    from exporter.rest.state import IncomeState, KeyState, RestState


@dataclass(frozen=True, slots=True)
class Polling:
    """The polling of an account at one moment."""

    state: AccountState
    up: bool | None  # whether the last poll succeeded and its figures are shown; None before the first has ended


@dataclass(slots=True)
class Program:
    """The state of the process itself; the service writes it."""

    endpoints: Callable[[], Sequence[EndpointState]] = tuple
    markets: Callable[[], Sequence[RestState]] = tuple  # the REST sides of endpoints
    api_keys: Callable[[], Sequence[KeyState]] = tuple
    incomes: Callable[[], Sequence[IncomeState]] = tuple
    last_reload_succeeded: bool = True
    last_reload_success_unix: float | None = None
    shard_index: int = 0
    shards: int = 1


def _own(name: str, description: str, attribute: str, kind: Kind = "gauge") -> Family:
    """Return a family that reads an attribute."""
    return Family(name, description, "", number(attribute), kind)


def _by_reason(
    name: str,
    description: str,
    reasons: Iterable[Reason | DisconnectReason | UnmatchedReason],
    read: Callable[[Any, Any], float],
    kind: Kind = "gauge",
) -> Group:
    """Return the group of a family with a value for each reason, which is read from the subject and the reason."""
    identities: list[tuple[str, ...]] = [(reason.value,) for reason in reasons]
    return Group(
        ("reason",),
        lambda subject: [read(subject, reason) for reason in reasons],
        lambda *_: identities,
        (Family(name, description, "", float, kind),),
    )


def _info(name: str, description: str, labels: tuple[str, ...], values: Callable[[Any], tuple[str, ...]]) -> Group:
    """Return the group of an info metric, whose label values are read from the subject."""
    return Group(
        labels,
        lambda subject: (subject,),
        lambda subject, _: [values(subject)],
        (Family(name, description, "", lambda _: 1.0, "info"),),
    )


def _account_info(polling: Polling) -> tuple[str, ...]:
    settings = polling.state.settings
    mode = polling.state.asset_mode or settings.asset_mode or "unknown"
    return mode, settings.endpoint.label, settings.credentials.key_type


def _durations(program: Program) -> list[tuple[str, Histogram]]:
    """Return the durations of each method over all endpoints, and of each path requested over REST."""
    merged = {method.value: Histogram() for method in Method}
    for endpoint in program.endpoints():
        for method, durations in endpoint.durations.items():
            merged[method.value].add(durations)
    for market in program.markets():
        for path, durations in market.durations.items():
            merged.setdefault(path.method_label, Histogram()).add(durations)
    return list(merged.items())


POLLING: Final = Catalog(
    "account",
    (
        single_row(
            _own(
                "binance_futures_up",
                "Whether the account's last scheduled poll succeeded (1) or not (0); absent until the first poll has "
                "ended",
                "up",
            )
        ),
        _info(
            "binance_futures_account_info",
            "Account configuration as labels, always 1; asset_mode is single or multi, or unknown until detected",
            ("asset_mode", "endpoint", "key_type"),
            _account_info,
        ),
        single_row(
            _own(
                "binance_futures_last_success_timestamp_seconds",
                "Unix timestamp of the end of the last successful poll, by this host's clock; absent before the first",
                "state.last_success_unix",
            ),
            _own(
                "binance_futures_polls_total",
                "Scheduled polls, including those that could not be sent",
                "state.polls",
                "counter",
            ),
        ),
        _by_reason(
            "binance_futures_poll_failures_total",
            "Scheduled polls that failed, by reason",
            Reason,
            lambda polling, reason: polling.state.failures[reason],
            "counter",
        ),
        single_row(
            _own(
                "binance_futures_poll_interval_seconds",
                "Interval between polls of the account in seconds: as configured, or longer to fit the request-weight "
                "budget",
                "state.interval_seconds",
            ),
            _own(
                "binance_futures_stale_after_seconds",
                "Age in seconds after which an account's series are dropped; stretched in proportion to the poll "
                "interval",
                "state.stale_after_seconds",
            ),
        ),
    ),
)

ENDPOINTS: Final = Catalog(
    "endpoint",
    (
        single_row(
            _own(
                "binance_futures_connected",
                "Whether the exporter is connected to the endpoint (1) or not (0)",
                "connected",
            ),
            _own("binance_futures_connections_total", "Connections opened to the endpoint", "connections", "counter"),
        ),
        _by_reason(
            "binance_futures_disconnections_total",
            "Connections to the endpoint that ended or could not be opened, by reason; unreachable means that the TCP "
            "connection failed, rejected that the server did not accept the WebSocket handshake",
            DisconnectReason,
            lambda endpoint, reason: endpoint.disconnections.get(reason, 0),
            "counter",
        ),
        _by_reason(
            "binance_futures_paused",
            "Whether requests to the endpoint are paused because the exchange banned or rate-limited this IP (1) or "
            "not (0), by reason",
            (Reason.BANNED, Reason.RATE_LIMITED),
            lambda endpoint, reason: endpoint.paused is reason,
        ),
        single_row(
            _own(
                "binance_futures_clock_offset_seconds",
                "Seconds by which the exchange's clock is ahead of this host's; absent until measured more precisely "
                "than to a second",
                "exact_clock_offset_seconds",
            ),
            _own(
                "binance_futures_request_weight_used",
                "Request weight used in the current minute by all programs behind this IP (rateLimits[].count); counts "
                "the WebSocket API and orders sent by REST, but no other REST requests; absent until a response "
                "reports it in this minute",
                "weight_used",
            ),
            _own(
                "binance_futures_request_weight_limit",
                "Request weight of the WebSocket API allowed per minute to all programs behind this IP "
                "(rateLimits[].limit); absent until first reported",
                "weight_limit",
            ),
            _own(
                "binance_futures_request_weight_spent_total",
                "Request weight spent by this exporter on the endpoint, including new connections",
                "weight_spent",
                "counter",
            ),
        ),
        _by_reason(
            "binance_futures_frames_ignored_total",
            "Frames received from the endpoint that match no request, by reason",
            UnmatchedReason,
            lambda endpoint, kind: endpoint.unmatched_frames.get(kind, 0),
            "counter",
        ),
    ),
)

PROGRAM: Final = Catalog(
    "",
    (
        Group(
            ("method",),
            _durations,
            lambda _, rows: [(method,) for method, _ in rows],
            (
                Family(
                    "binance_futures_request_duration_seconds",
                    "Time from sending a request to receiving its response in seconds, over all endpoints, by method",
                    "",
                    itemgetter(1),
                    "histogram",
                ),
            ),
        ),
        _info(
            "binance_futures_exporter_build_info",
            "Versions of the exporter and of Python; always 1",
            ("python_version", "revision", "version"),
            lambda _: (platform.python_version(), exporter.__revision__, exporter.__version__),
        ),
        single_row(
            _own("binance_futures_exporter_shard_index", "Index of this shard, from 0 (--shard)", "shard_index"),
            _own(
                "binance_futures_exporter_shards",
                "Number of shards that the accounts are divided among (--total-shards)",
                "shards",
            ),
            _own(
                "binance_futures_exporter_config_last_reload_successful",
                "Whether the last configuration reload was successful (1) or not (0)",
                "last_reload_succeeded",
            ),
            _own(
                "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
                "Unix timestamp of the last successful configuration reload",
                "last_reload_success_unix",
            ),
        ),
    ),
)
