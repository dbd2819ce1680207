"""Prices and durations as they are displayed."""

from __future__ import annotations

import pytest

from exporter.formatting import format_duration, format_price


@pytest.mark.parametrize(
    ("price", "text"),
    [(0.0, "0.00"), (0.0070935, "0.0070935"), (96732.694, "96,732.69"), (1e300, "1.000000e+300"), (None, "unknown")],
)
def test_prices(price: float | None, text: str) -> None:
    """A price has about seven digits, and an absurd one does not widen the page."""
    assert text == format_price(price)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1.0, "0 seconds"),
        (0.99, "0 seconds"),
        (1.5, "1 second"),
        (59.9, "59 seconds"),
        (60.0, "1 minute"),
        (125.0, "2 minutes 5 seconds"),
        (3600.0, "1 hour"),
        (3605.0, "1 hour"),
        (7260.0, "2 hours 1 minute"),
        (90000.0, "1 day 1 hour"),
        (86400.0 * 400 + 59, "400 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration is shown in its two largest adjacent units, rounded down."""
    assert words == format_duration(seconds)
