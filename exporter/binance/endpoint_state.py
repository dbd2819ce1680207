"""The state of an endpoint's connection at one moment, as plain values.

The connection builds it; the exporter's own metrics, the status page and `check` read it, and nothing else of the
connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.binance.clock import DATE_ERROR_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.binance.errors import DisconnectReason, Reason, UnmatchedReason
    from exporter.binance.histogram import Histogram
    from exporter.binance.messages import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """Connection, pause, clock and request weight of an endpoint; a reason or method without an entry counts as 0."""

    label: str
    connected: bool = False  # whether requests can be sent
    connections: int = 0  # opened since the start
    disconnections: Mapping[DisconnectReason, int] = field(default_factory=dict)
    unmatched_frames: Mapping[UnmatchedReason, int] = field(default_factory=dict)
    durations: Mapping[Method, Histogram] = field(default_factory=dict)
    paused: Reason | None = None  # RATE_LIMITED or BANNED
    pause_seconds: float = 0.0  # remaining
    resumes_at: float | None = None  # when the pause ends, in epoch seconds of the exchange's clock
    pause_end_reported: bool = False  # by the exchange; else the exporter tries again then, perhaps in vain
    clock_offset_seconds: float | None = None  # how far the exchange is ahead of this host; None until synchronized
    clock_uncertainty_seconds: float = 0.0  # the largest error of that offset
    weight_used: int | None = None  # the IP's in the current minute; None if not reported in this minute
    weight_limit: int | None = None  # the IP's per minute; None until reported
    weight_spent: int = 0  # by this exporter since the start

    @property
    def exact_clock_offset_seconds(self) -> float | None:
        """The clock offset; None while it is known only to the second."""
        return self.clock_offset_seconds if self.clock_uncertainty_seconds < DATE_ERROR_SECONDS else None
