"""What is used of prometheus_client beyond its documented API."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from exporter.metrics.undocumented import choose_encoder, format_float


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1.0, 123_456.0, 1e6, 123456789.125, 1e21, 1e-7, float("inf"), float("nan")]
)
def test_numbers_are_written_as_by_the_library(value: float) -> None:
    """A number is formatted as in the library's own text."""
    registry = CollectorRegistry()
    Gauge("gauge", "A gauge", registry=registry).set(value)

    assert generate_latest(registry).endswith(f"\ngauge {format_float(value)}\n".encode())


def test_encoder_of_an_accept_header() -> None:
    """A client of OpenMetrics gets an encoder and a content type of that format."""
    registry = CollectorRegistry()
    Gauge("gauge", "A gauge", registry=registry).set(1)
    encoder, content_type = choose_encoder("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert encoder(registry) == b"# HELP gauge A gauge\n# TYPE gauge gauge\ngauge 1.0\n# EOF\n"
