"""Writes what income counters showed in the past, and since when they summed, as OpenMetrics with timestamps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from exporter.metrics.income_catalog import INCOME
from exporter.metrics.text import fill_template, format_value, label_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.metrics.model import Family
    from exporter.rest.income_past import PastDay
    from exporter.rest.income_sums import Amounts, LabelSet

_Shown = TypeVar("_Shown")

_GROUP: Final = INCOME.groups[0]
_COUNTERS: Final = [family for family in _GROUP.families if family.kind == "counter"]
_ACCOUNT: Final = INCOME.groups[1]
(_SINCE,) = (family for family in _ACCOUNT.families if family.name.endswith("_since_timestamp_seconds"))
OWN_LABELS: Final = (*INCOME.label_names(_GROUP),)
"""The labels that series have in any case."""


def openmetrics_of(day: PastDay, account: str, labels: Mapping[str, str]) -> Iterator[str]:
    """Yield a file of a day piece by piece, from the first line to `# EOF`.

    Args:
        day: what to write.
        account: the account's name.
        labels: more labels of each series, those that the collector adds to a scrape.
    """
    template = label_template(INCOME, _GROUP, account, **labels)
    for family in _COUNTERS:
        yield _header(family)
        for label_set, samples in day.series.items():
            series = f"{family.name}{fill_template(template, label_set)}"
            yield "".join(_lines(series, samples, partial(_read, family, label_set)))
    yield _header(_SINCE)
    series = f"{_SINCE.name}{fill_template(label_template(INCOME, _ACCOUNT, account, **labels), ())}"
    yield "".join(_lines(series, day.since, lambda since_ms: since_ms / 1000))
    yield "# EOF\n"


def _header(family: Family) -> str:
    return f"# HELP {family.base_name} {family.help}\n# TYPE {family.base_name} {family.kind}\n"


def _read(family: Family, label_set: LabelSet, amounts: Amounts) -> object:
    return family.read((label_set, amounts))


def _lines(series: str, samples: Iterable[tuple[int, _Shown]], read: Callable[[_Shown], object]) -> Iterator[str]:
    value, last = "", None
    for at_ms, shown in samples:
        if shown is not last:  # most samples are equal to the one before
            number, last = read(shown), shown
            assert isinstance(number, float)
            value = format_value(number)
        yield f"{series} {value} {at_ms // 1000}\n"
