"""What the status page and `check` display in the same way."""

from __future__ import annotations

import math

import pytest

from exporter.account.presentation import ratio_word


@pytest.mark.parametrize(
    ("expected", "ratio"),
    [
        ("unknown", None),
        ("no risk", 0.0),
        ("normal", 0.69),
        ("high", 0.7),
        ("critical", 0.8),
        ("liquidation", 1.0),
        ("liquidation", math.inf),
    ],
)
def test_ratio_words(expected: str, ratio: float | None) -> None:
    """A margin ratio is described in words by the same thresholds."""
    assert expected == ratio_word(ratio)
