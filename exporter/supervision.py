"""Supervision of tasks that must never end: a task that fails is logged and restarted."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, TypeVar

import structlog

from exporter.repeat_filter import RepeatFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

log = structlog.get_logger()

_FIRST_DELAY_SECONDS: Final = 1.0
_LONGEST_DELAY_SECONDS: Final = 60.0  # a task that ran for longer starts again after the first delay


class Worker(Protocol):
    """Something that runs until it is cancelled."""

    def run(self) -> Coroutine[Any, Any, object]:
        """Return the coroutine to run."""


_Worker = TypeVar("_Worker", bound=Worker)


class Workers(Generic[_Worker]):
    """The supervised task of each worker that was started and not ended."""

    def __init__(self) -> None:
        self._tasks: dict[_Worker, asyncio.Task[NoReturn]] = {}

    def __iter__(self) -> Iterator[_Worker]:
        return iter(tuple(self._tasks))  # they may be ended meanwhile

    def start(self, name: str, worker: _Worker) -> None:
        """Run a worker, unless it is running; `name` is that of its task in the log."""
        if worker not in self._tasks:
            self._tasks[worker] = asyncio.create_task(supervise(name, worker.run), name=name)

    def end(self, worker: _Worker) -> None:
        """Cancel a worker, if it is running."""
        if task := self._tasks.pop(worker, None):
            task.cancel()

    async def end_all(self) -> None:
        """Cancel all workers, and wait until they have ended."""
        tasks = tuple(self._tasks.values())
        for worker in self:
            self.end(worker)
        await asyncio.gather(*tasks, return_exceptions=True)


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
