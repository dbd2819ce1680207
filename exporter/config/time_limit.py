"""Limits the time of operations on files: a file system may stop responding.

Each operation runs in a daemon thread, of which at most one per path is left behind.
"""

from __future__ import annotations

import errno
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.config.document import InvalidValue
from exporter.threads import THREADS, ThreadUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Result = TypeVar("_Result")

NO_RESPONSE: Final = "no response in time"
_FILE_SECONDS: Final = 10.0  # for one file
_LOAD_SECONDS: Final = 60.0  # for all files of one load, parsing not included
_RETRY_SECONDS: Final = 0.5  # for a file that has not responded before


class UnreadableFile(InvalidValue):
    """A file that cannot be read; the text is the reason alone, as in "No such file or directory"."""


class TimeLimit:
    """The time that all files of one load may take together."""

    def __init__(self, seconds: float | None = None) -> None:
        self._remaining = _LOAD_SECONDS if seconds is None else seconds

    def run(self, path: Path, call: Callable[[float], _Result]) -> _Result:
        """Return the result of `call`, which works on `path`; its argument is the number of seconds it may take.

        Raises:
            UnreadableFile: there was no result in time, or the system reported an error.
        """
        seconds = min(_FILE_SECONDS, self._remaining)
        if seconds <= 0:
            raise UnreadableFile("not attempted because other files took too long to respond")
        started_at = time.monotonic()
        try:
            # A call that can give up by itself should do so first.
            return _run_bounded(path, seconds, lambda: call(0.9 * seconds))
        except OSError as error:
            raise UnreadableFile(error.strerror or type(error).__name__) from None
        except UnicodeEncodeError:
            raise UnreadableFile("its name cannot be encoded in this system's locale") from None
        finally:
            self._remaining -= time.monotonic() - started_at


@dataclass(slots=True, eq=False)
class _Operation:
    future: Future[Any]
    given_up: bool = False


_operations: Final[dict[Path, _Operation]] = {}  # under way
_operations_lock: Final = threading.Lock()


def _run_bounded(path: Path, seconds: float, call: Callable[[], _Result]) -> _Result:
    """Return the result of `call`, run in a daemon thread, or in this thread if none can be started.

    Raises:
        TimeoutError: there was no result within `seconds`, or an earlier call for `path` has still not ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        with _operations_lock:
            earlier = _operations.get(path)
            if earlier is None or earlier.future.done():
                try:
                    operation = _operations[path] = _Operation(THREADS.submit(call))
                except ThreadUnavailable:
                    break
            else:
                operation = earlier
        if operation is not earlier:
            operation.future.add_done_callback(lambda _, operation=operation: _forget(path, operation))  # type: ignore[misc]
        remaining = max(deadline - time.monotonic(), 0.0)
        done, _ = wait([operation.future], min(remaining, _RETRY_SECONDS) if operation.given_up else remaining)
        if not done:
            operation.given_up = operation is not earlier or operation.given_up
            raise TimeoutError(errno.ETIMEDOUT, NO_RESPONSE)
        if operation is not earlier:
            result: _Result = operation.future.result()
            return result
    return call()


def _forget(path: Path, operation: _Operation) -> None:
    with _operations_lock:
        if _operations.get(path) is operation:
            del _operations[path]
