"""Frames that belong to no request: counted by kind, and one of each kind a minute logged."""

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
    """The ignored frames of one endpoint.

    Args:
        endpoint: the label that log lines name.
        monotonic: the clock of the logged minutes.
    """

    def __init__(self, endpoint: str, monotonic: Callable[[], float]) -> None:
        self.counts: Counter[UnmatchedReason] = Counter()
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._logged_at: dict[UnmatchedReason, float] = {}

    def note(self, kind: UnmatchedReason, envelope: Envelope | None) -> None:
        """Count a frame, and log it unless one of its kind was logged within the minute."""
        self.counts[kind] += 1
        now = self._monotonic()
        if now - self._logged_at.get(kind, float("-inf")) >= _LOG_AGAIN_SECONDS:
            self._logged_at[kind] = now
            log.warning("frame ignored", endpoint=self._endpoint, reason=kind.value, detail=_describe(kind, envelope))


def _describe(kind: UnmatchedReason, envelope: Envelope | None) -> str:
    if envelope is not None and kind is UnmatchedReason.NULL_ID:
        return str(decode_error(envelope))
    if envelope is not None and kind is UnmatchedReason.EVENT:
        return scrub(decode_event_name(envelope.event))
    return ""
