"""Writes what income counters showed in the past, as OpenMetrics with timestamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.metrics.income_catalog import INCOME
from exporter.metrics.text import fill_template, format_value, label_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.metrics.model import Family
    from exporter.rest.income_past import PastDay
    from exporter.rest.income_sums import Amounts, LabelSet

_GROUP: Final = INCOME.groups[0]
_COUNTERS: Final = [family for family in _GROUP.families if family.kind == "counter"]
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
        yield f"# HELP {family.base_name} {family.help}\n# TYPE {family.base_name} counter\n"
        for label_set, samples in day.series.items():
            yield "".join(_lines(family, f"{family.name}{fill_template(template, label_set)}", label_set, samples))
    yield "# EOF\n"


def _lines(family: Family, series: str, label_set: LabelSet, samples: Iterable[tuple[int, Amounts]]) -> Iterator[str]:
    value, shown = "", None
    for at_ms, amounts in samples:
        if amounts is not shown:  # most samples are equal to the one before
            number, shown = family.read((label_set, amounts)), amounts
            assert isinstance(number, float)
            value = format_value(number)
        yield f"{series} {value} {at_ms // 1000}\n"
