"""Headers, label sets and numbers in Prometheus' text format 0.0.4, byte for byte as written by prometheus_client."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

import msgspec
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Sequence

_encoder: Final = msgspec.json.Encoder()
GO_EXPONENT: Final = 1e6  # Go writes numbers from here on with an exponent, Python only much larger ones
_MIN_WITHOUT_EXPONENT: Final = 1e-4  # Python writes smaller numbers with an exponent


def render_header(name: str, description: str, kind: str) -> bytes:
    """Return the HELP and TYPE lines of a family; `description` must not contain a backslash or a line break."""
    return f"# HELP {name} {description}\n# TYPE {name} {kind}\n".encode()


def render_labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return a label set; `names` must be sorted, as prometheus_client writes them."""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}"


def render_lines(name: str, labels: Sequence[bytes], values: Sequence[float | None]) -> bytes:
    """Return the lines of a family; a value of None has no line.

    Args:
        name: the family's name.
        labels: the label set of each line, with the space that follows it.
        values: the number of each line.
    """
    if None in values:
        present = [index for index, value in enumerate(values) if value is not None]
        labels, values = [labels[index] for index in present], [values[index] for index in present]
    if not values:
        return b""
    numbers = cast("Sequence[float]", values)
    # msgspec writes the shortest digits, as repr does, in a fifth of the time (100 numbers: 5 instead of 27 µs). But it
    # writes exponents, numbers below 0.0001 and non-finite numbers (null) in a different way.
    encoded = _encoder.encode(numbers)
    texts = encoded[1:-1].split(b",")
    if max(numbers) >= GO_EXPONENT or b"e" in encoded or b"n" in encoded or b"0.0000" in encoded:
        texts = [
            text if _MIN_WITHOUT_EXPONENT <= abs(number) < GO_EXPONENT or not number else format_value(number).encode()
            for text, number in zip(texts, numbers, strict=True)
        ]
    lines = [label + text for label, text in zip(labels, texts, strict=True)]
    return b"%b%b\n" % (name.encode(), f"\n{name}".encode().join(lines))


def format_value(value: float) -> str:
    """Return a number as Go and prometheus_client write it."""
    value = float(value)
    if -math.inf < value < GO_EXPONENT:
        return repr(value)  # the same as floatToGoString, but faster
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
