"""Decides whether anything that a soak sampled grew."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.table import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A measurement of the exporter, from outside and by its probe."""

    at: float  # seconds since the soak began
    resident_kib: float
    malloc_kib: float  # allocated by malloc and not freed
    blocks: int  # of Python's allocator, up to 512 bytes each
    gc_objects: int
    descriptors: int
    tasks: int
    series: int


class Row(NamedTuple):
    """A quantity, the aggregate of its quiet samples, and how much it may rise between two quiet times."""

    name: str
    field: str
    aggregate: Callable[[Iterable[float]], float]
    allowance: float


# The smallest of the quiet samples excludes what is temporary: a rotation, a sample's own request. For series it is
# the largest: some are absent in the first second of a minute.
ROWS: Final = (
    Row("resident memory, KiB", "resident_kib", min, 8192),
    Row("malloc in use, KiB", "malloc_kib", min, 100),
    Row("Python memory blocks in use", "blocks", min, 5000),
    Row("objects tracked by the garbage collector", "gc_objects", min, 2000),
    Row("file descriptors", "descriptors", min, 0),
    Row("asyncio tasks", "tasks", min, 1),  # one connection more or less
    Row("series per scrape", "series", max, 0),
)


class Growth(NamedTuple):
    """How one quantity developed; `slope` is the least-squares rise per minute over the second half of the soak."""

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
    """Compare two quiet times; the highest value and the slope are those of all samples."""
    half = samples[len(samples) // 2 :]
    return [
        Growth(
            row,
            row.aggregate(getattr(sample, row.field) for sample in start),
            row.aggregate(getattr(sample, row.field) for sample in end),
            max(getattr(sample, row.field) for sample in samples),
            60
            * statistics.linear_regression(
                [sample.at for sample in half], [getattr(sample, row.field) for sample in half]
            ).slope,
        )
        for row in ROWS
    ]


def as_table(growths: Iterable[Growth]) -> str:
    """Return the comparison as a Markdown table."""
    rows = [
        [
            growth.row.name,
            *(f"{value:,.0f}" for value in (growth.start, growth.end, growth.highest)),
            f"{growth.slope:+,.1f}",
            f"{growth.row.allowance:,.0f}",
            "flat" if growth.flat else "GROWS",
        ]
        for growth in growths
    ]
    return markdown(["", "start", "end", "highest", "slope per minute", "allowed rise", "verdict"], rows)
