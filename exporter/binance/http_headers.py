"""The HTTP response headers that contain times: Date and Retry-After."""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from websockets.datastructures import Headers

_MAX_RETRY_AFTER_SECONDS: Final = 1e9  # far beyond any ban, and still a valid date when added to now
_MAX_DATE_LENGTH: Final = 64


def date_seconds(headers: Headers) -> float | None:
    """Return the Date in epoch seconds; None where it is missing or not a date."""
    return _http_date(_header(headers, "Date"))


def retry_after_seconds(headers: Headers) -> float | None:
    """Return the seconds of a Retry-After, sent as a number or a date; None if it is neither."""
    return parse_retry_after(_header(headers, "Retry-After"), _header(headers, "Date"))


def parse_retry_after(retry_after: str, date: str) -> float | None:
    """Return the seconds of a Retry-After, given the header's text and that of the Date beside it."""
    try:
        seconds = float(retry_after)
    except ValueError:
        until, now = _http_date(retry_after), _http_date(date)
        if until is None:
            return None
        seconds = until - (time.time() if now is None else now)
    return None if math.isnan(seconds) else max(0.0, min(seconds, _MAX_RETRY_AFTER_SECONDS))


def _http_date(text: str) -> float | None:
    """Return a header's date in epoch seconds."""
    try:
        date = parsedate_to_datetime(text[:_MAX_DATE_LENGTH])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()  # HTTP's dates are in GMT
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _header(headers: Headers, name: str) -> str:
    # get() raises when a header comes twice.
    return next(iter(headers.get_all(name)), "")
