"""The catalog of the exporter's own metrics: of accounts' polling, of endpoints and of the program."""

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
    from exporter.binance.connection import Connection


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
        "Whether the account's last due poll succeeded (1) or not (0); absent until its first poll has ended.",
        lambda state, now: (((), state.is_up(now)),) if state.first_poll_finished else (),
    ),
    SelfFamily(
        "binance_futures_account_info",
        "How the account is asked, always 1; asset_mode is single, multi or, until known, unknown.",
        _account_info,
        ("asset_mode", "endpoint", "key_type"),
    ),
    SelfFamily(
        "binance_futures_last_success_timestamp_seconds",
        "When the last successful poll ended, in Unix seconds of this host; absent before the first.",
        _attribute("last_success_unix"),
    ),
    SelfFamily(
        "binance_futures_polls_total",
        "Due polls, whether they could be sent or not.",
        _attribute("polls"),
        kind="counter",
    ),
    SelfFamily(
        "binance_futures_poll_failures_total", "Due polls that failed, by reason.", _failures, ("reason",), "counter"
    ),
    SelfFamily(
        "binance_futures_poll_interval_seconds",
        "Seconds between two polls of the account: as configured, or longer where the weight budget demands it.",
        _attribute("interval_seconds"),
    ),
    SelfFamily(
        "binance_futures_stale_after_seconds",
        "Age in seconds at which the account's last figures vanish, stretched like the interval.",
        _attribute("stale_after_seconds"),
    ),
)


def _disconnections(connection: Connection, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((reason.value,), connection.disconnections[reason]) for reason in DisconnectReason)


def _pauses(connection: Connection, _now: float) -> Iterable[tuple[tuple[str, ...], bool]]:
    paused = connection.budget.paused
    return (((reason.value,), paused is reason) for reason in (Reason.BANNED, Reason.RATE_LIMITED))


def _unmatched_frames(connection: Connection, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    return (((reason.value,), connection.unmatched_frames.counts[reason]) for reason in UnmatchedReason)


ENDPOINT_FAMILIES: Final = (
    SelfFamily(
        "binance_futures_connected",
        "Whether requests can be sent to the endpoint now (1) or not (0).",
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
        "Connections to the endpoint that ended or could not be opened, by reason; unreachable is a TCP connection "
        "that could not be made, rejected an HTTP status at the handshake.",
        _disconnections,
        ("reason",),
        "counter",
    ),
    SelfFamily(
        "binance_futures_paused",
        "Whether nothing is sent to the endpoint because the exchange refused this IP (1) or not (0), by reason.",
        _pauses,
        ("reason",),
    ),
    SelfFamily(
        "binance_futures_clock_offset_seconds",
        "How far the exchange's clock is ahead of this host's, in seconds; absent while only known to a second.",
        _attribute("clock.exact_offset_seconds"),
    ),
    SelfFamily(
        "binance_futures_request_weight_used",
        "Request weight used in the exchange's current minute by all programs behind this IP (rateLimits[].count): "
        "of the WebSocket API, including orders sent by REST, but no other REST requests; absent until a response of "
        "this minute reports it.",
        _attribute("budget.used"),
    ),
    SelfFamily(
        "binance_futures_request_weight_limit",
        "Request weight that all programs behind this IP may use per minute, of the WebSocket API "
        "(rateLimits[].limit); absent until first reported.",
        _attribute("budget.limit"),
    ),
    SelfFamily(
        "binance_futures_request_weight_spent_total",
        "Request weight this exporter has spent on the endpoint, dials included.",
        _attribute("budget.spent_total"),
        kind="counter",
    ),
    SelfFamily(
        "binance_futures_frames_ignored_total",
        "Frames from the endpoint that belong to no request, by reason.",
        _unmatched_frames,
        ("reason",),
        "counter",
    ),
)


def _durations(program: Program, _now: float) -> Iterable[tuple[tuple[str, ...], Histogram]]:
    for method in Method:
        merged = Histogram()
        for connection in program.connections:
            merged.add(connection.durations[method])
        yield (method.value,), merged


def _build_info(_program: Program, _now: float) -> Iterable[tuple[tuple[str, ...], int]]:
    yield (platform.python_version(), exporter.__revision__, exporter.__version__), 1


PROGRAM_FAMILIES: Final = (
    SelfFamily(
        "binance_futures_request_duration_seconds",
        "Seconds from sending a request to its answer, by method, of all endpoints.",
        _durations,
        ("method",),
        "histogram",
    ),
    SelfFamily(
        "binance_futures_exporter_build_info",
        "Version of this exporter and of its Python, always 1.",
        _build_info,
        ("python_version", "revision", "version"),
    ),
    SelfFamily(
        "binance_futures_exporter_config_last_reload_successful",
        "Whether the configuration was good when it was last read (1) or not (0).",
        _attribute("last_reload_succeeded"),
    ),
    SelfFamily(
        "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
        "When a good configuration was last read, in Unix seconds.",
        _attribute("last_reload_success_unix"),
    ),
)
