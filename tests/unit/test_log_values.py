"""Values in log lines: how each type and an exception is written, and what is redacted or escaped."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from support.config_files import API_KEY
from support.log_lines import Terminal, logged, only_event, only_logfmt
from support.logs import alone

from exporter import log, redaction

if TYPE_CHECKING:
    from collections.abc import Callable


class Unprintable:
    """A value whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def fail(text: str) -> None:
    """Raise from a frame that has a local variable."""
    local = f"local value of {len(text)}"
    raise ValueError(text if local else "")


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


def test_printed_error_is_redacted() -> None:
    """A message that is written as it is, such as a configuration error, shows no hidden value."""
    redaction.hide("correct horse battery")
    stream = io.StringIO()
    log.configure("error", None, stream)

    log.print_error("proxy: is not correct horse battery")

    assert stream.getvalue() == "proxy: is not [redacted]\n"
