"""An event loop whose minutes pass in milliseconds: a slow machine changes nothing, since only waiting takes time.

Time stands still while there is anything to do, and moves on when nothing is left but to wait. A test in virtual time
asks for the fixture of that name. Other processes do not share its time: they must not be waited for.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

_Result = TypeVar("_Result")
START: Final = 1_700_000_060.0  # epoch seconds; the exchange's minute is 20 seconds old
_LONGEST_JUMP_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.0005
_THREAD_SECONDS: Final = 0.05  # real ones, between looks at the sockets while a thread works


class _Selector(selectors.DefaultSelector):
    """Waits a moment for the sockets, then lets the time pass that it was asked to wait."""

    passed = 0.0
    threads = 0  # that work for the loop: what they do takes no time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.threads:
            return super().select(_THREAD_SECONDS if timeout is None else min(timeout, _THREAD_SECONDS))
        if timeout:
            time.sleep(_IDLE_SECONDS)  # finer than a selector's milliseconds
        ready = super().select(timeout and 0)
        if timeout and not ready:
            # In steps: what is on its way between two sockets of this process arrives before any deadline passes.
            self.passed += min(timeout, _LONGEST_JUMP_SECONDS)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves only while neither it nor a thread of its executors has anything to do."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._clock.passed

    def suspend(self, seconds: float) -> None:
        """Let time pass without anything running: a suspend, as a loop sees it whose clock goes on meanwhile."""
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
        """Wait for the threads, however long it takes."""
        await super().shutdown_default_executor()


def now() -> float:
    """Return the virtual time in epoch seconds."""
    return START + asyncio.get_running_loop().time()
