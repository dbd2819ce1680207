"""Headers of HTTP answers that hold times: Date and Retry-After."""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from websockets.datastructures import Headers

_LONGEST_RETRY_AFTER_SECONDS: Final = 1e9  # far beyond any ban; with the date of one it must stay a valid date
_LONGEST_DATE: Final = 64


def date_seconds(headers: Headers) -> float | None:
    """Return the Date in epoch seconds; None where it is missing or not a date."""
    return _http_date(_header(headers, "Date"))


def retry_after_seconds(headers: Headers) -> float | None:
    """Return the seconds of a Retry-After, sent as a number or as a date; None where it is neither."""
    retry_after = _header(headers, "Retry-After")
    try:
        seconds = float(retry_after)
    except ValueError:
        until, date = _http_date(retry_after), date_seconds(headers)
        if until is None:
            return None
        seconds = until - (time.time() if date is None else date)
    return None if math.isnan(seconds) else max(0.0, min(seconds, _LONGEST_RETRY_AFTER_SECONDS))


def _http_date(text: str) -> float | None:
    """Return a header's date in epoch seconds."""
    try:
        date = parsedate_to_datetime(text[:_LONGEST_DATE])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()  # HTTP's dates are in GMT
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _header(headers: Headers, name: str) -> str:
    # get() raises when a header comes twice.
    return next(iter(headers.get_all(name)), "")
