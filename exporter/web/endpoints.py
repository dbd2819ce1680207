"""Rows of the status page's table of endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from exporter.binance.errors import Reason
from exporter.formatting import format_duration

if TYPE_CHECKING:
    from exporter.binance.connection import Connection

_PAUSES: Final = {Reason.BANNED: "the exchange has banned this IP", Reason.RATE_LIMITED: "the rate limit is reached"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """An endpoint's connection, pause, clock and request weight, as text."""

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


def endpoint_row(connection: Connection) -> EndpointRow:
    """Return the row of an endpoint with the present state of its connection."""
    budget, clock = connection.budget, connection.clock
    paused, pause_seconds = budget.paused, budget.pause_seconds
    until = datetime.fromtimestamp(clock.seconds + pause_seconds, UTC)
    return EndpointRow(
        label=connection.endpoint.label,
        connected=connection.connected,
        pause=_PAUSES.get(paused, str(paused)) if paused else "",
        paused_until=f"{until:%Y-%m-%d %H:%M:%S} UTC, for another {format_duration(pause_seconds)}",
        clock=_clock(clock.exact_offset_seconds),
        weight=_weight(budget.used, budget.limit),
        used=budget.used,
        limit=budget.limit,
    )


def _weight(used: int | None, limit: int | None) -> str:
    if limit is None:
        return "unknown" if used is None else f"{used:,}, limit unknown"
    return f"{'unknown' if used is None else f'{used:,}'} of {limit:,}"


def _clock(offset_seconds: float | None) -> str:
    if offset_seconds is None:
        return "unknown"
    if abs(offset_seconds) < 0.001:
        return "exchange and host agree"
    return f"exchange {abs(offset_seconds):,.3f} s {'ahead' if offset_seconds > 0 else 'behind'}"
