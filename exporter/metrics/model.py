"""The types of catalogs of metrics: a family of any kind is one entry, which both `text` and `openmetrics` write."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.binance.histogram import BOUNDS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from exporter.binance.histogram import Histogram

Kind = Literal["gauge", "counter", "histogram", "info"]
HistogramSample = tuple[str, dict[str, str], float]
"""The suffix of a sample's name, its labels other than those of the row, and its number."""

_SUFFIXES: Final[dict[Kind, str]] = {"counter": "_total", "info": "_info"}
_BUCKETS: Final = tuple({"le": bound} for bound in (*map(repr, BOUNDS_SECONDS), "+Inf"))


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with at most one value per row of its group.

    Raises:
        ValueError: the name does not fit the kind.
    """

    name: str  # of a sample in the text format: a counter ends in _total, an info in _info, and nothing else does
    description: str  # a sentence without its full stop
    source: str  # the response field it is read from; empty for the exporter's own metrics
    read: Callable[
        [Any], float | Histogram | None
    ]  # of a row: a float (`number` makes one); None if there is no sample
    kind: Kind = "gauge"

    def __post_init__(self) -> None:
        for kind, suffix in _SUFFIXES.items():
            if self.name.endswith(suffix) is not (self.kind == kind):
                raise ValueError(f"{self.name}: the name of a metric ends in {suffix} if and only if it is a {kind}")

    @property
    def help(self) -> str:
        """The HELP text: the description, and the source if there is one."""
        return f"{self.description} ({self.source})." if self.source else f"{self.description}."

    @property
    def base_name(self) -> str:
        """The name of the family in OpenMetrics, which has no suffix."""
        return self.name.removesuffix(_SUFFIXES.get(self.kind, ""))

    @property
    def text_type(self) -> str:
        """The type in the text format, which has no info metrics."""
        return "gauge" if self.kind == "info" else self.kind


@dataclass(frozen=True, slots=True)
class Group:
    """Families with the same rows and labels; `identify` returns the label values of each row of the subject.

    Raises:
        ValueError: the labels are not sorted, or not unique.
    """

    labels: tuple[str, ...]
    rows: Callable[[Any], Iterable[Any]]
    identify: Callable[[Any, Sequence[Any]], list[tuple[str, ...]]]
    families: tuple[Family, ...]

    def __post_init__(self) -> None:
        if sorted(set(self.labels)) != list(self.labels):  # the text would have their values in the wrong places
            raise ValueError(f"labels are not sorted and unique: {', '.join(self.labels)}")


@dataclass(frozen=True, slots=True)
class Catalog:
    """The families of one type of subject; `label` is the name of the label that identifies the subject, or empty."""

    label: str
    groups: tuple[Group, ...]

    @property
    def families(self) -> list[Family]:
        """All families, in the order of the exposition."""
        return [family for _, _, family in self.entries()]

    def entries(self) -> Iterator[tuple[int, Group, Family]]:
        """Yield each family with its group and the group's index."""
        return ((index, group, family) for index, group in enumerate(self.groups) for family in group.families)

    def label_names(self, group: Group) -> list[str]:
        """Return the names of all labels of a group, sorted."""
        return sorted(filter(None, (self.label, *group.labels)))

    def labels(self, group: Group, subject_name: str, identity: tuple[str, ...]) -> dict[str, str]:
        """Return the labels of a row of a group.

        Raises:
            ValueError: the identity has not as many values as the group has labels.
        """
        labels = dict(zip(group.labels, identity, strict=True))
        return {self.label: subject_name, **labels} if self.label else labels


def histogram_samples(histogram: Histogram | None) -> tuple[HistogramSample, ...] | None:
    """Return the samples of a histogram at this moment, with cumulative buckets."""
    if histogram is None:
        return None
    totals = list(map(float, accumulate(histogram.counts)))
    buckets = [("_bucket", labels, total) for labels, total in zip(_BUCKETS, totals, strict=True)]
    return (*buckets, ("_count", {}, totals[-1]), ("_sum", {}, histogram.sum_seconds))


def single_row(*families: Family) -> Group:
    """Return a group of families that read the subject itself."""
    return Group((), lambda subject: (subject,), lambda *_: [()], families)


def number(attribute: str) -> Callable[[Any], float | None]:
    """Return a reader of an attribute that may be a bool, an int or None."""
    get = attrgetter(attribute)

    def read(row: Any) -> float | None:
        value = get(row)
        return None if value is None else float(value)

    return read
