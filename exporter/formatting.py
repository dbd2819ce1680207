"""Formats numbers, durations, times and external text for display."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_MAX_PERCENT: Final = 9999.0
_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def format_percent(fraction: float | None, decimals: int = 1, missing: str = "unknown") -> str:
    """Return a fraction as a percentage, rounded down so that 0.9999 is not shown as 100 %; `missing` for None."""
    if fraction is None:
        return missing
    if math.isinf(fraction):
        return "infinite"
    if fraction * 100 > _MAX_PERCENT:
        return f"over {_MAX_PERCENT:,.0f} %"
    steps = 10**decimals
    # The small addend keeps 0.29 from becoming 28.9 %.
    return f"{math.floor(fraction * 100 * steps + 1e-6) / steps:,.{decimals}f} %"


def format_price(price: float | None, missing: str = "unknown") -> str:
    """Return a price with about seven digits, and at least two decimals below 1e15; `missing` for None.

    Prices in one table may differ by seven orders of magnitude, so no fixed number of decimals suits all of them.
    """
    if price is None:
        return missing
    if abs(price) >= 1e15:
        return f"{price:.6e}"
    size = math.floor(math.log10(abs(price))) if price else 0
    whole, _, decimals = f"{price:,.{min(12, max(2, 6 - size))}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, rounded down: "2 minutes 5 seconds", "3 days 1 hour"."""
    remaining = max(0, math.floor(seconds))
    parts = []
    for unit, size in _UNITS:
        count, remaining = divmod(remaining, size)
        if count:
            parts.append(f"{count} {pluralize(unit, count)}")
        elif parts:
            break  # "3 days 5 seconds" would suggest needless precision
    return " ".join(parts[:2]) or "0 seconds"


def pluralize(noun: str, count: int) -> str:
    """Return the singular or plural of a regular noun: "account", "accounts"."""
    return noun if count == 1 else f"{noun}s"


def format_utc(unix_seconds: float) -> str:
    """Return a time in UTC, rounded up to the second: 2026-11-28T21:05:00Z."""
    return datetime.fromtimestamp(math.ceil(unix_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def escape_unprintable(text: str, keep: str = "") -> str:
    """Return external text with unprintable characters escaped, except those in `keep`."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
