"""Logging of structlog and the standard library through one pipeline that redacts every value and never raises.

Values are redacted before they are rendered: escapes in rendered text can hide a secret, and a replacement can break a
line's quoting. No other module configures logging.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

import structlog

from exporter.formatting import escape_unprintable
from exporter.log_writer import LineWriter
from exporter.redaction import LONGEST_TEXT, redact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("logfmt", "json")

_Scalar: TypeAlias = str | float | None
_Plain: TypeAlias = _Scalar | list[_Scalar]

_FLUSH_SECONDS: Final = 0.5


def configure(level: str, format: str | None, stream: TextIO | None = None) -> None:  # noqa: A002 - the flag's name
    """Send structlog's and the standard library's events at `level` and above to `stream`.

    Args:
        level: one of `LOG_LEVELS`.
        format: one of `FORMATS`; None: coloured text if `stream` is a terminal, else logfmt.
        stream: where to write; None: the present standard error.
    """
    stream = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = _Handler(stream, _renderer(format, stream))
    handler.setLevel(threshold)
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(threshold)
    # At debug websockets prints headers and frames, and with them keys and signatures.
    logging.getLogger("websockets").setLevel(max(threshold, logging.WARNING))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def print_error(text: str) -> None:
    """Write a message to the stream of the log, after its lines, and wait at most 0.5 s until it is written."""
    for handler in [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]:
        handler.acquire()
        with suppress(Exception):
            handler.write(redact(text))
            handler.flush()
        handler.release()


def log_uncaught() -> None:
    """Log warnings and uncaught exceptions, which Python would write to standard error."""
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger("exporter").critical("internal error, please report it", exc_info=(kind, error or kind(), trace))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes a line for each event, from a thread if the stream has a file descriptor, whose reader may stop reading.

    Lines that cannot be written are dropped; nothing raises.
    """

    def __init__(self, stream: TextIO, render: Processor) -> None:
        super().__init__(stream)
        self.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[_plain, render]))
        self._render = render
        self._writer: LineWriter | None = None
        with suppress(AttributeError, OSError, ValueError):  # such as io.StringIO, which is written directly
            stream.fileno()
            self._writer = LineWriter(stream, self._dropped_line)

    def emit(self, record: logging.LogRecord) -> None:
        # Not handleError of the base class: it prints the unredacted record.
        with suppress(Exception):
            self.write(self._line(record))

    def write(self, line: str) -> None:
        encoded = self._encoded(line)
        if self._writer:
            self._writer.put(encoded)
        else:
            self.stream.write(encoded.decode(self._encoding))
            self.stream.flush()

    def flush(self) -> None:
        if self._writer:
            self._writer.flush(_FLUSH_SECONDS)
        else:
            super().flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001 - such as a library's "%d" with a text
            fields = {"name": record.name, "levelname": record.levelname, "created": record.created}
            text = f"log record cannot be formatted: {type(error).__name__}"
            return self.format(logging.makeLogRecord({**fields, "msg": text}))

    def _dropped_line(self, count: int) -> bytes:
        event = {"ts": _timestamp(time.time()), "level": "warning", "msg": "log lines dropped", "lines": count}
        return self._encoded(str(self._render(None, "warning", event)))

    def _encoded(self, line: str) -> bytes:
        return (line + self.terminator).encode(self._encoding, "backslashreplace")

    @property
    def _encoding(self) -> str:
        return getattr(self.stream, "encoding", None) or "utf-8"


def _plain(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every value a redacted text, a number, a boolean or None, or a list of these."""
    record: logging.LogRecord = event.pop("_record")
    from_structlog = event.pop("_from_structlog")
    plain: EventDict = {
        "ts": _timestamp(record.created),
        "level": record.levelname.lower(),
        "msg": _value(event.pop("event", "")),
    }
    if not from_structlog:
        plain["logger"] = record.name
    error = _exception(event.pop("exc_info", None))
    for key, value in event.items():
        name = re.sub(r"[^\w.-]", "_", redact(key))
        plain[f"{name}_" if name in plain else name] = _value(value)
    if error is not None:
        # Python's own traceback: structlog's console and dict formatters would show local variables.
        plain["exc"] = _value("".join(traceback.format_exception(error)).rstrip())
    return plain


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    error = exc_info[1] if isinstance(exc_info, tuple) else sys.exc_info()[1] if exc_info else None
    return error if isinstance(error, BaseException) else None


def _value(value: object) -> _Plain:
    if isinstance(value, list | tuple | set | frozenset):
        return _items(value)
    return _scalar(value)


def _items(values: Iterable[object]) -> list[_Scalar]:
    """Return the items as they may be shown, only as many as fit into one text."""
    items: list[_Scalar] = []
    remaining = LONGEST_TEXT
    for value in values:
        items.append(_scalar(value))
        remaining -= len(str(items[-1])) + 1
        if remaining < 0:
            return [*items[:-1], "…"]
    return items


def _scalar(value: object) -> _Scalar:
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    try:
        if isinstance(value, str):
            text = str.__str__(value)
        else:
            text = str(value) if isinstance(value, PurePath | BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - the event is logged despite a broken __repr__
        text = f"<{type(value).__name__} without repr>"
    return redact(text)


def _renderer(format: str | None, stream: TextIO) -> Processor:  # noqa: A002
    if format == "json":
        return lambda _logger, _method, event: json.dumps(event)
    if format is None and stream.isatty():
        return _console(colors=not os.environ.get("NO_COLOR"))
    return _logfmt


def _logfmt(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return " ".join(f"{key}={_logfmt_value(value)}" for key, value in event.items())


def _logfmt_value(value: _Plain) -> str:
    if isinstance(value, list):
        value = _joined(value)
    if not isinstance(value, str):
        return json.dumps(value)
    if value and value.isprintable() and not set(value) & set(' ="\\'):
        return value
    # Unprintable characters are escaped: U+2028 and U+0085 end a line for some programs.
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _joined(values: list[_Scalar]) -> str:
    return ",".join(value if isinstance(value, str) else json.dumps(value) for value in values)


def _console(*, colors: bool) -> Processor:
    renderer: Any = structlog.dev.ConsoleRenderer(
        colors=colors,
        timestamp_key="ts",
        event_key="msg",
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        # A terminal interprets control characters, and an error's text may come from anywhere.
        shown = {key: _visible(value, keep="\n" if key == "exc" else "") for key, value in event.items()}
        if "exc" in shown:
            shown["exception"] = shown.pop("exc")
        return str(renderer(logger, method, shown))

    return render


def _visible(value: _Plain, keep: str) -> _Scalar:
    if isinstance(value, list):
        value = _joined(value)
    if not isinstance(value, str):
        return value
    return escape_unprintable(value, keep)
