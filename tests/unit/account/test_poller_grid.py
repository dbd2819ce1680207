"""The grid of an account's polls: when the first one and those after it are due."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.polling import Polled, connected
from support.waiting import running_task, until

from exporter.account.asset_mode import AssetMode

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


@pytest.mark.usefixtures("virtual_time")
async def test_polls_on_its_grid(exchange: SimulatedExchange) -> None:
    """Polls go on, one at each point of the account's grid, until cancelled."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=5.0)
        async with running_task(polled.poller.run()):
            await until(lambda: len(polled.snapshots) == 5)

    requests = [snapshot.asked_at for snapshot in polled.snapshots]
    assert [5.0] * 4 == pytest.approx([later - earlier for earlier, later in pairwise(requests)], abs=0.1)


@pytest.mark.usefixtures("virtual_time")
async def test_first_poll_is_soon_however_long_the_interval(exchange: SimulatedExchange) -> None:
    """The first poll comes at once; the next one comes on the grid."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0, asset_mode=AssetMode.SINGLE)
        polled.poller.phase = 0.5
        async with running_task(polled.poller.run()):
            await asyncio.sleep(160)
        began = connection.first_attempt_finished_at

    assert [0.0, 90.0, 150.0] == pytest.approx([one.asked_at - began for one in polled.snapshots], abs=0.2)


@pytest.mark.usefixtures("virtual_time")
async def test_polls_that_take_their_whole_interval_are_due_at_each(exchange: SimulatedExchange) -> None:
    """A poll that ends when the next one is due does not cost that one."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=5.0, asset_mode=AssetMode.SINGLE)
        with exchange.lose_answers():
            async with running_task(polled.poller.run()):
                await asyncio.sleep(101)

    assert 20 <= polled.state.polls <= 21


@pytest.mark.parametrize(
    ("phase", "interval", "now", "expected"),
    [
        (0.0, 10.0, 3.0, 10.0),
        (0.5, 10.0, 5.1, 15.0),
        (0.5, 10.0, 27.0, 35.0),  # points that passed meanwhile are not made up for
        (0.25, 20.0, 12.0, 25.0),  # a stretched interval has moved the grid
        (0.0, 10.0, 9.9999999, 20.0),  # a clock that woke a little early does not poll twice
    ],
)
async def test_next_point_of_the_grid(
    exchange: SimulatedExchange, phase: float, interval: float, now: float, expected: float
) -> None:
    """The next scheduled poll is the grid's first point after now."""
    async with connected(exchange.url) as connection:
        poller = Polled(exchange, connection, interval_seconds=interval).poller
    poller.phase = phase
    poller._monotonic = lambda: now

    assert expected == pytest.approx(poller._next_due(0.0, now))
