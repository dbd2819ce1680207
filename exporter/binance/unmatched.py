"""Frames that match no request: counted by reason, and logged at most once a minute for each reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from exporter.binance.errors import UnmatchedReason, scrub
from exporter.binance.messages import decode_error, decode_event_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.binance.messages import Envelope

log = structlog.get_logger()

_LOG_AGAIN_SECONDS: Final = 60.0


class UnmatchedFrames:
    """Counts and logs the unmatched frames of one endpoint.

    Args:
        endpoint: the endpoint's label, for the log.
        monotonic: the clock, in seconds.
    """

    def __init__(self, endpoint: str, monotonic: Callable[[], float]) -> None:
        self.counts: Counter[UnmatchedReason] = Counter()
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._logged_at: dict[UnmatchedReason, float] = {}

    def record(self, reason: UnmatchedReason, envelope: Envelope | None) -> None:
        """Count a frame, and log it unless one with the same reason was logged within the last minute."""
        self.counts[reason] += 1
        now = self._monotonic()
        if now - self._logged_at.get(reason, float("-inf")) >= _LOG_AGAIN_SECONDS:
            self._logged_at[reason] = now
            log.warning(
                "frame ignored", endpoint=self._endpoint, reason=reason.value, detail=_describe(reason, envelope)
            )


def _describe(reason: UnmatchedReason, envelope: Envelope | None) -> str:
    if envelope is not None and reason is UnmatchedReason.NULL_ID:
        return str(decode_error(envelope))
    if envelope is not None and reason is UnmatchedReason.EVENT:
        return scrub(decode_event_name(envelope.event))
    return ""
