"""Lays out text for a terminal, where Chinese symbols are two columns wide: colours, wrapped lines and tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from exporter.account.risk_level import RiskLevel
from exporter.formatting import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WIDTH: Final = 80
GREEN: Final = "32"
RED: Final = "31"
YELLOW: Final = "33"
BOLD: Final = "1"
LEVEL_COLORS: Final = {
    RiskLevel.NORMAL: GREEN,
    RiskLevel.WARNING: YELLOW,
    RiskLevel.UNKNOWN: YELLOW,
    RiskLevel.CRITICAL: RED,
}
_TITLE_WIDTH: Final = 12

Paint: TypeAlias = Callable[[str, str], str]  # from an ANSI code and a text


def painter(*, colour: bool) -> Paint:
    """Return a function that colours a text, or leaves it as it is."""
    return (lambda code, text: f"\x1b[{code}m{text}\x1b[0m") if colour else (lambda _, text: text)


def wrap(text: str, indent: int = 0) -> list[str]:
    """Return the lines of a text that fit a terminal beside `indent` columns; longer words are not broken."""
    lines = [""]
    for word in text.split(" "):
        line = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and display_width(line) > WIDTH - indent:
            lines.append(word)
        else:
            lines[-1] = line
    return lines


def titled(title: str, text: str, paint: Callable[[str], str] = str) -> Iterator[str]:
    """Yield an indented title and an external text beside it, escaped and wrapped; `paint` colours the text."""
    for number, line in enumerate(wrap(escape_unprintable(text), _TITLE_WIDTH + 2)):
        yield f"  {'' if number else title:{_TITLE_WIDTH}}{paint(line)}".rstrip()


def table(rows: Sequence[Mapping[str, object]], right: Sequence[str] = (), indent: int = 4) -> Iterator[str]:
    """Yield aligned lines, headings first unless all are blank; numbers and the `right` columns are right-aligned.

    A column is at least as wide as its heading, which may end or begin with spaces.
    """
    if not rows:
        return
    columns = []
    for heading in rows[0]:
        values = [row[heading] for row in rows]
        cells = _cells(values)
        width = max(map(display_width, [heading, *cells]))
        is_text = heading not in right and any(isinstance(value, str) for value in values)
        columns.append([_pad(cell, width, left=is_text) for cell in (heading, *cells)])
    for line in zip(*columns, strict=True):
        if any(cell.strip() for cell in line):
            yield f"{' ' * indent}{'  '.join(line)}".rstrip()


def paint_levels(lines: Sequence[str], levels: Sequence[str | None], paint: Paint) -> Iterator[str]:
    """Colour the last lines of a table by their levels, all but the normal ones."""
    colors: list[str | None] = [None] * (len(lines) - len(levels))
    colors += [LEVEL_COLORS[RiskLevel(level)] if level and level != RiskLevel.NORMAL else None for level in levels]
    for line, color in zip(lines, colors, strict=True):
        yield paint(color, line) if color else line


def format_amount(value: object, decimals: int = 2) -> str:
    """Return a number with that many decimals, any other value as escaped text, and a dash for None."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return escape_unprintable(str(value))
    # A float has only about fifteen digits. z: no minus sign for a number that rounds to zero.
    return f"{value:.6e}" if abs(value) >= 1e15 else f"{value:z,.{decimals}f}"


def display_width(text: str) -> int:
    """Return the width of a text in terminal columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _cells(values: Sequence[object]) -> list[str]:
    """Format a column: all numbers with the decimals that the longest one needs, two to eight."""
    numbers = [value for value in values if isinstance(value, float) and abs(value) < 1e15]
    decimals = max((len(f"{number:.8f}".partition(".")[2].rstrip("0")) for number in numbers), default=0)
    return [format_amount(value, max(decimals, 2)) for value in values]


def _pad(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - display_width(text))
    return text + space if left else space + text
