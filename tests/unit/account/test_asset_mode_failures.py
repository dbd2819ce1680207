"""An account's asset mode when requests for v1 fail: no poll fails with them, and they become rare."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from support.asset_modes import OTHER_TOTALS, reporting
from support.clocks import Monotonic
from support.methods import SESSION, STATUS, V1
from support.polling import Polled, altered, connected, count_requests, error, pair_of, pass_time
from support.waiting import running_task, until

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.polling import Answer

    from exporter.simulator import SimulatedExchange

HOUR = 3600.0


async def test_unknown_v1_applies_to_the_whole_endpoint(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """Without v1 polls use the totals; this is logged once, one account tries v1 hourly, and it is used again."""
    monotonic = Monotonic()
    counts = []
    async with connected(exchange.url, monotonic=monotonic) as connection:
        pair = pair_of(exchange, connection)
        with (
            exchange.replace_answer(V1, None, error(404, -5000)),
            exchange.replace_answer(STATUS, "bob", OTHER_TOTALS),
        ):
            for _ in range(3):
                for polled in (*pair, *pair):
                    await polled.poll()
                counts.append(count_requests(exchange, V1))
                pass_time(exchange, connection, monotonic, HOUR)
        for polled in pair:
            await polled.poll()
            await polled.queries_finished()

    assert [1, 2, 3] == counts
    assert 3 + 2 == count_requests(exchange, V1)
    assert [AssetMode.SINGLE] * 7 == pair[0].modes
    assert [*[AssetMode.MULTI] * 6, AssetMode.SINGLE] == pair[1].modes
    assert [{}, {}] == [polled.state.failures for polled in pair]
    assert [("method unavailable", V1)] == [
        (event["event"], event["method"]) for event in logged if event["log_level"] in {"warning", "error"}
    ]


@pytest.mark.parametrize(
    "answer",
    [
        error(500, -1000),
        error(400, -1102),
        error(400, -2015),
        error(403, -5002),
        lambda answer: {"id": answer["id"]},
        lambda answer: {"id": answer["id"], "status": 200},
        lambda answer: {"id": answer["id"], "status": 200, "result": None},
        altered(lambda result: result.pop("multiAssetsMargin")),
        altered(lambda result: result.update(multiAssetsMargin="false")),
        lambda answer: f'{{"id":{answer["id"]},"status":200,"result":{{"multiAssetsMargin":tr',
    ],
)
async def test_v1_that_fails_costs_no_poll(
    exchange: SimulatedExchange, logged: list[Any], answer: Callable[[Answer], Answer]
) -> None:
    """Whatever v1 responds, polls succeed with the totals, without a warning and without a v1 request at each."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", answer):
            for _ in range(3):
                await polled.poll()
        before = count_requests(exchange, V1)
        pass_time(exchange, connection, monotonic, HOUR)
        await polled.poll()

    assert [AssetMode.SINGLE] * 4 == polled.modes
    assert (1, 2) == (before, count_requests(exchange, V1))
    assert {} == polled.state.failures
    assert [] == [event for event in logged if event["log_level"] in {"warning", "error"}]


async def test_v1_is_requested_as_soon_as_it_can_be(exchange: SimulatedExchange) -> None:
    """If v1 could not be requested at the first poll, it is requested at the next one, not an hour later."""
    rejection = exchange.reject_handshake(503)
    async with connected(exchange.url, wait=False) as connection:
        await connection.first_attempt_finished.wait()
        polled = Polled(exchange, connection)
        await polled.poll()
        rejection.close()
        await until(lambda: connection.connected)
        await polled.poll()

    assert 1 == count_requests(exchange, V1)
    assert {Reason.CONNECTION: 1} == polled.state.failures


