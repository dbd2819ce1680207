"""The exporter's own families: present from the start, absent while unknown, and with correct values."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from prometheus_client import generate_latest
from support.builders import make_connection, make_state, samples
from support.clocks import Clock

import exporter
from exporter.account.asset_mode import AssetMode
from exporter.binance.dialing import Endpoint
from exporter.binance.errors import DisconnectReason, Reason, UnmatchedReason
from exporter.binance.messages import Method, RateLimit
from exporter.metrics.exposition import Exposition
from exporter.metrics.openmetrics import process_registry
from exporter.metrics.self_catalog import Program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection

HOST = 'endpoint="localhost:1"'
DURATION = "binance_futures_request_duration_seconds"


def scrape(
    states: Iterable[AccountState] = (), connections: Sequence[Connection] = (), clock: Clock | None = None
) -> dict[str, float]:
    """Return the own families' series, `binance_futures_` left out, with their values."""
    program = Program(lambda: [connection.state for connection in connections])
    body = bytes(Exposition(program, lambda: list(states), clock or Clock()).body())
    return {series.removeprefix("binance_futures_"): value for series, value in samples(body).items()}


def series_of(exposed: dict[str, float], *names: str) -> dict[str, float]:
    """Return the series of some families."""
    return {series: value for series, value in exposed.items() if series.partition("{")[0] in names}


def test_account_before_its_first_poll() -> None:
    """Before its first poll an account is neither up nor down, and all its failure reasons are 0."""
    exposed = scrape([make_state(interval_seconds=5.0, stale_after_seconds=61.5)])

    assert {
        'account_info{account="main",asset_mode="unknown",endpoint="localhost:1",key_type="hmac"}': 1.0,
        'polls_total{account="main"}': 0.0,
        **{f'poll_failures_total{{account="main",reason="{reason}"}}': 0.0 for reason in Reason},
        'poll_interval_seconds{account="main"}': 5.0,
        'stale_after_seconds{account="main"}': 61.5,
    } == {series: value for series, value in exposed.items() if 'account="' in series}


@pytest.mark.parametrize(
    ("now", "succeeded", "up"), [(1059.0, True, 1.0), (1059.0, False, 0.0), (1060.0, True, 0.0), (1060.0, False, 0.0)]
)
def test_account_that_has_been_polled(*, now: float, succeeded: bool, up: float) -> None:
    """Up means that the last poll succeeded and its figures are still shown; the last success stays known."""
    state = make_state(answered_at=1000.0, stale_after_seconds=60.0)
    state.polls = 3
    state.last_poll_succeeded = succeeded
    state.failures[Reason.DECODE] += 2
    exposed = scrape([state], clock=Clock(now))

    assert exposed['up{account="main"}'] == up
    assert exposed['last_success_timestamp_seconds{account="main"}'] == 1_700_000_000.5
    assert exposed['polls_total{account="main"}'] == 3.0
    assert exposed['poll_failures_total{account="main",reason="decode"}'] == 2.0
    assert exposed['poll_failures_total{account="main",reason="timeout"}'] == 0.0


@pytest.mark.parametrize(
    ("configured", "detected", "shown"),
    [
        (None, None, "unknown"),
        (AssetMode.MULTI, None, "multi"),
        (None, AssetMode.SINGLE, "single"),
        (AssetMode.MULTI, AssetMode.MULTI, "multi"),
    ],
)
def test_asset_mode_is_exposed(configured: AssetMode | None, detected: AssetMode | None, shown: str) -> None:
    """The mode is the one of the figures, before them the configured one, else unknown."""
    state = make_state(asset_mode=configured)
    state.asset_mode = detected

    assert {
        f'account_info{{account="main",asset_mode="{shown}",endpoint="localhost:1",key_type="hmac"}}': 1.0
    } == series_of(scrape([state]), "account_info")


def test_stretched_interval_is_exposed() -> None:
    """What the weight plan makes of the interval is shown, not what was configured."""
    state = make_state()
    state.stretch(2.0)

    assert {
        'poll_interval_seconds{account="main"}': 30.0,
        'stale_after_seconds{account="main"}': 120.0,
    } == series_of(scrape([state]), "poll_interval_seconds", "stale_after_seconds")


def test_accounts_keep_their_order() -> None:
    """Accounts are shown in the order they are given, each with its own series."""
    exposed = scrape([make_state("b"), make_state("a"), make_state('quote"\\\n')])

    expected = ['polls_total{account="b"}', 'polls_total{account="a"}', r'polls_total{account="quote\"\\\n"}']
    assert expected == list(series_of(exposed, "polls_total"))


def test_account_whose_first_poll_failed() -> None:
    """Once the first poll has ended, an account that was never polled successfully is down."""
    state = make_state()
    state.first_poll_finished = True

    assert {'up{account="main"}': 0.0} == series_of(scrape([state]), "up")


def test_endpoint_before_it_is_dialled() -> None:
    """All reasons of an endpoint start at 0; clock offset, weight used and limit are absent until known."""
    exposed = scrape(connections=[make_connection()])

    assert {
        f"connected{{{HOST}}}": 0.0,
        f"connections_total{{{HOST}}}": 0.0,
        **{f'disconnections_total{{{HOST},reason="{reason}"}}': 0.0 for reason in DisconnectReason},
        f'paused{{{HOST},reason="banned"}}': 0.0,
        f'paused{{{HOST},reason="rate_limited"}}': 0.0,
        f"request_weight_spent_total{{{HOST}}}": 0.0,
        **{f'frames_ignored_total{{{HOST},reason="{kind}"}}': 0.0 for kind in UnmatchedReason},
    } == {series: value for series, value in exposed.items() if 'endpoint="' in series}


