"""The catalog of the exporter's own metrics: polling of accounts, endpoints, and the program itself."""

from __future__ import annotations

import platform
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import exporter
from exporter.binance.errors import DisconnectReason, Reason, UnmatchedReason
from exporter.binance.histogram import Histogram
from exporter.binance.messages import Method
from exporter.metrics.family import Program, SelfFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.account.state import AccountState
    from exporter.binance.endpoint_state import EndpointState


def _attribute(name: str) -> Callable[[Any, float], Iterable[tuple[tuple[str, ...], Any]]]:
    """Return a reader of one attribute of the subject; if it is None there is no sample."""
    read = attrgetter(name)

    def samples(subject: Any, _now: float) -> Iterable[tuple[tuple[str, ...], Any]]:
        value = read(subject)
        return () if value is None else (((), value),)

    return samples


def _failures(state: AccountState, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((reason.value,), state.failures[reason]) for reason in Reason)


def _account_info(state: AccountState, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    settings = state.settings
    mode = state.asset_mode or settings.asset_mode or "unknown"
    yield (mode, settings.endpoint.label, settings.credentials.key_type), 1


ACCOUNT_FAMILIES: Final = (
    SelfFamily(
        "binance_futures_up",
        "Whether the account's last scheduled poll succeeded (1) or not (0); absent until the first poll has ended.",
        lambda state, now: (((), state.is_up(now)),) if state.first_poll_finished else (),
    ),
    SelfFamily(
        "binance_futures_account_info",
        "Account configuration as labels, always 1; asset_mode is single or multi, or unknown until detected.",
        _account_info,
        ("asset_mode", "endpoint", "key_type"),
    ),
    SelfFamily(
        "binance_futures_last_success_timestamp_seconds",
        "Unix timestamp of the end of the last successful poll, by this host's clock; absent before the first.",
        _attribute("last_success_unix"),
    ),
    SelfFamily(
        "binance_futures_polls_total",
        "Scheduled polls, including those that could not be sent.",
        _attribute("polls"),
        kind="counter",
    ),
    SelfFamily(
        "binance_futures_poll_failures_total",
        "Scheduled polls that failed, by reason.",
        _failures,
        ("reason",),
        "counter",
    ),
    SelfFamily(
        "binance_futures_poll_interval_seconds",
        "Interval between polls of the account in seconds: as configured, or longer to fit the request-weight budget.",
        _attribute("interval_seconds"),
    ),
    SelfFamily(
        "binance_futures_stale_after_seconds",
        "Age in seconds after which an account's series are dropped; stretched in proportion to the poll interval.",
        _attribute("stale_after_seconds"),
    ),
)


def _disconnections(endpoint: EndpointState, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((reason.value,), endpoint.disconnections.get(reason, 0)) for reason in DisconnectReason)


def _pauses(endpoint: EndpointState, _now: float) -> Iterable[tuple[tuple[str, ...], bool]]:
    return (((reason.value,), endpoint.paused is reason) for reason in (Reason.BANNED, Reason.RATE_LIMITED))


def _unmatched_frames(endpoint: EndpointState, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((reason.value,), endpoint.unmatched_frames.get(reason, 0)) for reason in UnmatchedReason)


ENDPOINT_FAMILIES: Final = (
    SelfFamily(
        "binance_futures_connected",
        "Whether the exporter is connected to the endpoint (1) or not (0).",
        _attribute("connected"),
    ),
    SelfFamily(
        "binance_futures_connections_total",
        "Connections opened to the endpoint.",
        _attribute("connections"),
        kind="counter",
    ),
    SelfFamily(
        "binance_futures_disconnections_total",
        "Connections to the endpoint that ended or could not be opened, by reason; unreachable means that the TCP "
        "connection failed, rejected that the server did not accept the WebSocket handshake.",
        _disconnections,
        ("reason",),
        "counter",
    ),
    SelfFamily(
        "binance_futures_paused",
        "Whether requests to the endpoint are paused because the exchange banned or rate-limited this IP (1) or not "
        "(0), by reason.",
        _pauses,
        ("reason",),
    ),
    SelfFamily(
        "binance_futures_clock_offset_seconds",
        "Seconds by which the exchange's clock is ahead of this host's; absent until measured more precisely than to a "
        "second.",
        _attribute("exact_clock_offset_seconds"),
    ),
    SelfFamily(
        "binance_futures_request_weight_used",
        "Request weight used in the current minute by all programs behind this IP (rateLimits[].count); counts the "
        "WebSocket API and orders sent by REST, but no other REST requests; absent until a response reports it in "
        "this minute.",
        _attribute("weight_used"),
    ),
    SelfFamily(
        "binance_futures_request_weight_limit",
        "Request weight of the WebSocket API allowed per minute to all programs behind this IP (rateLimits[].limit); "
        "absent until first reported.",
        _attribute("weight_limit"),
    ),
    SelfFamily(
        "binance_futures_request_weight_spent_total",
        "Request weight spent by this exporter on the endpoint, including new connections.",
        _attribute("weight_spent"),
        kind="counter",
    ),
    SelfFamily(
        "binance_futures_frames_ignored_total",
        "Frames received from the endpoint that match no request, by reason.",
        _unmatched_frames,
        ("reason",),
        "counter",
    ),
)


def _durations(program: Program, _now: float) -> Iterable[tuple[tuple[str, ...], Histogram]]:
    endpoints = program.endpoints()
    for method in Method:
        merged = Histogram()
        for endpoint in endpoints:
            if durations := endpoint.durations.get(method):
                merged.add(durations)
        yield (method.value,), merged


def _build_info(_program: Program, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    yield (platform.python_version(), exporter.__revision__, exporter.__version__), 1


PROGRAM_FAMILIES: Final = (
    SelfFamily(
        "binance_futures_request_duration_seconds",
        "Time from sending a request to receiving its response in seconds, over all endpoints, by method.",
        _durations,
        ("method",),
        "histogram",
    ),
    SelfFamily(
        "binance_futures_exporter_build_info",
        "Versions of the exporter and of Python; always 1.",
        _build_info,
        ("python_version", "revision", "version"),
    ),
    SelfFamily(
        "binance_futures_exporter_config_last_reload_successful",
        "Whether the last configuration reload was successful (1) or not (0).",
        _attribute("last_reload_succeeded"),
    ),
    SelfFamily(
        "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
        "Unix timestamp of the last successful configuration reload.",
        _attribute("last_reload_success_unix"),
    ),
)
