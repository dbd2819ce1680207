"""Log lines: every format, redacted values, and values that must not make logging raise."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from support.logs import alone

from exporter import log, redaction

if TYPE_CHECKING:
    from collections.abc import Callable

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class Unprintable:
    """A value whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def fail(text: str) -> None:
    """Raise from a frame that has a local variable."""
    local = f"local value of {len(text)}"
    raise ValueError(text if local else "")


def only_event(stream: io.StringIO) -> dict[str, Any]:
    """Return the only line of JSON in `stream`."""
    (line,) = stream.getvalue().splitlines()
    event: dict[str, Any] = json.loads(line)
    return event


def only_logfmt(stream: io.StringIO) -> dict[str, str]:
    """Return the fields of the only line of logfmt in `stream`."""
    (line,) = stream.getvalue().splitlines()
    fields: dict[str, str] = {}
    while line:
        match = re.match(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]*)(?: |$)', line)
        assert match, line
        fields[match[1]] = json.loads(match[2]) if match[2].startswith('"') else match[2]
        line = line[match.end() :]
    return fields


def logged(format_: str = "json", /, **values: object) -> dict[str, Any]:
    """Return the event that logging `values` gives."""
    stream = io.StringIO()
    log.configure("info", format_, stream)
    with alone():
        structlog.get_logger("test").info("poll failed", **values)
    return only_event(stream) if format_ == "json" else only_logfmt(stream)


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


def test_scalars_stay_what_they_are_and_the_rest_becomes_text() -> None:
    """JSON keeps numbers, booleans and null; an infinity or bytes become text."""
    event = logged(a=1, b=1.5, c=True, d=None, e=float("inf"), f=Path("a/b"), g=b"\xff", h=Unprintable())

    assert {key: event[key] for key in "abcdefgh"} == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": None,
        "e": "inf",
        "f": "a/b",
        "g": "b'\\xff'",
        "h": "<Unprintable without repr>",
    }


@pytest.mark.parametrize("kind", [list, tuple])
def test_list_is_a_list(kind: Callable[[list[object]], object]) -> None:
    """A list or tuple is an array in JSON and its items with commas in logfmt and on a terminal, each redacted."""
    values: list[object] = ["main", "hedge", 2, None, API_KEY, Path("a/b")]
    terminal = Terminal()
    log.configure("info", None, terminal)
    with alone():
        structlog.get_logger().info("reloaded", added=kind(values))

    assert ["main", "hedge", 2, None, "[redacted]", "a/b"] == logged(added=kind(values))["added"]
    assert "main,hedge,2,null,[redacted],a/b" == logged("logfmt", added=kind(values))["added"]
    assert "main,hedge,2,null,[redacted],a/b" in terminal.getvalue()
    assert [] == logged(added=kind([]))["added"]
    assert "" == logged("logfmt", added=kind([]))["added"]


def test_list_is_as_short_as_a_text() -> None:
    """A list of many items ends with an ellipsis where a text would, and one that holds itself ends."""
    endless: list[object] = []
    endless.append(endless)

    assert 8192 >= len(logged("logfmt", items=["item"] * 10_000)["items"])
    assert "…" == logged(items=["item"] * 10_000)["items"][-1]
    assert ["[[...]]"] == logged(items=endless)["items"]


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "a\x85b", "a\u2028b", 'say "x=1"', "back\\slash", "", "tab\there", "größe", "\ud800"]
)
def test_any_text_is_one_value_of_one_logfmt_line(text: str) -> None:
    """Newlines, quotes, backslashes and lone surrogates survive logfmt unchanged."""
    assert text == logged("logfmt", text=text)["text"]


def test_logfmt_spells_other_types_as_json_does() -> None:
    """Booleans and null are true, false and null in logfmt."""
    event = logged("logfmt", a=True, b=None, c=2)

    assert (event["a"], event["b"], event["c"]) == ("true", "null", "2")


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


@pytest.mark.parametrize("format_", log.FORMATS)
def test_every_part_of_an_event_is_redacted(format_: str) -> None:
    """Message, fields, nested values, names and exceptions are redacted in every format."""
    redaction.hide(API_KEY)
    stream = io.StringIO()
    log.configure("info", format_, stream)
    try:
        fail(f"refused {API_KEY}")
    except ValueError:
        structlog.get_logger().exception(
            f"key {API_KEY}", nested={"api": [f"\n{API_KEY}"]}, raw=API_KEY.encode(), **{API_KEY: 1}
        )
        logging.getLogger("library").exception("sent %s", {"apiKey": API_KEY})

    assert API_KEY[:16] not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 5
    assert len(stream.getvalue().splitlines()) == 2


def test_text_is_redacted_before_it_is_shortened() -> None:
    """A secret at the place where a long text is cut is redacted, not cut in half."""
    padding = "- " * 4090
    event = logged(text=f"{padding}{API_KEY} tail" + " more" * 2000)

    assert "vmPU" not in event["text"]
    assert len(event["text"]) < 8300
    assert event["text"].endswith("…")


@pytest.mark.parametrize("format_", log.FORMATS)
def test_exception_is_one_field_without_local_variables(format_: str) -> None:
    """A traceback is the value of exc, on the event's own line, and shows no local variable's value."""
    stream = io.StringIO()
    log.configure("info", format_, stream)
    try:
        fail("refused")
    except ValueError:
        structlog.get_logger().exception("poll failed")

    event = only_event(stream) if format_ == "json" else only_logfmt(stream)
    assert event["exc"].startswith("Traceback (most recent call last):\n")
    assert event["exc"].endswith("\nValueError: refused")
    assert "local value of 7" not in event["exc"]


@pytest.mark.parametrize(
    ("exc_info", "shown"),
    [(ValueError("x"), "ValueError: x"), ((ValueError, ValueError("x"), None), "ValueError: x"), (True, None)],
)
def test_exception_may_have_any_form(exc_info: object, shown: str | None) -> None:
    """exc_info is an exception, a tuple, or True with no exception at all."""
    assert shown == logged(exc_info=exc_info).get("exc")


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


def test_logged_text_cannot_control_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in a message, a field or an exception are escaped on a terminal; tracebacks keep lines."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    log.configure("info", None, stream)
    try:
        fail("\x1b[2J gone")
    except ValueError:
        structlog.get_logger().exception("a\x1b[2Jb\nc", field="\x07")

    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
    assert r"a\x1b[2Jb\nc" in stream.getvalue()
    assert stream.getvalue().endswith("\nValueError: \\x1b[2J gone\n")


def test_pipe_gets_logfmt() -> None:
    """Without a format, a stream that is not a terminal gets logfmt."""
    stream = io.StringIO()
    log.configure("info", None, stream)

    structlog.get_logger().info("ready")

    assert only_logfmt(stream)["msg"] == "ready"


def test_printed_error_is_redacted() -> None:
    """A message that is written as it is, such as a configuration error, shows no hidden value."""
    redaction.hide("correct horse battery")
    stream = io.StringIO()
    log.configure("error", None, stream)

    log.print_error("proxy: is not correct horse battery")

    assert stream.getvalue() == "proxy: is not [redacted]\n"
