"""Writing log lines to a file descriptor: a reader that stops reading, a full disk, no thread."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from support.logs import alone
from support.waiting import DEADLINE_SECONDS, read_next, wait_for

from exporter import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


@contextmanager
def piped() -> Iterator[tuple[int, TextIO]]:
    """Open a pipe: its reading descriptor and a stream that writes to it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        try:
            yield reading, stream
        finally:
            os.close(reading)


def read_events(reading: int, count: int) -> list[dict[str, Any]]:
    """Read lines of JSON until they account for `count` events, dropped ones included."""
    events: list[dict[str, Any]] = []
    text = b""
    while sum(event.get("lines", 1) for event in events) < count:
        text += read_next(reading)
        *lines, text = text.split(b"\n")
        events += [json.loads(line) for line in lines]
    return events


def test_reader_that_stops_reading_does_not_block() -> None:
    """Without a reader, events are queued, then dropped; later each line is whole and dropped lines are counted."""
    count = 5000
    with piped() as (reading, stream):
        log.configure("info", "json", stream)
        for number in range(count):
            structlog.get_logger().info("event", number=number, padding="- " * 500)
        events = read_events(reading, count)
        structlog.get_logger().info("event", number=count)
        (last,) = read_events(reading, 1)

    numbers = [event["number"] for event in events if event["msg"] == "event"]
    dropped = [event for event in events if event["msg"] == "log lines dropped"]
    assert numbers == sorted(numbers)
    assert len(numbers) + sum(event["lines"] for event in dropped) == count
    assert dropped
    assert {"warning"} == {event["level"] for event in dropped}
    assert last["number"] == count


def test_end_does_not_wait_for_a_reader() -> None:
    """Flush and close return although the pipe has no reader."""
    with piped() as (_, stream):
        log.configure("info", "json", stream)
        for _ in range(200):
            structlog.get_logger().info("event", padding="- " * 500)
        (handler,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, log._Handler)]
        handler.flush()
        handler.close()


def test_flush_waits_for_what_was_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a flush all lines are in the pipe."""
    monkeypatch.setattr(log, "_FLUSH_SECONDS", DEADLINE_SECONDS)
    with piped() as (reading, stream):
        log.configure("info", "json", stream)
        structlog.get_logger().info("first")
        log.print_error("second")
        os.set_blocking(reading, False)
        lines = os.read(reading, 65536).splitlines()

    assert ("first", b"second") == (json.loads(lines[0])["msg"], lines[1])


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can start, lines are queued, flush does not wait, and the next event tries again."""

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with piped() as (reading, stream):
        log.configure("info", "json", stream)
        with monkeypatch.context() as patch:
            patch.setattr("exporter.log_writer._thread.start_new_thread", fail)
            structlog.get_logger().info("first")
            log.print_error("{}")
        structlog.get_logger().info("third")
        events = read_events(reading, 3)

    assert ["first", None, "third"] == [event.get("msg") for event in events]


def test_short_writes_do_not_tear_lines() -> None:
    """Lines longer than a non-blocking pipe accepts at once arrive whole and in order."""
    with piped() as (reading, stream):
        os.set_blocking(stream.fileno(), False)
        log.configure("info", "json", stream)
        for number in range(20):
            structlog.get_logger().info("event", number=number, **{f"value{i}": "- " * 4000 for i in range(3)})
        events = read_events(reading, 20)

    assert list(range(20)) == [event["number"] for event in events]


def test_closed_reader_raises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A broken pipe loses the lines silently, and the thread continues."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        log.configure("info", "json", stream)
        for _ in range(3):
            structlog.get_logger().info("event")
            log.print_error("error")

    assert ("", "") == capsys.readouterr()


def test_closed_stream_gives_no_line_to_another_file(tmp_path: Path) -> None:
    """After the stream was closed nothing is written to the file that has reused its descriptor."""
    with (tmp_path / "log").open("w") as stream:
        log.configure("info", "json", stream)
        structlog.get_logger().info("first")
        log.print_error("second")
        descriptor = stream.fileno()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT, 0o600)
    structlog.get_logger().info("third")
    log.print_error("fourth")
    os.close(other)

    assert descriptor == other
    assert (tmp_path / "other").read_bytes() == b""


FULL_DISK = """
import resource, sys
import structlog
from exporter import log

log._FLUSH_SECONDS = 100.0
log.configure("info", "logfmt", sys.stderr)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
structlog.get_logger().info("before")
log.print_error("flushed")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
for number in range(3):
    structlog.get_logger().info("lost", padding="x" * 50)
log.print_error("also lost")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
structlog.get_logger().info("after")
"""


def test_full_disk(tmp_path: Path) -> None:
    """A line that was cut by a full disk is ended once there is space again, and the missing lines are counted."""
    output = tmp_path / "log"
    with output.open("wb") as file:
        done = subprocess.run([sys.executable, "-c", FULL_DISK], stderr=file, check=False)
    before, flushed, torn, dropped, after = output.read_text().splitlines()

    assert 0 == done.returncode
    assert (before[-10:], flushed, torn[:3], after[-9:]) == ("msg=before", "flushed", "ts=", "msg=after")
    assert dropped.endswith('level=warning msg="log lines dropped" lines=4')


def test_value_that_logs_when_it_is_logged() -> None:
    """An event logged while the same thread is formatting another is neither lost nor a deadlock."""

    class Value:
        def __repr__(self) -> str:
            structlog.get_logger().info("inner")
            return "value"

    with piped() as (reading, stream):
        log.configure("info", "json", stream)
        with alone():
            structlog.get_logger().info("outer", value=Value())
        events = read_events(reading, 2)

    assert ["inner", "outer"] == [event["msg"] for event in events]


def test_replaced_writer_ends() -> None:
    """Configuring again ends the former writer's thread, after it has written its queue."""
    before = len(sys._current_frames())
    with piped() as (reading, stream):
        log.configure("info", "json", stream)
        structlog.get_logger().info("first")
        log.configure("info", "json", stream)
        (event,) = read_events(reading, 1)
        wait_for(lambda: len(sys._current_frames()) <= before)

    assert event["msg"] == "first"
