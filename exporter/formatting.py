"""How parts, prices, durations and foreign texts are put before a reader."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_MOST_PERCENT: Final = 9999.0
_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def format_percent(part: float | None, decimals: int = 1) -> str:
    """Write a part in per cent, rounded down: 0.9999 is not yet 100 %, nor what is nearly there further away."""
    if part is None:
        return "unknown"
    if math.isinf(part):
        return "infinite"
    if part * 100 > _MOST_PERCENT:
        return f"over {_MOST_PERCENT:,.0f} %"
    steps = 10**decimals
    # The small part keeps 0.29 from becoming 28.9 %.
    return f"{math.floor(part * 100 * steps + 1e-6) / steps:,.{decimals}f} %"


def format_price(price: float | None) -> str:
    """Write a price with about seven digits, whatever its size, and at least two decimals; a dash where there is none.

    Those of one table differ by seven powers of ten: no number of decimals suits all.
    """
    if price is None:
        return "-"
    size = math.floor(math.log10(abs(price))) if price else 0
    whole, _, decimals = f"{price:,.{min(12, max(2, 6 - size))}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def format_duration(seconds: float) -> str:
    """Say a duration in its two largest units, rounded down: "2 minutes 5 seconds", "3 days 1 hour"."""
    left = max(0, math.floor(seconds))
    words = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
        elif words:
            break  # "3 days 5 seconds" would claim a precision that nobody reads
    return " ".join(words[:2]) or "0 seconds"


def format_utc(unix_seconds: float) -> str:
    """Write a moment in UTC, rounded up to a second: 2026-11-28T21:05:00Z."""
    return datetime.fromtimestamp(math.ceil(unix_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def escape_unprintable(text: str) -> str:
    """Return a text from the exchange or the configuration fit for a terminal: what is no print becomes an escape."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
