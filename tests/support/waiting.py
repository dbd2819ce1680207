"""Waiting for conditions, and for what another process writes; tasks that run meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from typing import TYPE_CHECKING, Any, Final

from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


DEADLINE_SECONDS: Final = 120.0  # for what takes no time on an idle machine


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    pause = 0.05 if isinstance(asyncio.get_running_loop(), VirtualTimeLoop) else 0.005
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a condition has no event
            await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def running_task(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a task during the block, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def wait_for(
    condition: Callable[[], object],
    explain: Callable[[], str] = lambda: "the condition did not become true",
    deadline: float | None = None,
) -> None:
    """Wait until a condition is true, without an event loop.

    Args:
        condition: is checked at least once.
        explain: returns the message of the AssertionError.
        deadline: the latest time, on the monotonic clock; by default in DEADLINE_SECONDS.
    """
    if deadline is None:
        deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


def read_next(descriptor: int) -> bytes:
    """Wait until something can be read from a pipe, and return it."""
    readable, _, _ = select.select([descriptor], [], [], DEADLINE_SECONDS)
    assert readable, "nothing was written"
    return os.read(descriptor, 65536)
