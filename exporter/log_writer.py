"""Writes log lines to a file descriptor from a thread, so that a reader that stops reading blocks nothing else."""

from __future__ import annotations

import _thread
import os
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_QUEUE_BYTES: Final = 1024 * 1024
_RETRY_SECONDS: Final = 0.05


class LineWriter:
    """Writes lines in order; drops and counts those that do not fit into its queue of 1 MiB.

    Args:
        stream: a duplicate of its file descriptor is written to, since the number may be another file's once the stream
            is closed; never its buffer, since a daemon thread that holds the lock of that when the interpreter ends is
            a fatal error.
        dropped_line: returns the line that reports a number of dropped lines.
    """

    def __init__(self, stream: TextIO, dropped_line: Callable[[int], bytes]) -> None:
        self._stream = stream
        self._dropped_line = dropped_line
        # Reentrant, unlike queue.Queue: a destructor may log while its thread is inside put().
        self._queue: SimpleQueue[bytes | Callable[[], object] | None] = SimpleQueue()
        self._descriptor = -1
        self._running = False
        self._report_queued = False
        # Each counter is changed by one side only, so that none needs a lock.
        self._queued_bytes = self._dropped = 0  # by put()
        self._taken_bytes = self._failed = self._reported = 0  # by the thread
        self._line_is_torn = False

    def put(self, line: bytes) -> None:
        """Queue a line that ends in a newline, or drop it if the queue is full. Callers must take turns."""
        waiting_bytes = self._queued_bytes - self._taken_bytes
        if waiting_bytes and waiting_bytes + len(line) > _QUEUE_BYTES:
            self._dropped += 1
            if not self._report_queued:
                self._report_queued = True
                self._queue.put(self._report)  # in the place of the dropped lines
        else:
            self._queued_bytes += len(line)
            self._queue.put(line)
        self._start()

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all queued lines are written, or for `timeout_seconds`."""
        written = threading.Event()
        self._queue.put(written.set)
        self._start()
        if self._running:
            written.wait(timeout_seconds)

    def close(self) -> None:
        """End the thread when it has written all queued lines."""
        self._queue.put(None)

    def _start(self) -> None:
        if self._running:
            return
        self._running = True
        try:
            # Not threading.Thread, whose start() waits for the new thread to be scheduled.
            _thread.start_new_thread(self._run, ())
        except RuntimeError:  # can't start new thread: the next line tries again
            self._running = False

    def _run(self) -> None:
        try:
            self._descriptor = os.dup(self._stream.fileno())
        except (OSError, ValueError):  # too many open files, closed: the next line tries again
            self._running = False
            return
        try:
            while (item := self._queue.get()) is not None:
                with suppress(Exception):
                    if callable(item):
                        item()
                    else:
                        self._write_line(item)
        finally:
            os.close(self._descriptor)
            self._running = False

    def _write_line(self, line: bytes) -> None:
        if self._failed:
            self._report()
        try:
            self._write(line)
        except OSError:  # no space left, no reader: nothing but the count is left to report
            self._failed += 1
        finally:
            self._taken_bytes += len(line)

    def _report(self) -> None:
        self._report_queued = False  # before the count is read: a line dropped from now on queues another report
        missing = self._dropped + self._failed - self._reported
        if missing:
            with suppress(OSError):
                self._write(self._dropped_line(missing))
                self._reported += missing

    def _write(self, line: bytes) -> None:
        """Write all of `line`, after a newline if the previous line was only written in part."""
        line = b"\n" + line if self._line_is_torn else line
        written = 0
        try:
            while written < len(line):
                try:
                    written += os.write(self._descriptor, line[written:])
                except BlockingIOError:  # another process that shares the file has made it non-blocking
                    time.sleep(_RETRY_SECONDS)
        finally:
            if written:
                self._line_is_torn = line[written - 1 : written] != b"\n"
