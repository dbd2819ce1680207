"""When polls are due, also after the host was woken."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import VirtualTimeLoop

from exporter.account.poll_timer import PollTimer

pytestmark = pytest.mark.usefixtures("virtual_time")


def timer_and_loop() -> tuple[PollTimer, VirtualTimeLoop]:
    """Make a timer that uses the running loop's clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return PollTimer(loop.time), loop


async def test_waits_until_due() -> None:
    """A poll begins when it is due, at once if that has just passed."""
    timer, loop = timer_and_loop()

    assert 20.0 == await timer.wait_until(20.0, 3.0)
    assert loop.time() == pytest.approx(20.0)
    assert 15.0 == await timer.wait_until(15.0, 3.0)
    assert loop.time() == pytest.approx(20.0)


async def test_wake_brings_a_poll_forward() -> None:
    """After waking a poll begins its place in the round later, not when it would have been due."""
    timer, loop = timer_and_loop()
    loop.call_later(10.0, timer.wake)

    assert await timer.wait_until(3600.0, 3.0) == loop.time() == pytest.approx(13.0)
    assert 3600.0 == await timer.wait_until(3600.0, 3.0)  # and the one after it as ever


async def test_wake_during_a_poll() -> None:
    """A wake while no poll is waited for brings the next one forward."""
    timer, loop = timer_and_loop()
    timer.wake()

    assert await timer.wait_until(3600.0, 3.0) == loop.time() == pytest.approx(3.0)


async def test_wake_delays_nothing() -> None:
    """A poll that is due before its place in the round keeps its time."""
    timer, _ = timer_and_loop()
    timer.wake()

    assert 2.0 == await timer.wait_until(2.0, 3.0)


async def test_early_polls_are_a_minute_apart() -> None:
    """A host that is woken again and again is polled early once a minute, the last wake not forgotten."""
    timer, loop = timer_and_loop()
    early = []
    for _ in range(3):
        loop.call_later(10.0, timer.wake)
        loop.call_later(20.0, timer.wake)
        early.append(await timer.wait_until(loop.time() + 3600.0, 3.0))

    assert [13.0, 76.0, 139.0] == pytest.approx(early)


async def test_poll_that_was_due_in_a_suspend() -> None:
    """A poll that was due in a suspend begins its place in the round after it: not all accounts' at once."""
    timer, loop = timer_and_loop()
    loop.call_later(10.0, loop.suspend, 7200.0)

    assert await timer.wait_until(3600.0, 3.0) == loop.time() == pytest.approx(7213.0, abs=1.5)


async def test_suspend_that_is_also_reported() -> None:
    """A suspend that the timer has both noticed and been woken for brings forward one poll, not two."""
    timer, loop = timer_and_loop()
    loop.call_later(10.0, loop.suspend, 7200.0)
    loop.call_later(3601.0, timer.wake)
    first = await timer.wait_until(3600.0, 3.0)

    assert first == pytest.approx(7213.0, abs=1.5)
    assert 10_800.0 == await timer.wait_until(10_800.0, 3.0)
