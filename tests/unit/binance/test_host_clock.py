"""The host's clocks: the time that dates data, and timers that include time spent in suspend."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Clock, Monotonic
from support.virtual_time import VirtualTimeLoop
from support.waiting import DEADLINE_SECONDS, running_task, until

from exporter.binance.host_clock import HostClock, HostClockLoop
from exporter.cli.main import _run_in_loop

if TYPE_CHECKING:
    from collections.abc import Callable


class Host:
    """A host whose clocks a test moves."""

    def __init__(self) -> None:
        self.wall, self.monotonic = Clock(1_700_000_000.0), Clock(100.0)
        self.clock = HostClock(self.wall, self.monotonic)

    def pass_time(self, seconds: float, *, wall_ahead: float = 0.0) -> float:
        """Let time go by, the wall clock gaining `wall_ahead`; return the seconds by which data has aged."""
        before = self.clock.data_time()
        self.monotonic.now += seconds
        self.wall.now += seconds + wall_ahead
        return self.clock.data_time() - before


@pytest.mark.parametrize(
    ("wall_ahead", "aged"),
    [
        (0.0, 10.0),
        (30.0, 10.0),  # no more than a correction
        (30.5, 40.5),
        (10_800.0, 10_810.0),  # a paused virtual machine, or a clock that was wrong
        (-10_800.0, 10.0),
        (-1_700_000_000.0, 10.0),
        (1_700_000_000.0, 1_700_000_010.0),
    ],
)
def test_data_ages_by_what_the_wall_clock_gains(wall_ahead: float, aged: float) -> None:
    """A wall clock that gains more than 30 s ages data by as much; one that loses any time does not."""
    host = Host()

    assert aged == host.pass_time(10.0, wall_ahead=wall_ahead)
    assert 5.0 == host.pass_time(5.0)
    assert (host.clock.woken_at == 110.0) == (wall_ahead > 30.0)


def test_jumps_add_up() -> None:
    """Each jump ages the data; a step back between two of them gives nothing back."""
    host = Host()
    aged = [host.pass_time(1.0, wall_ahead=ahead) for ahead in (100.0, -3600.0, 3600.0)]

    assert [101.0, 1.0, 3601.0] == aged


def test_slow_drift_is_not_a_jump() -> None:
    """A wall clock that gains little at a time ages nothing, however much it adds up to."""
    host = Host()

    assert 1000.0 == sum(host.pass_time(1.0, wall_ahead=0.5) for _ in range(1000))


def test_jump_is_logged_once_in_five_minutes(logged: list[Any]) -> None:
    """A clock that jumps again and again writes a line every five minutes."""
    host = Host()
    for _ in range(301):
        host.pass_time(1.0, wall_ahead=60.0)

    assert [60.0, 60.0] == [line["seconds"] for line in logged]
    assert {"wall clock jumped ahead, polling all accounts now"} == {line["event"] for line in logged}


async def watched(clock: HostClock, happen: Callable[[], None], seconds: float = 100.0) -> int:
    """Watch a clock while something happens after 10 seconds; return how often it called `woken`."""
    woken = 0

    def count() -> None:
        nonlocal woken
        woken += 1

    async with running_task(clock.watch(count)):
        await asyncio.sleep(10.0)
        happen()
        await asyncio.sleep(seconds)
    return woken


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("seconds", "woken"), [(29.0, 0), (32.0, 1), (86_400.0, 1)])
async def test_suspend_is_noticed(seconds: float, woken: int) -> None:
    """A suspend of more than 30 s is noticed once; both clocks went on meanwhile, so data ages by it just once."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    clock = HostClock(loop.time, loop.time)

    assert woken == await watched(clock, lambda: loop.suspend(seconds))
    assert clock.data_time() == loop.time()


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("ahead", "woken"), [(0.0, 0), (-3600.0, 0), (29.0, 0), (31.0, 1), (86_400.0, 1)])
async def test_jump_is_noticed(ahead: float, woken: int) -> None:
    """A jump of the wall clock is noticed once, by the first read of the clock."""
    loop, wrong = asyncio.get_running_loop(), Clock(0.0)
    clock = HostClock(lambda: loop.time() + wrong.now, loop.time)

    def jump() -> None:
        wrong.now += ahead
        clock.data_time()

    assert woken == await watched(clock, jump)


def test_timers_go_on_in_a_suspend() -> None:
    """A timer of an hour ends soon after the host was suspended for two, although the system's timers stood still."""
    # Simulated: the clock that goes on during a suspend is moved ahead, the one that selectors wait by is not.
    boottime = Monotonic()

    async def sleep() -> float:
        watching = asyncio.create_task(HostClock(boottime, boottime).watch(lambda: None))
        timers = [asyncio.create_task(asyncio.sleep(3600.0)), asyncio.create_task(until_never(3600.0))]
        await asyncio.sleep(0.0)
        boottime.ahead += 7200.0
        started_at = boottime()
        await asyncio.wait(timers)
        watching.cancel()
        return boottime() - started_at

    with asyncio.Runner(loop_factory=lambda: HostClockLoop(boottime)) as runner:
        assert runner.run(sleep()) < DEADLINE_SECONDS


async def until_never(seconds: float) -> None:
    """Wait for what never comes, for so long at most."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


def test_program_runs_in_such_a_loop() -> None:
    """The command line runs everything in a loop whose timers go on in a suspend."""

    async def loop() -> asyncio.AbstractEventLoop:
        await until(lambda: True)
        return asyncio.get_running_loop()

    assert isinstance(_run_in_loop(loop()), HostClockLoop)
