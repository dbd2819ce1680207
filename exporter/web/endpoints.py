"""Rows of the endpoints table on the status page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from exporter.account.presentation import format_clock_offset, format_request_weight
from exporter.binance.errors import Reason
from exporter.formatting import format_duration

if TYPE_CHECKING:
    from exporter.binance.connection import Connection

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


def endpoint_row(connection: Connection) -> EndpointRow:
    """Return the row of an endpoint with the current state of its connection."""
    budget, clock = connection.budget, connection.clock
    paused, pause_seconds = budget.paused, budget.pause_seconds
    until = datetime.fromtimestamp(clock.seconds + pause_seconds, UTC)
    return EndpointRow(
        label=connection.endpoint.label,
        connected=connection.connected,
        pause=_PAUSES.get(paused, str(paused)) if paused else "",
        paused_until=f"{until:%Y-%m-%d %H:%M:%S} UTC ({format_duration(pause_seconds)} left)",
        clock=format_clock_offset(clock.offset_seconds, clock.uncertainty_seconds),
        weight=format_request_weight(budget.used, budget.limit),
        used=budget.used,
        limit=budget.limit,
    )
