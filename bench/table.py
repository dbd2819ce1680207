"""Markdown tables, ratios and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose columns except the first are right-aligned."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def verdict(target: str, *, met: bool) -> str:
    """Return a target and whether it was met."""
    return f"{target}: {'met' if met else '**missed**'}"


def part_of(ours: float, theirs: float) -> str:
    """Return a ratio as a fraction: 1/48 if `ours` is 48 times less."""
    return f"1/{theirs / ours:.3g}"
