"""This host's clocks, and what happens to them: a suspend, a paused virtual machine, a clock that is set ahead.

Deadlines, pauses and holds count monotonic seconds, the time in a suspend included. Data ages by these and by what the
wall clock gains on them: while a virtual machine is paused only the rest of the world goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from exporter.supervision import RepeatFilter

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

_TICK_SECONDS: Final = 1.0
_JUMP_SECONDS: Final = 30.0  # less is a correction by NTP, or a busy machine


class HostClock:
    """The host's clocks, read together.

    Args:
        wall: epoch seconds; may be stepped.
        monotonic: seconds that never go back and that go on in a suspend.
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.woken_at = float("-inf")  # when the last suspend or jump was noticed, in monotonic seconds
        self._gained_seconds = 0.0  # by the wall clock on the monotonic one, jumps ahead alone
        self._last_wall, self._last_monotonic = wall(), monotonic()
        self._logged = RepeatFilter(monotonic)

    def age(self, moment: float | None = None) -> float:
        """Return the seconds that data ages by: monotonic ones, and all jumps ahead of the wall clock.

        A paused virtual machine and a clock that is set ahead look alike: data may be as old as the wall clock says.

        Args:
            moment: monotonic seconds, since the last jump; None: now.
        """
        wall, now = self.wall(), self.monotonic()
        gained = wall - self._last_wall - (now - self._last_monotonic)
        self._last_wall, self._last_monotonic = wall, now
        if gained > _JUMP_SECONDS:
            self._gained_seconds += gained
            self._wake("wall clock jumped ahead, polling all accounts again", gained)
        return (now if moment is None else moment) + self._gained_seconds

    async def watch(self, woken: Callable[[], None]) -> NoReturn:
        """Look at the clocks every second, and call `woken` after each suspend or jump of more than 30 seconds.

        In a `HostClockLoop` this also ends the sleep of the loop itself: the system's timers stand still in a suspend.
        """
        handled_at = float("-inf")
        while True:
            due = self.monotonic() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            self.age()
            late = self.monotonic() - due
            if late > _JUMP_SECONDS:
                self._wake("resumed after a suspend, polling all accounts again", late)
            if self.woken_at > handled_at:
                handled_at = self.woken_at
                woken()

    def _wake(self, event: str, seconds: float) -> None:
        self.woken_at = self.monotonic()
        if self._logged.is_due(event):
            log.warning(event, seconds=round(seconds, 1))


class HostClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers count a clock that goes on in a suspend, which asyncio's own does not.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        super().__init__()

    def time(self) -> float:
        """Return the clock's seconds."""
        return self._monotonic()
