"""This host's clocks, and how a suspend, a paused virtual machine and a clock that is set ahead are detected.

Deadlines, pauses and holds are in monotonic seconds, which include time spent in suspend. The age of data also includes
what the wall clock gains on them: while a virtual machine is paused, its monotonic clock stops.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from exporter.repeat_filter import RepeatFilter

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

_TICK_SECONDS: Final = 1.0
_JUMP_SECONDS: Final = 30.0  # less is a correction by NTP, or a busy machine


class HostClock:
    """The host's wall clock and monotonic clock, compared with each other.

    Args:
        wall: epoch seconds; may be stepped.
        monotonic: seconds that never go back and that include time spent in suspend.
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.woken_at = float("-inf")  # when the last suspend or jump was noticed, in monotonic seconds
        self._gained_seconds = 0.0  # by the wall clock on the monotonic clock; only jumps ahead count
        self._last_wall, self._last_monotonic = wall(), monotonic()
        self._logged = RepeatFilter(monotonic)

    def data_time(self, moment: float | None = None) -> float:
        """Return the time that dates data: monotonic seconds plus all jumps ahead of the wall clock.

        A paused virtual machine looks like a clock that was set ahead: data may be as old as the wall clock says.

        Args:
            moment: the time to convert, in monotonic seconds after the last jump; None: now.
        """
        wall, now = self.wall(), self.monotonic()
        gained_seconds = wall - self._last_wall - (now - self._last_monotonic)
        self._last_wall, self._last_monotonic = wall, now
        if gained_seconds > _JUMP_SECONDS:
            self._gained_seconds += gained_seconds
            self._wake("wall clock jumped ahead, polling all accounts now", gained_seconds)
        return (now if moment is None else moment) + self._gained_seconds

    async def watch(self, woken: Callable[[], None]) -> NoReturn:
        """Read the clocks every second, and call `woken` after each suspend or jump of more than 30 seconds.

        In a `HostClockLoop` this also wakes the loop after a suspend, in which the system's timers stop.
        """
        handled_at = float("-inf")
        while True:
            due = self.monotonic() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            self.data_time()
            late_seconds = self.monotonic() - due
            if late_seconds > _JUMP_SECONDS:
                self._wake("host resumed from suspend, polling all accounts now", late_seconds)
            if self.woken_at > handled_at:
                handled_at = self.woken_at
                woken()

    def _wake(self, event: str, seconds: float) -> None:
        self.woken_at = self.monotonic()
        if self._logged.is_due(event):
            log.warning(event, seconds=round(seconds, 1))


class HostClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers include time spent in suspend, which asyncio's own loop does not.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        super().__init__()

    def time(self) -> float:
        """Return the clock's seconds."""
        return self._monotonic()
