"""Figures of a response: by the exchange's names, each with the name that is used here and a value."""

from __future__ import annotations

from typing import Any

Figures = dict[str, tuple[str, float]]


def as_sent(figures: Figures) -> dict[str, object]:
    """Return the figures as Binance writes them."""
    return {name: f"{value:.8f}" for name, (_, value) in figures.items()}


def as_decoded(figures: Figures) -> dict[str, Any]:
    """Return the figures under our names."""
    return dict(figures.values())
