"""What is used of prometheus_client beyond its documented API; pyproject.toml limits its version."""

from __future__ import annotations

from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

__all__ = ["choose_encoder", "format_float"]


def format_float(value: float) -> str:
    """Return a number as `generate_latest` writes it."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]
