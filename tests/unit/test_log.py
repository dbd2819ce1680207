"""Log lines: their form in every format, their level, and the stream that they go to."""

from __future__ import annotations

import io
import json
import logging
import os
import re

import pytest
import structlog
from support.log_lines import Terminal, logged, only_event, only_logfmt
from support.logs import alone

from exporter import log


@pytest.mark.parametrize("format_", log.FORMATS)
def test_event_has_time_level_and_phrase(format_: str) -> None:
    """An event of structlog is one line with ts in UTC, level, msg and its fields."""
    event = logged(format_, account="main", code="-1021")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("ts"))
    assert event == {"level": "info", "msg": "poll failed", "account": "main", "code": "-1021"}


def test_library_record_has_the_same_shape() -> None:
    """A record of the standard library has the same form and the name of its logger."""
    stream = io.StringIO()
    log.configure("info", "json", stream)

    logging.getLogger("asyncio").warning("took %.3f seconds", 0.25)

    event = only_event(stream)
    del event["ts"]
    assert event == {"level": "warning", "msg": "took 0.250 seconds", "logger": "asyncio"}


def test_key_that_would_break_a_line_is_changed() -> None:
    """A field whose name has spaces or is already in use is renamed, not lost."""
    event = logged("logfmt", **{"a b=": "1", "level": "2"})

    assert (event["a_b_"], event["level_"], event["level"]) == ("1", "2", "info")


def test_stream_that_cannot_encode_gets_escapes() -> None:
    """A character that the stream cannot encode is escaped, not an error."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    log.configure("info", "logfmt", stream)

    structlog.get_logger().info("größe")

    assert b"msg=gr\\xf6\\xdfe\n" in raw.getvalue()


def test_record_that_cannot_be_formatted_is_reported_without_its_arguments() -> None:
    """A library's record whose arguments do not fit its format is reported without them."""
    stream = io.StringIO()
    log.configure("info", "json", stream)

    with alone():
        logging.getLogger("library").error("%d frames", "not a number")

    event = only_event(stream)
    assert (event["msg"], event["logger"]) == ("log record cannot be formatted: TypeError", "library")
    assert "not a number" not in stream.getvalue()


def test_closed_stream_loses_the_line_silently(capsys: pytest.CaptureFixture[str]) -> None:
    """Logging to a closed stream neither raises nor prints."""
    stream = io.StringIO()
    log.configure("info", "json", stream)
    stream.close()

    structlog.get_logger().error("poll failed")

    assert capsys.readouterr() == ("", "")


def test_configured_again_writes_only_to_the_new_stream() -> None:
    """A second configure replaces the first: one line, in the second stream."""
    first, second = io.StringIO(), io.StringIO()
    log.configure("info", "json", first)
    first.close()
    log.configure("info", "json", second)

    structlog.get_logger().info("ready")

    assert only_event(second)["msg"] == "ready"


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream the lines go to the standard error of that moment."""
    log.configure("info", "json")

    structlog.get_logger().info("ready")

    assert json.loads(capsys.readouterr().err)["msg"] == "ready"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_level_is_the_least_that_is_shown(level: str, shown: list[str]) -> None:
    """Events below the level are not written, whichever logger they come from."""
    ours, theirs = io.StringIO(), io.StringIO()
    for stream, logger in ((ours, structlog.get_logger("test")), (theirs, logging.getLogger("test"))):
        log.configure(level, "json", stream)
        for name in log.LOG_LEVELS:
            getattr(logger, name)("event")

    assert shown == [json.loads(line)["level"] for line in ours.getvalue().splitlines()]
    assert shown == [json.loads(line)["level"] for line in theirs.getvalue().splitlines()]


@pytest.mark.parametrize("name", ["websockets.client", "websockets.server"])
def test_chatty_libraries_start_at_warning(name: str) -> None:
    """At level debug the libraries that log headers and frames still log only warnings."""
    stream = io.StringIO()
    log.configure("debug", "json", stream)

    logging.getLogger(name).info("GET / HTTP/1.1")
    logging.getLogger(name).warning("trouble")

    assert only_event(stream)["msg"] == "trouble"
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_terminal_gets_a_console_layout(monkeypatch: pytest.MonkeyPatch, no_color: str, *, colored: bool) -> None:
    """On a terminal lines have the console layout, coloured unless NO_COLOR is set."""
    monkeypatch.setitem(os.environ, "NO_COLOR", no_color)
    stream = Terminal()
    log.configure("info", None, stream)

    structlog.get_logger().info("poll failed", account="main", n=1)

    assert colored is ("\x1b[" in stream.getvalue())
    assert re.search("poll failed", stream.getvalue())
    assert not stream.getvalue().startswith("ts=")


def test_pipe_gets_logfmt() -> None:
    """Without a format, a stream that is not a terminal gets logfmt."""
    stream = io.StringIO()
    log.configure("info", None, stream)

    structlog.get_logger().info("ready")

    assert only_logfmt(stream)["msg"] == "ready"
