"""Requests whose timestamp the exchange rejects are sent once more, after its time was read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.methods import POSITION, STATUS
from support.polling import Polled, connected, count_requests, error

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_stepped_clock_costs_no_poll(exchange: SimulatedExchange) -> None:
    """If the exchange rejects the timestamp, the time is read again and the poll still succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.skew_clock(20.0):
            state = await polled.poll()

    assert state.last_poll_succeeded
    assert 2 == count_requests(exchange, STATUS)


async def test_timestamp_that_the_second_response_rejects_is_corrected(exchange: SimulatedExchange) -> None:
    """If the timestamp of the second request is rejected, the time is read again, and both are sent again."""
    refusals = [error(400, -1021)]
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer(POSITION, "alice", lambda answer: refusals.pop()(answer) if refusals else answer):
            state = await polled.poll()

    assert {} == state.failures
    assert (2, 2) == (count_requests(exchange, STATUS), count_requests(exchange, POSITION))
    assert 1 == len(polled.snapshots)


async def test_clock_that_cannot_be_corrected(exchange: SimulatedExchange) -> None:
    """A timestamp that is refused even after learning the time fails the poll with reason clock."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", error(400, -1021)):
            state = await polled.poll()

    assert {Reason.CLOCK: 1} == state.failures
    assert 2 == count_requests(exchange, STATUS)


@pytest.mark.usefixtures("virtual_time")
async def test_time_that_is_not_reported_before_the_deadline(exchange: SimulatedExchange) -> None:
    """A poll ends by its deadline even if the request for the time is not answered."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with (
            exchange.replace_answer(STATUS, "alice", error(400, -1021)),
            exchange.lose_answers("session.status"),
        ):
            state = await polled.poll(within=4.0)

    assert {Reason.CLOCK: 1} == state.failures