async def test_endpoint_in_use() -> None:
    """What a connection, its clock and its budget have counted is shown."""
    clock = Clock(60_010.0)
    connection = make_connection(monotonic=clock)
    connection.connections = 2
    connection.disconnections[DisconnectReason.RESET] += 1
    connection.unmatched_frames.counts[UnmatchedReason.BINARY] += 3
    connection.clock.synchronize(60_012_500, 60_009.0, 60_011.0)
    rate_limit = msgspec.convert(
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400, "count": 75},
        RateLimit,
    )
    connection.budget.settle(await connection.budget.acquire(5), rate_limit)
    exposed = scrape(connections=[connection], clock=clock)
    clock.now += 60.0
    later = scrape(connections=[connection], clock=clock)

    assert exposed[f"connections_total{{{HOST}}}"] == 2.0
    assert exposed[f'disconnections_total{{{HOST},reason="reset"}}'] == 1.0
    assert exposed[f'frames_ignored_total{{{HOST},reason="binary"}}'] == 3.0
    assert exposed[f"clock_offset_seconds{{{HOST}}}"] == 2.5
    assert exposed[f"request_weight_limit{{{HOST}}}"] == 2400.0
    assert exposed[f"request_weight_used{{{HOST}}}"] == 75.0
    assert exposed[f"request_weight_spent_total{{{HOST}}}"] == 5.0
    assert {} == series_of(later, "request_weight_used")


@pytest.mark.parametrize("reason", [Reason.BANNED, Reason.RATE_LIMITED])
def test_pause_is_exposed_by_reason(reason: Reason) -> None:
    """While the exchange refuses this IP one of the reasons is 1, and afterwards none."""
    clock = Clock()
    connection = make_connection(monotonic=clock)
    connection.budget.pause(reason)
    paused = series_of(scrape(connections=[connection]), "paused")
    clock.now += 3600.0
    over = series_of(scrape(connections=[connection]), "paused")

    assert {f'paused{{{HOST},reason="{reason}"}}'} == {series for series, value in paused.items() if value}
    assert {0.0} == set(over.values())


def test_endpoints_have_separate_series() -> None:
    """Each endpoint has its own series."""
    other = make_connection(Endpoint("testnet via proxy:3128", "wss://localhost"))
    other.connections = 4
    exposed = scrape(connections=[make_connection(), other])

    assert {
        f"connections_total{{{HOST}}}": 0.0,
        'connections_total{endpoint="testnet via proxy:3128"}': 4.0,
    } == series_of(exposed, "connections_total")


def test_durations_are_a_cumulative_histogram_of_all_endpoints() -> None:
    """Each bucket counts all durations up to its bound, whichever endpoint answered."""
    first, second = make_connection(), make_connection(Endpoint("other", "wss://localhost"))
    for connection, seconds in ((first, 0.005), (first, 0.0051), (second, 0.3), (second, 10.0), (second, 99.0)):
        connection.durations[Method.ACCOUNT_STATUS].observe(seconds)
    exposed = series_of(
        scrape(connections=[first, second]),
        *(DURATION.removeprefix("binance_futures_") + end for end in ("_bucket", "_count", "_sum")),
    )
    counts = [value for series, value in exposed.items() if "_bucket{" in series and '"v2/account.status"' in series]

    assert [1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5] == counts
    assert exposed['request_duration_seconds_bucket{le="10.0",method="v2/account.status"}'] == 4.0
    assert exposed['request_duration_seconds_bucket{le="+Inf",method="v2/account.status"}'] == 5.0
    assert exposed['request_duration_seconds_count{method="v2/account.status"}'] == 5.0
    assert exposed['request_duration_seconds_sum{method="v2/account.status"}'] == pytest.approx(109.3101)


def test_histogram_starts_at_zero_for_every_method() -> None:
    """Each method has its buckets before any request, even without an endpoint."""
    exposed = scrape()

    assert {f'request_duration_seconds_count{{method="{method}"}}': 0.0 for method in Method} == series_of(
        exposed, "request_duration_seconds_count"
    )


@pytest.mark.parametrize(
    ("fields", "successful", "timestamps"),
    [({}, 1.0, []), ({"last_reload_succeeded": False, "last_reload_success_unix": 12.5}, 0.0, [12.5])],
)
def test_program_state_is_exposed(fields: dict[str, Any], successful: float, timestamps: list[float]) -> None:
    """Versions and the outcome of reading the configuration are shown; its time is absent until set."""
    exposed = samples(bytes(Exposition(Program(**fields), list, Clock()).body()))
    prefix = "binance_futures_exporter"
    versions = {
        "python_version": platform.python_version(),
        "revision": exporter.__revision__,
        "version": exporter.__version__,
    }
    labels = ",".join(f'{name}="{value}"' for name, value in versions.items())

    assert exposed[f"{prefix}_build_info{{{labels}}}"] == 1.0
    assert exposed[f"{prefix}_config_last_reload_successful"] == successful
    assert timestamps == [value for series, value in exposed.items() if series.endswith("success_timestamp_seconds")]


def test_process_metrics_are_those_of_prometheus_client() -> None:
    """The process metrics have prometheus_client's names, and none of them says when it was created."""
    names = {series.partition("{")[0] for series in samples(generate_latest(process_registry()))}

    assert {"process", "python"} == {name.partition("_")[0] for name in names}
    assert set() == {name for name in names if name.endswith("_created")}
