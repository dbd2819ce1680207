"""Threads that do not delay the exit."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from support.waiting import until

from exporter.threads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_results_and_errors_are_returned() -> None:
    """A call's result or error is passed to its caller."""
    asyncio.get_running_loop().set_default_executor(DaemonThreads())

    assert 3 == await asyncio.to_thread(sum, [1, 2])
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(divmod, 1, 0)


def test_exit_does_not_wait_for_threads() -> None:
    """A call that hangs delays neither the end of the loop nor that of the executor; its thread is a daemon."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(60)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonThreads())
        hanging = loop.run_in_executor(None, hang)
        await until(lambda: threads)
        hanging.cancel()

    asyncio.run(main())

    assert threads[0].is_alive()
    assert threads[0].daemon
    release.set()
    threads[0].join(30)


def test_call_cancelled_before_its_turn_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose future was cancelled before its thread began is not made."""
    made: list[int] = []
    begin: list[Callable[[], None]] = []

    class Thread(threading.Thread):
        def start(self) -> None:
            begin.append(self.run)

    monkeypatch.setattr("exporter.threads.threading.Thread", Thread)
    future = DaemonThreads().submit(made.append, 1)
    future.cancel()
    begin[0]()

    assert [] == made
