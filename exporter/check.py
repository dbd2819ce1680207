"""Polls every account once and reports what is wrong with it and what to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter.account.snapshot import FIGURES, AccountSnapshot
from exporter.binance.clock import monotonic
from exporter.wiring import wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.account.poller import Poller
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.dialing import Timing
    from exporter.config import Config

# Binance refuses a timestamp from here on: other programs on this host are refused, though this one corrects for it.
_CLOCK_TOLERANCE_SECONDS: Final = 1.0

POSITION_FIGURES: Final = ("amount", "notional", "unrealized_pnl", "initial_margin", "maintenance_margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """What one poll of an account brought to light; `problem` and `advice` are None when it was good."""

    account: str
    endpoint: str
    key_type: str
    accepted: bool
    reason: str | None = None
    problem: str | None = None
    advice: str | None = None
    clock_offset_seconds: float | None = None
    request_weight_used: int | None = None
    request_weight_limit: int | None = None
    asset_mode: str | None = None
    currency: str | None = None
    totals: dict[str, float] = field(default_factory=dict)
    assets: list[dict[str, Any]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def clock_is_wrong(self) -> bool:
        """Whether this host's clock is so wrong that Binance would refuse programs that do not correct for it."""
        return abs(self.clock_offset_seconds or 0.0) >= _CLOCK_TOLERANCE_SECONDS

    @property
    def good(self) -> bool:
        """Whether there is nothing to mend."""
        return self.accepted and not self.clock_is_wrong


async def check(config: Config, timing: Timing | None = None) -> list[AccountReport]:
    """Poll every account once, one after the other on each endpoint, and report on each in the file's order."""
    snapshots: dict[str, AccountSnapshot] = {}

    def keep(state: AccountState, snapshot: AccountSnapshot) -> None:
        snapshots[state.settings.name] = snapshot

    wired = wire(config, keep, lambda: None, timing)
    running = [asyncio.create_task(connection.run()) for connection in wired.connections]
    try:
        reports = await asyncio.gather(
            *(_check_endpoint(connection, wired.pollers, snapshots) for connection in wired.connections)
        )
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    by_name = {report.account: report for group in reports for report in group}
    return [by_name[state.settings.name] for state in wired.states]


async def _check_endpoint(
    connection: Connection, pollers: Iterable[Poller], snapshots: dict[str, AccountSnapshot]
) -> list[AccountReport]:
    await connection.first_attempt_over.wait()
    reports = []
    for poller in pollers:
        settings = poller.state.settings
        if settings.endpoint == connection.endpoint:
            # Time for the clock to be learnt anew and the question put again.
            await poller.poll(monotonic() + 2 * settings.request_timeout_seconds)
            reports.append(_report(poller.state, connection, snapshots.get(settings.name)))
    return reports


def _report(state: AccountState, connection: Connection, snapshot: AccountSnapshot | None) -> AccountReport:
    settings, failure = state.settings, state.last_failure
    told: dict[str, Any] = {}
    if snapshot:
        told = {
            "asset_mode": snapshot.asset_mode.value,
            "currency": snapshot.currency,
            "totals": _figures(snapshot.totals, FIGURES),
            "assets": [{"asset": row.asset} | _figures(row, FIGURES) for row in snapshot.assets],
            "positions": [
                {"symbol": row.symbol, "position_side": row.position_side} | _figures(row, POSITION_FIGURES)
                for row in snapshot.positions
            ],
        }
    return AccountReport(
        account=settings.name,
        endpoint=settings.endpoint.label,
        key_type=settings.credentials.key_type,
        accepted=snapshot is not None,
        reason=failure.reason.value if failure else None,
        problem=failure.words if failure else None,
        advice=failure.advice if failure else None,
        clock_offset_seconds=connection.clock.offset_seconds,
        request_weight_used=connection.budget.used,
        request_weight_limit=connection.budget.limit,
        **told,
    )


def _figures(row: object, names: Iterable[str]) -> dict[str, float]:
    return {name: value for name in names if (value := getattr(row, name)) is not None}
