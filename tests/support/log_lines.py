"""Log lines read back, and a stream that looks like a terminal."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import structlog

from exporter import log
from support.logs import alone


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


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
