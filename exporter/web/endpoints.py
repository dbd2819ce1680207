"""Rows of the endpoints table on the status page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from exporter.account.presentation import format_clock_offset, format_request_weight
from exporter.binance.errors import Reason
from exporter.formatting import format_duration

if TYPE_CHECKING:
    from exporter.binance.endpoint_state import EndpointState

_PAUSES: Final = {Reason.BANNED: "IP banned by the exchange", Reason.RATE_LIMITED: "rate limit exceeded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """Connection, pause, clock offset and request weight of an endpoint, formatted."""

    label: str
    connected: bool
    pause: str
    paused_until: str
    clock: str
    weight: str
    used: int | None
    limit: int | None

    @property
    def usable(self) -> bool:
        """Whether requests can be sent."""
        return self.connected and not self.pause


def endpoint_row(endpoint: EndpointState) -> EndpointRow:
    """Return the row of an endpoint."""
    paused = endpoint.paused
    until = datetime.fromtimestamp(endpoint.resumes_at or 0, UTC)
    return EndpointRow(
        label=endpoint.label,
        connected=endpoint.connected,
        pause=_PAUSES.get(paused, str(paused)) if paused else "",
        paused_until=f"{until:%Y-%m-%d %H:%M:%S} UTC ({format_duration(endpoint.pause_seconds)} left)",
        clock=format_clock_offset(endpoint.clock_offset_seconds, endpoint.clock_uncertainty_seconds),
        weight=format_request_weight(endpoint.weight_used, endpoint.weight_limit),
        used=endpoint.weight_used,
        limit=endpoint.weight_limit,
    )
