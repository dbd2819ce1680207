"""Parsers of flag values: each converts a text, or raises ArgumentTypeError with the expected form."""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from exporter.config.shards import shard_index
from exporter.config.values import account_name, parse_duration
from exporter.metrics.past import OWN_LABELS
from exporter.simulator.fault_catalog import FAULTS
from exporter.web.listen_address import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Callable

_Value = TypeVar("_Value")


def listen_address(text: str) -> ListenAddress:
    """Return an address to listen on."""
    return _parse(ListenAddress.parse, text)


def telemetry_path(text: str) -> str:
    """Return the path of the metrics."""
    if not re.fullmatch(r"(/\w[\w.~-]*)+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid path, such as /metrics")
    return text


def file_path(text: str) -> Path:
    """Return the path of a file or directory."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text)


def interval(text: str) -> float:
    """Return an interval, in seconds."""
    seconds = _parse(parse_duration, text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 100ms and 1h")
    return seconds


def account(text: str) -> str:
    """Return an account's name."""
    return _parse(account_name, text)


def history_duration(text: str) -> float:
    """Return the duration of a history, in seconds."""
    seconds = _parse(parse_duration, text)
    if seconds < 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 1h")
    return seconds


def moment(text: str) -> float:
    """Return a time as a Unix timestamp."""
    if re.fullmatch(r"\d{1,10}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 1970 < at.year < 2286:
        expected = "a time with its zone, such as 2026-03-01T12:00:00Z, or a Unix timestamp in seconds"
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return at.timestamp()


def label(text: str) -> tuple[str, str]:
    """Return the name and the value of a label."""
    name, _, value = text.partition("=")
    if not re.fullmatch(r"(?!__)[a-zA-Z_]\w*", name, re.ASCII) or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not a label, such as job=binance-futures")
    if name in OWN_LABELS:
        raise argparse.ArgumentTypeError(f"the series have a label {name} in any case")
    if not value.isprintable():
        raise argparse.ArgumentTypeError(f"the value of the label {name} contains control characters")
    return name, value


def speed(text: str) -> float:
    """Return how many times faster the simulated market runs."""
    speed = _parse(float, text)
    if not 0 < speed <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0 and at most 10000")
    return speed


def seed(text: str) -> int:
    """Return a seed."""
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at most 18 digits")
    return int(text)


def fault(text: str) -> str:
    """Return a fault's name."""
    if text not in FAULTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a known fault; --help lists the faults")
    return text


def shard(text: str) -> int:
    """Return a shard's number."""
    return _parse(shard_index, text)


def total_shards(text: str) -> int:
    """Return the number of shards."""
    if not re.fullmatch(r"[1-9]\d{0,5}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer between 1 and 999999")
    return int(text)


def _parse(parser: Callable[[str], _Value], text: str) -> _Value:
    try:
        return parser(text)
    except (ValueError, OverflowError) as error:  # int() refuses thousands of digits, int / float hundreds
        raise argparse.ArgumentTypeError(str(error)) from None
