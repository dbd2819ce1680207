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
DAY = PastDay(
    0, {LabelSet("USDT", "transfer", ""): [(0, NOTHING), (300_000, SOME), (600_000, SOME)]}, [(0, -1_000), (300_000, 0)]
)


def test_text() -> None:
    """A file has both counters and since when they sum, with sorted labels and times in seconds, and then ends."""
    received, paid = INCOME.families[:2]
    since = INCOME.groups[1].families[0]
    of_account = '{account="a %s \\"b\\"",group="50%",job="c\\\\d"}'
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
        f"# HELP binance_futures_income_since_timestamp_seconds {since.help}\n"
        "# TYPE binance_futures_income_since_timestamp_seconds gauge\n"
        f"binance_futures_income_since_timestamp_seconds{of_account} -1.0 0\n"
        f"binance_futures_income_since_timestamp_seconds{of_account} 0.0 300\n"
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
        (f"binance_futures_income_{name}", value, at, 'a "b"', "c\\d")
        for name, values in (
            ("received_total", (0.0, 1234567.5, 1234567.5)),
            ("paid_total", (0.0, 0.00001, 0.00001)),
            ("since_timestamp_seconds", (-1.0, 0.0)),
        )
        for value, at in zip(values, (0.0, 300.0, 600.0), strict=False)
    ] == samples
