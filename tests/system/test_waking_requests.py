"""Bans, retries, rotations and turns after a suspend, a pause of the virtual machine, or a wall clock set ahead.

The polling parts of the exporter and their exchange run in virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from support.clock_events import THREE_HOURS, ClockEvent, pause, set_ahead, suspend
from support.counting_exchange import Exchange, Host, failures, running
from support.methods import STATUS
from support.polling import count_requests
from support.waiting import running_task, until

from exporter.account.asset_mode import AssetMode
from exporter.binance.dialing import Timing
from exporter.binance.errors import Reason
from exporter.simulator.answer_edits import error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("virtual_time")


@contextlib.asynccontextmanager
async def waking(exchange: Exchange, host: Host, timing: Timing | None = None, **settings: Any) -> AsyncIterator[Any]:
    """Run the polling parts of the exporter and their watch of the clocks."""
    settings = {"asset_mode": AssetMode.SINGLE} | settings
    async with (
        running(exchange, host, timing=timing, **settings) as fleet,
        running_task(fleet.host.watch(fleet.wake)),
    ):
        yield fleet


@pytest.mark.parametrize(("event", "retries"), [(pause, 0), (set_ahead, 0), (suspend, 1)])
async def test_ban_is_waited_out(event: ClockEvent, retries: int) -> None:
    """A wall clock set ahead does not end a ban; a suspend does, since the time has really passed."""
    host, refuse = Host(), error(418, code=-1003, msg="Way too many requests.")
    async with Exchange(2) as exchange, waking(exchange, host) as fleet:
        (connection,) = fleet.connections
        with exchange.replace_answer(STATUS, None, refuse):
            await until(lambda: connection.budget.paused)
        requests = len(exchange.received)
        event(exchange, host)
        await asyncio.sleep(60.0)
        paused = connection.budget.paused

    assert (len(exchange.received) > requests) == bool(retries)
    assert paused is (None if retries else Reason.BANNED)


@pytest.mark.parametrize("event", [pause, set_ahead])
async def test_rejected_key_is_not_retried_early(event: ClockEvent) -> None:
    """A wall clock set ahead does not cause an early retry with a rejected key."""
    host, refuse = Host(), error(401, code=-2015, msg="Invalid API-key, IP, or permissions for action.")
    async with Exchange(1) as exchange:
        exchange.replace_answer(STATUS, None, refuse)
        async with waking(exchange, host, interval_seconds=100.0) as fleet:
            await until(lambda: failures(fleet)[Reason.REFUSED])
            await asyncio.sleep(900.0)  # by now the delays between retries are long
            before = count_requests(exchange, STATUS)
            held_until = fleet.pollers[0]._held_until
            event(exchange, host)
            await asyncio.sleep(20.0)

    assert before == count_requests(exchange, STATUS)
    assert held_until == fleet.pollers[0]._held_until


@pytest.mark.parametrize(("event", "rotated"), [(pause, 1), (set_ahead, 1), (suspend, 2)])
async def test_rotation_is_by_the_time_that_has_passed(event: ClockEvent, rotated: int) -> None:
    """A wall clock set ahead does not cause an early rotation; a suspend does."""
    host, timing = Host(), Timing(rotate_between=(THREE_HOURS, THREE_HOURS))
    async with Exchange(1) as exchange, waking(exchange, host, timing, interval_seconds=600.0) as fleet:
        (connection,) = fleet.connections
        await until(lambda: connection.connected)
        await asyncio.sleep(60.0)
        event(exchange, host)
        await asyncio.sleep(60.0)

    assert rotated == connection.connections
    assert not failures(fleet)


@pytest.mark.parametrize("event", [pause, suspend])
async def test_accounts_are_polled_again_in_turn(event: ClockEvent) -> None:
    """After waking the accounts are polled spread over the first round, within the budget, not in a burst."""
    host = Host()
    async with Exchange(20) as exchange, waking(exchange, host, interval_seconds=60.0) as fleet:
        await until(lambda: all(state.last_poll_succeeded for state in fleet.states))
        event(exchange, host)
        resumed_at, polled = exchange.server_time(), count_requests(exchange, STATUS)
        await until(
            lambda: (
                count_requests(exchange, STATUS) >= polled + 20
                and all(state.last_poll_succeeded for state in fleet.states)
            )
        )
        took = exchange.server_time() - resumed_at
        most = exchange.most_in_a_second(resumed_at)

    assert took < 30.0
    # Four or five accounts with two queries each, some of their configurations, and the request for the time.
    assert most <= 18
    assert not exchange.rejected()
