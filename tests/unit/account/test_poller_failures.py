"""Polls that fail: nothing is published, and the reason is counted and reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import STATUS
from support.polling import Answer, Polled, altered, connected, error, pass_time
from support.waiting import until

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator import SimulatedExchange


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(500, -1000), Reason.EXCHANGE),
        (error(400, -2015), Reason.REFUSED),
        (error(404, -5000), Reason.REFUSED),
        (error(429, -1003), Reason.RATE_LIMITED),
        (error(418, -1003), Reason.BANNED),
        (lambda answer: {"id": answer["id"]}, Reason.PROTOCOL),
        (lambda answer: {"id": answer["id"], "status": 200}, Reason.DECODE),
        (lambda answer: {"id": answer["id"], "status": 200, "result": None}, Reason.DECODE),
        (altered(lambda result: result.pop("positions")), Reason.DECODE),
        (altered(lambda result: result["assets"].append(result["assets"][0])), Reason.DECODE),
        (altered(lambda result: result["positions"][0].update(notional="NaN")), Reason.DECODE),
        (altered(lambda result: result.update(totalWalletBalance=[])), Reason.DECODE),
    ],
)
async def test_failures_are_counted_by_reason(
    exchange: SimulatedExchange, answer: Callable[[Answer], Answer], reason: Reason
) -> None:
    """A failed poll publishes nothing, counts one reason, and touches no other account."""
    async with connected(exchange.url) as connection:
        alice, bob = Polled(exchange, connection), Polled(exchange, connection, "bob")
        await bob.poll()
        with exchange.replace_answer(STATUS, "alice", answer):
            state = await alice.poll()

    assert [] == alice.snapshots
    assert {reason: 1} == state.failures
    assert state.last_failure
    assert reason is state.last_failure.reason
    assert state.first_poll_finished
    assert {} == bob.state.failures


async def test_decode_failure_names_the_field(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A broken response is reported with the path of the field, and the next poll succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        broken = altered(lambda result: result["positions"][0].update(positionAmt=None))
        with exchange.replace_answer(STATUS, "alice", broken):
            await polled.poll()
        polled.poller._held_until = 0.0
        state = await polled.poll()

    assert state.last_poll_succeeded
    (event,) = [event for event in logged if event["event"] == "poll failed"]
    assert "result.positions[0].positionAmt: Expected `float`, got `null`" == event["error"]


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda text: text[: len(text) // 2], "response: Input data was truncated"),
        (
            lambda text: text.replace('"status":200', '"status":"good"'),
            "response.status: Expected `int | null`, got `str`",
        ),
        (lambda text: text.replace('"updateTime":', '"updateTime":NaN,"was":', 1), "response: JSON is malformed"),
        (lambda text: text.replace('"BTCUSDT"', '"\\ud800"', 1), "response"),
        (lambda text: text.replace('"updateTime":', '"updateTime":1' + "0" * 400 + ',"was":', 1), "result.assets[0]"),
    ],
    ids=["truncated", "status", "NaN", "surrogate", "huge"],
)
async def test_broken_response_fails_only_its_poll_at_once(
    exchange: SimulatedExchange, breaking: Callable[[str], str], words: str
) -> None:
    """An answer that cannot be decoded is not waited for until the timeout: its poll fails with what is broken."""

    def broken(answer: Answer) -> str:
        return breaking(json.dumps(answer, separators=(",", ":")))

    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", broken):
            state = await polled.poll()

    assert {Reason.DECODE: 1} == state.failures
    assert state.last_failure
    assert state.last_failure.message.startswith(words)


async def test_rejected_handshake_is_reported_as_such(exchange: SimulatedExchange) -> None:
    """While a refused handshake pauses the endpoint, due polls fail with the pause's reason, not the connection's."""
    with exchange.reject_handshake(429):
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.budget.paused)
            state = await Polled(exchange, connection).poll()

    assert {Reason.RATE_LIMITED: 1} == state.failures


@pytest.mark.usefixtures("virtual_time")
async def test_dial_that_waits_for_weight_is_reported_as_such(exchange: SimulatedExchange) -> None:
    """While the next dial waits for the IP's weight, due polls fail for want of weight, not of a connection."""
    async with connected(exchange.url) as connection:
        exchange.add_other_traffic(2145)
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, position_risk=False)
        await polled.poll()  # tells the budget how full the minute is
        exchange.drop_connections()
        await until(lambda: not connection.connected and connection._current.dial_waits_for_weight)
        state = await polled.poll()

    assert {Reason.RATE_LIMITED: 1} == state.failures


@pytest.mark.usefixtures("virtual_time")
async def test_no_answer_counts_as_timeout(exchange: SimulatedExchange) -> None:
    """A poll without an answer ends at the request's timeout, or when the next one is due, whichever comes first."""
    async with connected(exchange.url) as connection:
        patient = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, request_timeout_seconds=60.0)
        impatient = Polled(exchange, connection, "bob", asset_mode=AssetMode.SINGLE, request_timeout_seconds=5.0)
        took = []
        with exchange.lose_answers():
            for polled in (patient, impatient):
                began = connection.clock.monotonic()
                await polled.poll(within=15.0)
                took.append(connection.clock.monotonic() - began)

    assert {Reason.TIMEOUT: 1} == patient.state.failures == impatient.state.failures
    assert [15.0, 5.0] == pytest.approx(took, abs=0.1)


async def test_no_connection_counts_as_connection(exchange: SimulatedExchange) -> None:
    """A scheduled poll without a connection fails with that reason, and later polls are not held back."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        rejection = exchange.reject_handshake(503)
        exchange.drop_connections()
        await until(lambda: not connection.connected)
        await polled.poll()
        rejection.close()
        await until(lambda: connection.connected)
        state = await polled.poll()

    assert {Reason.CONNECTION: 1} == state.failures
    assert state.last_poll_succeeded


async def test_own_fault_does_not_end_polling(
    exchange: SimulatedExchange, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error fails the poll and is logged with its traceback, and the next poll succeeds."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with monkeypatch.context() as patch:
            patch.setattr(polled.poller, "_publish", None)
            await polled.poll()
        pass_time(exchange, connection, monotonic, 15)
        state = await polled.poll()

    assert {Reason.PROTOCOL: 1} == state.failures
    assert state.last_poll_succeeded
    assert "poll failed, internal error" in {event["event"] for event in logged}