@pytest.mark.no_cover
@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("patience", "answer"), [(4.0, lambda _: []), (60.0, lambda _: []), (10.0, error(500, -1000))])
async def test_v1_that_does_not_respond_is_requested_less_and_less(
    exchange: SimulatedExchange, patience: float, answer: Callable[[Answer], Answer]
) -> None:
    """Without a successful response v1 is requested again after 1, 2, 4 ... intervals, then hourly; no poll fails."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0, request_timeout_seconds=patience)
        with exchange.replace_answer(V1, "alice", answer):
            async with running_task(polled.poller.run()):
                await asyncio.sleep(2.2 * HOUR)
    times = [request.params["timestamp"] / 1000 for request in exchange.received if request.method == V1]

    delays = [*(60.0 * 2**n for n in range(6)), HOUR]
    assert delays == pytest.approx([later - earlier for earlier, later in pairwise(times)], abs=8.0)
    assert {} == polled.state.failures


@pytest.mark.no_cover
@pytest.mark.usefixtures("virtual_time")
async def test_v1_that_stops_responding_is_requested_less_and_less(exchange: SimulatedExchange) -> None:
    """If v1 responded once and then never again, it is not requested at every poll, and the reported mode is kept."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0)
        async with running_task(polled.poller.run()):
            await until(lambda: polled.snapshots)
            with exchange.lose_answers(V1, "alice"):
                await asyncio.sleep(2 * HOUR)

    assert 1 + 6 == count_requests(exchange, V1)  # after an hour, and 1, 3, 7, 15 and 31 minutes later
    assert {AssetMode.SINGLE} == set(polled.modes)


async def test_v1_with_a_different_clock_costs_no_poll(exchange: SimulatedExchange) -> None:
    """If v1 rejects every timestamp, the time is read again once, and polls still succeed."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", error(400, -1021)):
            for _ in range(3):
                await polled.poll()

    assert {} == polled.state.failures
    assert 3 == len(polled.snapshots)


async def test_failure_does_not_forget_what_v1_said(exchange: SimulatedExchange) -> None:
    """If v1 fails an hour later, the reported mode is kept."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", reporting(multi=True)):
            await polled.poll()
        pass_time(exchange, connection, monotonic, HOUR)
        with exchange.replace_answer(V1, "alice", error(500, -1000)):
            await polled.poll()

    assert [AssetMode.MULTI] * 2 == polled.modes


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("patience", "within"), [(4.0, 60.0), (60.0, 15.0)])
async def test_unanswered_v1_costs_no_poll(exchange: SimulatedExchange, patience: float, within: float) -> None:
    """V1 that never answers is given up at its timeout, or after half of the poll's time; the poll succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, request_timeout_seconds=patience)
        with exchange.lose_answers(V1, "alice"):
            state = await polled.poll(within)

    assert {} == state.failures
    assert [AssetMode.SINGLE] == polled.modes


@pytest.mark.usefixtures("virtual_time")
async def test_turn_that_does_not_come_costs_no_poll(exchange: SimulatedExchange) -> None:
    """If the plan leaves little weight for v1, one account requests it at a time, the other at a later poll."""
    async with connected(exchange.url) as connection:
        connection.budget.plan([(10, 1e-5)])
        pair = pair_of(exchange, connection)
        for polled in pair:
            await polled.poll(within=2.0)
        first = count_requests(exchange, V1)
        await asyncio.sleep(20)
        for polled in pair:
            await polled.poll(within=2.0)

    keys = [request.params["apiKey"] for request in exchange.received if request.method == V1]
    assert 1 == first
    assert [exchange.accounts[name].api_key for name in ("alice", "bob")] == keys
    assert [{}, {}] == [polled.state.failures for polled in pair]


async def test_timestamp_that_v1_rejects_is_corrected(exchange: SimulatedExchange) -> None:
    """If v1 rejects the timestamp, the time is read again, all requests are sent once more, and the poll succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.skew_clock(20.0):
            state = await polled.poll()
        time_requests = count_requests(exchange, SESSION)

    assert {} == state.failures
    assert 2 == time_requests == count_requests(exchange, V1)
    assert 2 == count_requests(exchange, STATUS)


async def test_switch_is_noticed_though_v1_fails_once(exchange: SimulatedExchange) -> None:
    """If v1 fails at the moment when the figures stop agreeing, it is requested again with the next poll."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        with exchange.replace_answer(STATUS, "alice", OTHER_TOTALS):
            failing = exchange.replace_answer(V1, "alice", error(500, -1000))
            await polled.poll()
            failing.close()
            exchange.replace_answer(V1, "alice", reporting(multi=True))
            await polled.poll()

    assert [AssetMode.SINGLE, AssetMode.SINGLE, AssetMode.MULTI] == polled.modes


async def test_v1_that_goes_on_failing_leaves_it_to_the_figures(exchange: SimulatedExchange) -> None:
    """When v1 cannot settle what the figures say for several polls, the figures are believed."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        with (
            exchange.replace_answer(STATUS, "alice", OTHER_TOTALS),
            exchange.replace_answer(V1, "alice", error(500, -1000)),
        ):
            for _ in range(5):
                await polled.poll()

    assert [AssetMode.SINGLE] * 4 + [AssetMode.MULTI] * 2 == polled.modes
