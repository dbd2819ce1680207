"""Polled methods as values: what is requested when, what it weighs, and what happens without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.builders import make_settings
from support.clocks import Monotonic
from support.methods import POSITION, STATUS, V1
from support.polling import Polled, connected, error, pass_time

from exporter.account.asset_mode import AssetMode
from exporter.account.queries import QUERIES, Query, planned_requests
from exporter.binance.errors import Reason
from exporter.binance.messages import Method, SessionStatus, decode_session_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgspec import Raw

    from exporter.simulator import SimulatedExchange

HIDDEN: Final = "session.status"  # no account requests it
EACH_POLL: Final[Query[SessionStatus]] = Query(
    method=Method.SESSION_STATUS, decode=decode_session_status, without="times"
)
SLOWER: Final[Query[SessionStatus]] = Query(
    method=Method.SESSION_STATUS,
    decode=decode_session_status,
    interval_seconds=100.0,
    stale_after_seconds=250.0,
    without="times",
    is_enabled=lambda settings: settings.position_risk,
)


def signed(exchange: SimulatedExchange) -> list[str]:
    """Return the methods that accounts have requested, in order."""
    return [request.method for request in exchange.received if "apiKey" in request.params]


def known(polled: Polled, query: Query[Any]) -> list[bool]:
    """Return for each snapshot whether it has a reading of the query."""
    return [snapshot.reading(query) is not None for snapshot in polled.snapshots]


@pytest.mark.parametrize(
    ("settings", "requests"),
    [
        ({}, [(5, 15.0), (5, 15.0), (5, 3600.0)]),
        ({"position_risk": False, "interval_seconds": 60.0}, [(5, 60.0), (5, 3600.0)]),
        ({"configuration": False}, [(5, 15.0), (5, 15.0), (5, 3600.0)]),
        ({"asset_mode": AssetMode.MULTI}, [(5, 15.0), (5, 15.0), (5, 3600.0)]),
        ({"configuration": False, "asset_mode": AssetMode.MULTI}, [(5, 15.0), (5, 15.0)]),
    ],
)
def test_plan_contains_what_an_account_needs(settings: dict[str, Any], requests: Sequence[tuple[int, float]]) -> None:
    """The weight plan sums over the queries that the account's settings enable, each at its own interval."""
    assert requests == [*planned_requests(make_settings(**settings))]
    assert [*requests, (2, settings.get("interval_seconds", 15.0))] == [
        *planned_requests(make_settings(**settings), (*QUERIES, EACH_POLL))
    ]


async def test_added_query_is_sent_with_each_poll(exchange: SimulatedExchange) -> None:
    """A query without an interval is sent along with each poll, and its result is part of the snapshot."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, queries=(*QUERIES, EACH_POLL))
        for _ in range(2):
            await polled.poll()

    assert [STATUS, POSITION, HIDDEN] * 2 == signed(exchange)
    assert [True, True] == known(polled, EACH_POLL)
    reading = polled.snapshots[-1].reading(EACH_POLL)
    assert reading
    assert reading.result.server_time_ms / 1000 == pytest.approx(exchange.server_time(), abs=60)


async def test_added_query_is_sent_at_its_interval(exchange: SimulatedExchange) -> None:
    """A query with an interval runs next to the polls, and its last result stays in the snapshots until it is stale."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, queries=(*QUERIES, SLOWER))
        other = Polled(
            exchange, connection, "bob", asset_mode=AssetMode.SINGLE, position_risk=False, queries=(*QUERIES, SLOWER)
        )
        for _ in range(3):
            await polled.poll()
            await polled.queries_finished()
            await other.poll()
            pass_time(exchange, connection, monotonic, 60)
        requests = signed(exchange).count(HIDDEN)
        with exchange.replace_answer(HIDDEN, "alice", error(500, -1000)):
            for _ in range(3):
                await polled.poll()
                await polled.queries_finished()
                pass_time(exchange, connection, monotonic, 100)

    assert 2 == requests
    assert [False, True, True, True, True, False] == known(polled, SLOWER)
    assert [False] * 3 == known(other, SLOWER)
    assert {} == polled.state.failures | other.state.failures


@pytest.mark.parametrize("query", [EACH_POLL, SLOWER], ids=["each poll", "slower"])
async def test_query_that_the_exchange_does_not_offer(
    exchange: SimulatedExchange, query: Query[SessionStatus], logged: list[Any]
) -> None:
    """If the exchange no longer offers its method, polls go on without it; it is tried again after an hour."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, queries=(*QUERIES, query))
        with exchange.replace_answer(HIDDEN, "alice", error(404, -5000)):
            for _ in range(3):
                await polled.poll()
                await polled.queries_finished()
        requests = signed(exchange).count(HIDDEN)
        pass_time(exchange, connection, monotonic, 3600)
        for _ in range(2):
            await polled.poll()
            await polled.queries_finished()

    assert 1 == requests
    assert [False] * 3 == known(polled, query)[:3]
    assert known(polled, query)[-1]
    assert {} == polled.state.failures
    (event,) = [event for event in logged if event["event"] == "method unavailable"]
    assert ("session.status", "times") == (event["method"], event["missing"])


async def test_required_query_fails_the_poll(exchange: SimulatedExchange) -> None:
    """If a query of each poll fails, the poll fails: a snapshot is whole."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, queries=(*QUERIES, EACH_POLL))
        with exchange.replace_answer(HIDDEN, "alice", error(500, -1000)):
            await polled.poll()

    assert [] == polled.snapshots
    assert {Reason.EXCHANGE: 1} == polled.state.failures
    assert V1 not in signed(exchange)


async def test_internal_error_of_a_slower_query_fails_no_poll(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """An unexpected error in a query that runs in parallel is logged, and the polls succeed."""

    def decode(_: Raw) -> SessionStatus:
        raise OverflowError("unexpected")

    query = replace(SLOWER, decode=decode)
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, queries=(*QUERIES, query))
        for _ in range(2):
            await polled.poll()
            await polled.queries_finished()

    assert {} == polled.state.failures
    assert ["query failed, internal error"] == [event["event"] for event in logged if event["log_level"] == "error"]


async def test_stopped_query_starts_again(exchange: SimulatedExchange) -> None:
    """A query whose request was cancelled is sent again when its poller is restarted."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, queries=(*QUERIES, SLOWER))
        with exchange.lose_answers(HIDDEN, "alice"):
            await polled.poll()
            polled.poller.queries.stop()
        await polled.poll()

    assert {} == polled.state.failures
    assert 2 == len(polled.snapshots)
