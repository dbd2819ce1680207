"""The one reader of small files: bounded in size and in time, since a file system may stop responding.

Each operation on a file runs in a daemon thread, of which at most one per path is left behind.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.config.document import Invalid, parse_document
from exporter.threads import THREADS, ThreadUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Result = TypeVar("_Result")

_FILE_SECONDS: Final = 10.0  # for one file
_LOAD_SECONDS: Final = 60.0  # for all files of one load, parsing not included
_AGAIN_SECONDS: Final = 0.5  # for a file that has not responded before
_PIECE_BYTES: Final = 64 * 1024
_LARGEST_DOCUMENT: Final = 1024 * 1024
_NO_RESPONSE: Final = "no response in time"

# What changes with a file, or with a symbolic link on the way to it; None if it cannot be examined.
Stamp = tuple[int, ...] | None


class UnreadableFile(Invalid):
    """A file that cannot be read; the text is the reason alone, as in "No such file or directory"."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file as it was read."""

    content: bytes = field(repr=False)
    readable_by_others: bool


class TimeLimit:
    """The time that the files of one load may take together."""

    def __init__(self, seconds: float | None = None) -> None:
        self._left = _LOAD_SECONDS if seconds is None else seconds

    def run(self, path: Path, call: Callable[[float], _Result]) -> _Result:
        """Return the result of `call`, which works on `path` and is given the seconds that it may take.

        Raises:
            UnreadableFile: there was no result in time, or the system returned an error.
        """
        seconds = min(_FILE_SECONDS, self._left)
        if seconds <= 0:
            raise UnreadableFile("not attempted, other files took too long to respond")
        started_at = time.monotonic()
        try:
            # A call that can give up by itself shall do so first.
            return _run_bounded(path, seconds, lambda: call(0.9 * seconds))
        except OSError as error:
            raise UnreadableFile(error.strerror or type(error).__name__) from None
        except UnicodeEncodeError:
            raise UnreadableFile("its name cannot be encoded in this system's locale") from None
        finally:
            self._left -= time.monotonic() - started_at


class Files:
    """Reads files, and remembers their stamps to find out later whether they have changed.

    Args:
        limit: shared by the files of one load; by default a new one.
    """

    def __init__(self, limit: TimeLimit | None = None) -> None:
        self._limit = limit or TimeLimit()
        self._stamps: dict[Path, Stamp] = {}

    def read(self, path: Path, largest: int, *, pipe: bool = False) -> SmallFile:
        """Read a file of at most `largest` bytes.

        Args:
            path: the file.
            largest: its greatest size in bytes.
            pipe: whether it may be a pipe or a device instead of a regular file.

        Raises:
            UnreadableFile: it cannot be opened or read, or not in time.
            Invalid: it is a directory, too large or, without `pipe`, not a regular file.
        """
        self._stamps[path] = None
        status = self._limit.run(path, lambda _: path.stat())
        self._stamps[path] = _stamp_of(status)  # before reading: a later change will be noticed
        _check(status, largest, pipe=pipe)
        try:
            return self._limit.run(path, lambda seconds: _read(path, largest, seconds, pipe=pipe))
        except UnreadableFile:
            self._stamps[path] = None  # it may become readable without any change
            raise

    def changed(self) -> dict[Path, Stamp] | None:
        """Return the stamps that the files have now, None if they are as they were read.

        Raises:
            Invalid: a file could not be examined in time; the text names it.
        """
        limit = TimeLimit()
        now: dict[Path, Stamp] = {}
        for path in self._stamps:
            try:
                now[path] = limit.run(path, lambda _, path=path: _stamp(path))  # type: ignore[misc]
            except UnreadableFile as error:
                raise Invalid(f"{path}: cannot be examined: {error}") from None
        return None if now == self._stamps else now


def read_document(path: Path, files: Files) -> object:
    """Return the YAML document in a configuration file, None for an empty one.

    Raises:
        Invalid: the file cannot be read, is too large or is not YAML.
    """
    try:
        content = files.read(path, _LARGEST_DOCUMENT, pipe=True).content
    except UnreadableFile as error:
        raise Invalid(f"cannot be read: {error}") from None
    return parse_document(content)


def _read(path: Path, largest: int, seconds: float, *, pipe: bool) -> SmallFile:
    deadline = time.monotonic() + seconds
    # Opening a pipe would otherwise wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)  # of what was opened; it may have been replaced since
        _check(status, largest, pipe=pipe)
        content = _read_all(descriptor, largest, deadline, is_pipe=stat.S_ISFIFO(status.st_mode))
    finally:
        os.close(descriptor)
    if len(content) > largest:
        raise _too_large(largest)
    return SmallFile(content, bool(status.st_mode & stat.S_IROTH))


def _check(status: os.stat_result, largest: int, *, pipe: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Invalid("is a directory")
    if not stat.S_ISREG(status.st_mode) and not pipe:
        raise Invalid("is not a regular file")
    if status.st_size > largest:
        raise _too_large(largest)


def _too_large(largest: int) -> Invalid:
    return Invalid(
        f"is larger than {largest // 1024} KiB" if largest < 2**20 else f"is larger than {largest >> 20} MiB"
    )


def _read_all(descriptor: int, largest: int, deadline: float, *, is_pipe: bool) -> bytes:
    """Return the content, cut off one byte after `largest`; `deadline` is in monotonic seconds."""
    content = b""
    hung_up = False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(content) <= largest:
        try:
            piece = os.read(descriptor, min(_PIECE_BYTES, largest + 1 - len(content)))
        except BlockingIOError:
            piece = None
        if piece:
            content += piece
            continue
        # Before its first writer opens it, a pipe looks as if it had ended.
        if piece is not None and (content or hung_up or not is_pipe):
            break
        events = poll.poll(max(deadline - time.monotonic(), 0.0) * 1000)
        if not events:
            raise TimeoutError(errno.ETIMEDOUT, _NO_RESPONSE)
        hung_up = not events[0][1] & select.POLLIN
    return content


def _stamp(path: Path) -> Stamp:
    try:
        return _stamp_of(path.stat())
    except (OSError, ValueError):
        return None


def _stamp_of(status: os.stat_result) -> Stamp:
    # The status change time: chmod may have made a file readable. The inode: Kubernetes swaps a symbolic link.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(slots=True, eq=False)
class _Operation:
    future: Future[Any]
    given_up: bool = False


_operations: Final[dict[Path, _Operation]] = {}  # under way
_operations_lock: Final = threading.Lock()


def _run_bounded(path: Path, seconds: float, call: Callable[[], _Result]) -> _Result:
    """Return the result of `call`, run in a daemon thread, or here if no thread can be started.

    Raises:
        TimeoutError: there was no result within `seconds`, or there still is none of an earlier call for `path`.
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
        left = max(deadline - time.monotonic(), 0.0)
        done, _ = wait([operation.future], min(left, _AGAIN_SECONDS) if operation.given_up else left)
        if not done:
            operation.given_up = operation is not earlier or operation.given_up
            raise TimeoutError(errno.ETIMEDOUT, _NO_RESPONSE)
        if operation is not earlier:
            result: _Result = operation.future.result()
            return result
    return call()


def _forget(path: Path, operation: _Operation) -> None:
    with _operations_lock:
        if _operations.get(path) is operation:
            del _operations[path]
