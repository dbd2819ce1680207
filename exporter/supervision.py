"""Supervision of tasks that must never end: a task that fails is logged and restarted."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

log = structlog.get_logger()

_FIRST_DELAY_SECONDS: Final = 1.0
_LONGEST_DELAY_SECONDS: Final = 60.0  # a task that ran for longer starts again after the first delay
_LOG_AGAIN_SECONDS: Final = 300.0


class RepeatFilter:
    """Decides when a lasting condition is logged: when it is new or has changed, and then every 5 minutes.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: object = None
        self._logged_at = float("-inf")

    def is_due(self, condition: object) -> bool:
        """Whether to log `condition` now; if so, it counts as logged."""
        now = self._monotonic()
        if condition == self._last and now - self._logged_at < _LOG_AGAIN_SECONDS:
            return False
        self._last, self._logged_at = condition, now
        return True

    def reset(self) -> None:
        """Treat the next condition as new: the last one has ended."""
        self._last = None


async def supervise(name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> NoReturn:
    """Run `work` until cancelled; when it fails or returns, run it again after a delay of 1 s, doubled up to 60 s.

    Args:
        name: the name of the task in the log.
        work: returns the coroutine to run.
    """
    loop = asyncio.get_running_loop()
    failures = RepeatFilter(loop.time)
    delay = _FIRST_DELAY_SECONDS
    while True:
        started_at = loop.time()
        error: BaseException | None = None
        try:
            await work()
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error = cancelled  # not this task, but something that it awaited
        except Exception as failure:  # noqa: BLE001 - whatever it is, the task must go on
            error = failure
        if loop.time() - started_at > _LONGEST_DELAY_SECONDS:
            delay = _FIRST_DELAY_SECONDS
        if failures.is_due(error and "".join(traceback.format_exception_only(error))):
            log.error("task failed, restarting", task=name, retry_in_seconds=delay, exc_info=error)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
