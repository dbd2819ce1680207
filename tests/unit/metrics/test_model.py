"""One entry per metric: a family of each kind is written in both formats, and its name must fit its kind."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support.builders import OPENMETRICS

from exporter.binance.histogram import Histogram
from exporter.metrics.model import Catalog, Family, Group, Kind
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.metrics.text import render, render_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

DURATIONS = Histogram([1, 0, 2, *[0] * 8, 1], 99.5)
ROWS: list[dict[str, Any]] = [
    {"zone": "b", "gauge": 1.5, "counter": 2e6, "histogram": DURATIONS, "info": 1.0},
    {"zone": 'a"\\\n', "gauge": None, "counter": None, "histogram": None, "info": None},
]
# The catalog's label is sorted between those of the group and the buckets' `le`.
CATALOG = Catalog(
    "market",
    (
        Group(
            ("a", "zone"),
            lambda rows: rows,
            lambda _, rows: [("x", row["zone"]) for row in rows],
            (
                Family("shop_level", "Level", "level of stock", itemgetter("gauge")),
                Family("shop_sales_total", "Sales", "", itemgetter("counter"), "counter"),
                Family("shop_wait_seconds", "Wait", "", itemgetter("histogram"), "histogram"),
                Family("shop_info", "Shop", "", itemgetter("info"), "info"),
            ),
        ),
    ),
)
LABELS = {"a": "x", "market": "m", "zone": "b"}
BUCKETS = {
    "0.005": 1.0,
    "0.01": 1.0,
    **dict.fromkeys(("0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"), 3.0),
    "+Inf": 4.0,
}
SAMPLES = [
    ("shop_level", LABELS, 1.5),
    ("shop_sales_total", LABELS, 2e6),
    *(("shop_wait_seconds_bucket", {**LABELS, "le": bound}, count) for bound, count in BUCKETS.items()),
    ("shop_wait_seconds_count", LABELS, 4.0),
    ("shop_wait_seconds_sum", LABELS, 99.5),
    ("shop_info", LABELS, 1.0),
]


def read_back(families: Iterable[Metric]) -> tuple[dict[str, tuple[str, str]], list[tuple[str, dict[str, str], float]]]:
    """Return the type and help of each family, and all samples."""
    families = list(families)
    return {family.name: (family.type, family.documentation) for family in families}, [
        (sample.name, sample.labels, sample.value) for family in families for sample in family.samples
    ]


def test_each_kind_is_written_as_text() -> None:
    """One entry of each kind gives its samples in the text format, where an info metric is a gauge."""
    rendered = render(CATALOG, ROWS, "m")
    text = b"".join(part for pair in zip(render_headers(CATALOG), rendered.fragments, strict=True) for part in pair)
    types, exposed = read_back(parse_text(text.decode()))

    assert {
        "shop_level": ("gauge", "Level (level of stock)."),
        "shop_sales": ("counter", "Sales."),
        "shop_wait_seconds": ("histogram", "Wait."),
        "shop_info": ("gauge", "Shop."),
    } == types
    assert SAMPLES == exposed
    assert OpenMetricsExposition(lambda: [(CATALOG, [rendered])]).prepare("", [])()[0] == text


def test_each_kind_is_written_as_openmetrics() -> None:
    """One entry of each kind gives its samples in OpenMetrics, with its type there."""
    rendered = render(CATALOG, ROWS, "m")
    text, _ = OpenMetricsExposition(lambda: [(CATALOG, [rendered])]).prepare(OPENMETRICS, [])()
    types, exposed = read_back(parse_openmetrics(text.decode()))  # type: ignore[no-untyped-call]

    assert {
        "shop_level": ("gauge", "Level (level of stock)."),
        "shop_sales": ("counter", "Sales."),
        "shop_wait_seconds": ("histogram", "Wait."),
        "shop": ("info", "Shop."),
    } == types
    assert SAMPLES == exposed


@pytest.mark.parametrize("name", [name for name, _, _ in SAMPLES])
def test_each_sample_can_be_requested_by_its_name(name: str) -> None:
    """A name[] filter finds the samples of a family of any kind."""
    rendered = render(CATALOG, ROWS, "m")
    text, _ = OpenMetricsExposition(lambda: [(CATALOG, [rendered])]).prepare("", [name])()

    assert {name} == set(re.findall(r"^(\w+)\{", text.decode(), re.MULTILINE))


def test_lines_change_with_a_histogram() -> None:
    """A histogram that goes on counting does not change what was read before, and its lines are rendered again."""
    durations = Histogram()
    rows = [{**ROWS[0], "histogram": durations}]
    before = render(CATALOG, rows, "m")
    copy = render(CATALOG, [{**ROWS[0], "histogram": Histogram()}], "m")
    durations.observe(0.3)
    after = render(CATALOG, rows, "m", before)

    assert copy == before
    assert render(CATALOG, rows, "m") == after
    assert before.fragments[2] != after.fragments[2]


def test_labels_must_be_sorted() -> None:
    """A group whose labels are not sorted, or are not unique, is refused."""
    for labels in (("zone", "a"), ("a", "a")):
        with pytest.raises(ValueError, match="labels are not sorted and unique"):
            Group(labels, lambda _: (), lambda *_: [], ())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("counter", "shop_sales"),
        ("counter", "shop_info"),
        ("info", "shop"),
        ("gauge", "shop_total"),
        ("gauge", "shop_info"),
        ("histogram", "shop_total"),
        ("histogram", "shop_info"),
    ],
)
def test_name_must_fit_the_kind(kind: str, name: str) -> None:
    """The name of a counter ends in _total, that of an info metric in _info, and no other name does."""
    with pytest.raises(ValueError, match=f"^{name}: the name of a metric ends in _(total|info)"):
        Family(name, "Something", "", float, cast("Kind", kind))
