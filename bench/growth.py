"""What a soak has measured, and whether any of it grew: pure arithmetic over samples."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The exporter at one moment, seen from outside and as told by itself."""

    at: float  # seconds since the soak began
    resident_kib: float
    malloc_kib: float  # handed out by malloc and not given back
    blocks: int  # the same of Python's own allocator, in pieces of up to 512 bytes
    gc_objects: int
    descriptors: int
    tasks: int
    series: int


class Row(NamedTuple):
    """A quantity, how its quiet samples are summed up, and by how much that may rise between two quiet times."""

    name: str
    field: str
    sum_up: Callable[[Iterable[float]], float]
    allowance: float


# The least of the quiet samples is free of what only passes by: a rotation, a sample's own request. Series are the
# other way round: some are absent in the first second of a minute.
ROWS: Final = (
    Row("resident memory, KiB", "resident_kib", min, 8192),
    Row("in use of malloc, KiB", "malloc_kib", min, 100),
    Row("blocks in use of Python", "blocks", min, 5000),
    Row("objects the collector knows", "gc_objects", min, 2000),
    Row("file descriptors", "descriptors", min, 0),
    Row("asyncio tasks", "tasks", min, 1),  # a connection more or less
    Row("series of a scrape", "series", max, 0),
)


class Growth(NamedTuple):
    """What became of one quantity; `slope` is the least-squares rise per minute over the second half of the soak."""

    row: Row
    start: float
    end: float
    highest: float
    slope: float

    @property
    def flat(self) -> bool:
        """Whether it did not grow."""
        return self.end - self.start <= self.row.allowance


def judge(samples: Sequence[Sample], start: Sequence[Sample], end: Sequence[Sample]) -> list[Growth]:
    """Compare two quiet times, with what all samples tell besides."""
    half = samples[len(samples) // 2 :]
    return [
        Growth(
            row,
            row.sum_up(getattr(one, row.field) for one in start),
            row.sum_up(getattr(one, row.field) for one in end),
            max(getattr(one, row.field) for one in samples),
            60 * statistics.linear_regression([one.at for one in half], [getattr(one, row.field) for one in half])[0],
        )
        for row in ROWS
    ]


def as_table(growths: Iterable[Growth]) -> str:
    """Return the comparison as a Markdown table."""
    lines = ["| | start | end | highest | slope a minute | may rise by | verdict |", "|---|--:|--:|--:|--:|--:|---|"]
    lines += [
        f"| {row.name} | {start:,.0f} | {end:,.0f} | {highest:,.0f} | {slope:+,.1f} | {row.allowance:,.0f} "
        f"| {'flat' if growth.flat else 'GROWS'} |"
        for growth in growths
        for row, start, end, highest, slope in [growth]
    ]
    return "\n".join(lines)
