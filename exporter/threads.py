"""Threads for blocking calls of the event loop that do not delay the end of the program."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ThreadUnavailable(RuntimeError):
    """The system cannot start another thread now."""


class DaemonThreads(ThreadPoolExecutor):
    """Runs each call in a separate daemon thread.

    The end of the loop and of the interpreter waits for the usual pool. Name resolution cannot be interrupted and takes
    half a minute if the resolver does not respond, which is when operators restart the program.
    """

    def submit(
        self, call: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> Future[_Result]:
        """Start `call` at once.

        Raises:
            ThreadUnavailable: no thread can be started.
        """
        future: Future[_Result] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                future.set_exception(error)

        try:
            threading.Thread(target=work, daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            raise ThreadUnavailable("cannot start another thread") from error
        return future

    def shutdown(self, *_args: Any, **_options: Any) -> None:
        """Do not wait for threads."""


THREADS: Final = DaemonThreads()


async def run_in_thread(
    call: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Return the result of `call`, run in a daemon thread.

    Raises:
        ThreadUnavailable: no thread can be started; `call` was not run.
    """
    return await asyncio.get_running_loop().run_in_executor(THREADS, partial(call, *args, **kwargs))


async def run_in_thread_or_loop(
    call: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Return the result of `call`, run in a daemon thread, or in the event loop if no thread can be started."""
    try:
        return await run_in_thread(call, *args, **kwargs)
    except ThreadUnavailable:
        return call(*args, **kwargs)
