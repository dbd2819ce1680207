"""Rows of the endpoints table on the status page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.account.presentation import format_clock_offset, format_request_weight
from exporter.binance.clock import is_host_clock_wrong
from exporter.binance.errors import Reason
from exporter.formatting import format_duration, format_utc

if TYPE_CHECKING:
    from exporter.binance.endpoint_state import EndpointState

_PAUSES: Final = {Reason.BANNED: "IP banned by the exchange", Reason.RATE_LIMITED: "rate limit exceeded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """Connection, pause, clock offset and request weight of an endpoint, formatted."""

    label: str
    connected: bool
    pause: str
    clock: str
    clock_is_wrong: bool  # this host's
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
    offset, uncertainty = endpoint.clock_offset_seconds, endpoint.clock_uncertainty_seconds
    return EndpointRow(
        label=endpoint.label,
        connected=endpoint.connected,
        pause=f"{_PAUSES.get(paused, paused)}; {_pause_end(endpoint)}" if paused else "",
        clock=format_clock_offset(offset, uncertainty),
        clock_is_wrong=is_host_clock_wrong(offset or 0.0, uncertainty),
        weight=format_request_weight(endpoint.weight_used, endpoint.weight_limit),
        used=endpoint.weight_used,
        limit=endpoint.weight_limit,
    )


def _pause_end(endpoint: EndpointState) -> str:
    time, left = format_utc(endpoint.resumes_at or 0.0), format_duration(endpoint.pause_seconds)
    return f"until {time} ({left} left)" if endpoint.pause_end_reported else f"next attempt at {time} (in {left})"
