"""Position risk, which polls request with the status: both answers make one snapshot, or the poll fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.clocks import Monotonic
from support.methods import POSITION, STATUS
from support.polling import Answer, Polled, altered, connected, count_requests, error, pass_time

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator import SimulatedExchange


async def test_both_answers_make_one_snapshot(exchange: SimulatedExchange) -> None:
    """A poll requests position risk right after the status on the same socket, and publishes both together."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        for _ in range(2):
            await polled.poll()

    assert [STATUS, POSITION] * 2 == [one.method for one in exchange.received if one.method != "session.status"]
    assert 1 == connection.connections
    (risk,) = polled.snapshots[1].risks
    (position,) = polled.snapshots[1].held
    assert ("BTCUSDT", "BOTH", "USDT") == (risk.symbol, risk.position_side, position.margin_asset)
    assert risk.mark_price
    assert risk.entry_price


async def test_position_risk_can_be_switched_off(exchange: SimulatedExchange) -> None:
    """Without position_risk it is never requested; the snapshots have all figures except those of risk."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, position_risk=False)
        for _ in range(2):
            await polled.poll()

    assert 0 == count_requests(exchange, POSITION)
    assert [(), ()] == [snapshot.risks for snapshot in polled.snapshots]
    assert [["USDT"]] * 2 == [[one.margin_asset for one in snapshot.held] for snapshot in polled.snapshots]


@pytest.mark.usefixtures("virtual_time")
async def test_snapshot_is_dated_by_the_status(exchange: SimulatedExchange) -> None:
    """An answer about positions that comes later makes the snapshot no younger than the account's status."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.delay_answers(7.0, POSITION):
            state = await polled.poll()
        now = connection.clock.monotonic()

    (snapshot,) = polled.snapshots
    assert snapshot.asked_at <= snapshot.answered_at <= now - 6.9
    assert snapshot.answered_at == state.answered_at


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(500, -1000), Reason.EXCHANGE),
        (error(400, -2015), Reason.REFUSED),
        (error(400, -1102), Reason.REFUSED),
        (error(429, -1003), Reason.RATE_LIMITED),
        (error(418, -1003), Reason.BANNED),
        (lambda _: [], Reason.TIMEOUT),
        (lambda answer: {"id": answer["id"]}, Reason.PROTOCOL),
        (lambda answer: {"id": answer["id"], "status": 200, "result": None}, Reason.DECODE),
        (lambda answer: {"id": answer["id"], "status": 200, "result": {}}, Reason.DECODE),
        (altered(lambda result: result.append(result[0])), Reason.DECODE),
        (altered(lambda result: result[0].pop("positionSide")), Reason.DECODE),
        (altered(lambda result: result[0].update(liquidationPrice="NaN")), Reason.DECODE),
    ],
)
async def test_second_answer_that_fails_fails_the_poll(
    exchange: SimulatedExchange, answer: Callable[[Answer], Answer], reason: Reason
) -> None:
    """Without its position risk a poll publishes nothing, not even the good status, and counts that reason."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer(POSITION, "alice", answer):
            state = await polled.poll()

    assert [] == polled.snapshots
    assert {reason: 1} == state.failures
    assert not state.last_poll_succeeded
    assert (1, 1) == (count_requests(exchange, STATUS), count_requests(exchange, POSITION))


@pytest.mark.parametrize(
    ("expected", "broken"),
    [
        ("result[0].positionAmt: is missing", lambda result: result[0].pop("positionAmt")),
        ("result[1]: duplicates result[0]", lambda result: result.append(result[0])),
        ("result[0].adl: Expected `int | null`, got `array`", lambda result: result[0].update(adl=[])),
    ],
)
async def test_decode_failure_of_the_second_answer_names_the_field(
    exchange: SimulatedExchange, expected: str, broken: Callable[[Answer], object]
) -> None:
    """A broken position risk response is reported with the path of the field."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(POSITION, "alice", altered(broken)):
            state = await polled.poll()

    assert state.last_failure
    assert expected == state.last_failure.message


async def test_failed_second_answer_keeps_the_last_snapshot(exchange: SimulatedExchange) -> None:
    """A poll that fails by its second answer leaves the last snapshot and its age as they were."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        answered_at = polled.state.answered_at
        with exchange.replace_answer(POSITION, "alice", error(500, -1000)):
            state = await polled.poll()
        failed_at = state.answered_at
        pass_time(exchange, connection, monotonic, 15)
        await polled.poll()

    assert answered_at == failed_at == polled.snapshots[0].answered_at
    assert 2 == len(polled.snapshots)
