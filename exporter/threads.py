"""Threads for the event loop's blocking calls that do not hold up the program's end."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class DaemonThreads(ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own.

    The usual pool is waited for at the end of the loop and of the interpreter. A look-up of a host name cannot be
    cut short and takes half a minute where the resolver is dead, which is when an operator restarts the program.
    """

    def submit(
        self, call: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> Future[_Result]:
        """Start `call` at once."""
        future: Future[_Result] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future

    def shutdown(self, *_args: Any, **_options: Any) -> None:
        """Wait for nobody."""
