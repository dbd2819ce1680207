"""Files of past income counters: their text, and that parsers of OpenMetrics read it."""

from __future__ import annotations

from decimal import Decimal

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.metrics.income_catalog import INCOME
from exporter.metrics.past import openmetrics_of
from exporter.rest.income_past import PastDay
from exporter.rest.income_sums import Amounts, LabelSet

NOTHING = Amounts()
SOME = Amounts(Decimal("1234567.5"), Decimal("0.00001"))
DAY = PastDay(0, {LabelSet("USDT", "transfer", ""): [(0, NOTHING), (300_000, SOME), (600_000, SOME)]})


def test_text() -> None:
    """A file has both counters with sorted labels and a time in seconds at the end of each line, and then ends."""
    received, paid = INCOME.families[:2]
    labels = '{account="a %s \\"b\\"",asset="USDT",group="50%",income_type="transfer",job="c\\\\d",symbol=""}'

    assert (
        f"# HELP binance_futures_income_received {received.help}\n"
        "# TYPE binance_futures_income_received counter\n"
        f"binance_futures_income_received_total{labels} 0.0 0\n"
        f"binance_futures_income_received_total{labels} 1.2345675e+06 300\n"
        f"binance_futures_income_received_total{labels} 1.2345675e+06 600\n"
        f"# HELP binance_futures_income_paid {paid.help}\n"
        "# TYPE binance_futures_income_paid counter\n"
        f"binance_futures_income_paid_total{labels} 0.0 0\n"
        f"binance_futures_income_paid_total{labels} 1e-05 300\n"
        f"binance_futures_income_paid_total{labels} 1e-05 600\n"
        "# EOF\n"
    ) == "".join(openmetrics_of(DAY, 'a %s "b"', {"job": "c\\d", "group": "50%"}))


def test_parser() -> None:
    """Another implementation reads the values, times and labels."""
    text = "".join(openmetrics_of(DAY, 'a "b"', {"job": "c\\d"}))
    samples = [
        (sample.name, sample.value, float(sample.timestamp or -1), sample.labels["account"], sample.labels["job"])
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]

    assert [
        (f"binance_futures_income_{name}_total", value, at, 'a "b"', "c\\d")
        for name, some in (("received", 1234567.5), ("paid", 0.00001))
        for value, at in ((0.0, 0.0), (some, 300.0), (some, 600.0))
    ] == samples
