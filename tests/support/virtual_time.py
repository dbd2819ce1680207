"""An event loop in virtual time, whose minutes pass in milliseconds, independently of the machine's speed.

Its time only moves when there is nothing to do but to wait. A test in virtual time requests the fixture of that name.
Other processes do not share its time, so they must not be waited for.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

_Result = TypeVar("_Result")
START: Final = 1_700_000_060.0  # epoch seconds; the exchange's minute is 20 seconds old
_IDLE_SECONDS: Final = 0.0005
_THREAD_SECONDS: Final = 0.05  # real ones, between checks of the sockets while a thread works
_SHORT_LEAPS: Final = 3  # without any event, until a leap reaches the next timer: no data can be on its way


class _Selector(selectors.DefaultSelector):
    """Checks the sockets, then advances the virtual time by the requested timeout."""

    def __init__(self, shortest_leap: float, longest_leap: float, leaps_between_rests: int) -> None:
        super().__init__()
        self.passed = 0.0
        self.threads = 0  # of the loop's executors; their work takes no virtual time
        self._shortest_leap = shortest_leap
        self._longest_leap = longest_leap
        self._leaps = 0  # since something happened
        self._rests = itertools.cycle([True] + [False] * leaps_between_rests)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.threads or timeout is None:
            return super().select(_THREAD_SECONDS if timeout is None else min(timeout, _THREAD_SECONDS))
        # Data may be on its way between two sockets; the first one registered only wakes the loop.
        may_arrive = timeout > 0 and self._leaps <= _SHORT_LEAPS and len(self.get_map()) > 1
        ready = super().select(0)
        if not ready and may_arrive:
            if next(self._rests):
                time.sleep(_IDLE_SECONDS)  # finer than a selector's milliseconds
            ready = super().select(0)
        if ready or timeout <= 0:
            self._leaps = 0
            return ready
        leap = max(timeout, self._shortest_leap)
        if may_arrive and self._leaps < _SHORT_LEAPS:
            leap = min(leap, self._longest_leap)
        self._leaps = 0 if timeout <= leap else self._leaps + 1
        self.passed += leap
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves only while neither it nor a thread of its executors has anything to do.

    Unless nothing has happened for a while, it leaps by no more than `longest_leap` seconds, so that data between two
    sockets of this process arrives before any deadline passes. Timers within `shortest_leap` of each other may fire
    together, and only one in so many leaps rests: both save processor time.
    """

    def __init__(self, *, shortest_leap: float = 0.0, longest_leap: float = 1.0, leaps_between_rests: int = 0) -> None:
        self._clock = _Selector(shortest_leap, longest_leap, leaps_between_rests)
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._clock.passed

    def suspend(self, seconds: float) -> None:
        """Let time pass while nothing runs, like a suspend during which the loop's clock continues."""
        self._clock.passed += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., _Result], *args: Any
    ) -> asyncio.Future[_Result]:
        """Run a function in a thread while time stands still."""
        future = super().run_in_executor(executor, func, *args)
        self._clock.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _future: object) -> None:
        self._clock.threads -= 1

    async def shutdown_default_executor(self, *_timeout: object) -> None:
        """Wait for the threads without a timeout."""
        await super().shutdown_default_executor()


def now() -> float:
    """Return the virtual time in epoch seconds."""
    return START + asyncio.get_running_loop().time()
