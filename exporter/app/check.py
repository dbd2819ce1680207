"""Polls every account once and reports the result: balances and positions, or the problem and what to do about it.

If `key_check` is enabled, it also requests what the API keys may do.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from exporter.account.margin import CrossPool
from exporter.account.presentation import missing_prices, unknown_ratios
from exporter.account.risk import RiskFigures, account_sort_key, assess
from exporter.account.risk_level import RiskLevel
from exporter.app.fleet import Fleet
from exporter.app.rest_fleet import RestFleet
from exporter.binance.clock import is_host_clock_wrong, monotonic
from exporter.binance.rows import FIGURES
from exporter.formatting import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.account.risk import PoolAssessment, RiskAssessment
    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.binance.dialing import Timing
    from exporter.binance.endpoint_state import EndpointState
    from exporter.config.exporter_yml import Config
    from exporter.rest.requests import KeyPermissions

# How long polls may wait for the request weight of the next minute.
_MINUTE_SECONDS: Final = 66.0
# At a weight of 15 each, with the request for the asset mode, half of mainnet's limit: other programs need the rest.
_POLLS_A_MINUTE: Final = 40

POSITION_FIGURES: Final = ("amount", "notional", "unrealized_pnl", "initial_margin", "maintenance_margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """The result of one poll of an account; `problem` and `advice` are None if it succeeded."""

    account: str
    endpoint: str
    key_type: str
    accepted: bool
    reason: str | None = None
    problem: str | None = None
    advice: str | None = None
    resumes_at: str | None = None  # in UTC; the exchange rejects requests from this IP until then, perhaps longer
    pause_end_reported: bool = False  # by the exchange; if not, `resumes_at` is a guess
    clock_offset_seconds: float | None = None
    clock_uncertainty_seconds: float | None = None
    request_weight_used: int | None = None
    request_weight_limit: int | None = None
    asset_mode: str | None = None
    currency: str | None = None
    totals: dict[str, float] = field(default_factory=dict)
    assets: list[dict[str, Any]] = field(default_factory=list)
    risk_level: RiskLevel = RiskLevel.UNKNOWN
    margin_pools: list[dict[str, Any]] = field(default_factory=list)  # worst risk first
    positions: list[dict[str, Any]] = field(default_factory=list)  # worst risk first; last those with only orders
    risk_missing: list[str] = field(default_factory=list)  # held positions without a mark or liquidation price
    unknown_ratios: list[str] = field(default_factory=list)  # why margin ratios that the level depends on are unknown
    key_permissions: list[str] | None = None  # those that the API key has; None: not checked, or unknown
    key_ip_restricted: bool | None = None
    key_problem: str | None = None  # why what the API key may do is unknown
    sort_key: tuple[int, float, float] = account_sort_key(None)  # sorts accounts by risk, worst first

    @property
    def clock_is_wrong(self) -> bool:
        """Whether Binance rejects requests signed with the uncorrected clock of this host."""
        return is_host_clock_wrong(self.clock_offset_seconds or 0.0, self.clock_uncertainty_seconds or 0.0)

    @property
    def is_complete(self) -> bool:
        """Whether the poll succeeded and lacks neither prices nor margin ratios."""
        return self.accepted and not self.risk_missing and not self.unknown_ratios

    @property
    def good(self) -> bool:
        """Whether the poll was complete and the host's clock is right; the risk does not matter."""
        return self.is_complete and not self.clock_is_wrong


async def check(config: Config, timing: Timing | None = None) -> list[AccountReport]:
    """Poll every account once and report on each, in the configuration's order.

    The accounts of an endpoint are polled concurrently, within its request weight, so their timeouts do not add up.
    """
    snapshots: dict[str, AccountSnapshot] = {}

    def keep(state: AccountState, snapshot: AccountSnapshot) -> None:
        snapshots[state.settings.name] = snapshot

    # Where the asset mode is configured, no poll waits for v1, and its response would come too late.
    accounts = [replace(settings, configuration=settings.asset_mode is None) for settings in config.accounts]
    fleet = Fleet(replace(config, accounts=tuple(accounts)), keep, lambda _: None, timing)
    for connection in fleet.connections:
        connection.budget.plan(())  # each account is polled once: the whole share is available
    running = [asyncio.create_task(connection.run()) for connection in fleet.connections]
    try:
        await asyncio.gather(*(connection.first_attempt_finished.wait() for connection in fleet.connections))
        weight_seconds = _MINUTE_SECONDS * (1 + len(fleet.states) // _POLLS_A_MINUTE)
        polls = (
            poller.poll(monotonic() + weight_seconds + 2 * poller.state.settings.request_timeout_seconds)
            for poller in fleet.pollers
        )
        rest = RestFleet(fleet, config, snapshots.get)
        keys, _ = await asyncio.gather(rest.check_keys(), asyncio.gather(*polls))
    finally:
        for poller in fleet.pollers:
            poller.queries.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    endpoints = {endpoint.label: endpoint for endpoint in fleet.endpoints}
    return [
        account_report(
            state,
            endpoints[state.settings.endpoint.label],
            snapshots.get(state.settings.name),
            keys.get(state.settings.name),
        )
        for state in fleet.states
    ]


def account_report(
    state: AccountState,
    endpoint: EndpointState,
    snapshot: AccountSnapshot | None,
    key: KeyPermissions | str | None = None,
) -> AccountReport:
    """Return the report on an account, whose poll has failed if there is no snapshot.

    `key` is what its API key may do, or why that is unknown; None: it was not checked.
    """
    settings, failure = state.settings, state.last_failure
    figures: dict[str, Any] = {}
    if isinstance(key, str):
        figures |= {"key_problem": key}
    elif key:
        figures |= {"key_permissions": key.granted(key.permissions), "key_ip_restricted": key.ip_restricted}
    if snapshot:
        assessment = assess(snapshot)
        figures |= {
            "asset_mode": snapshot.asset_mode.value,
            "currency": snapshot.currency,
            "totals": _figures(snapshot.totals, FIGURES),
            "assets": [{"asset": row.asset} | _figures(row, FIGURES) for row in snapshot.assets],
            "risk_level": assessment.level,
            "margin_pools": [_pool(pool) for pool in assessment.pools],
            "positions": _positions(snapshot, assessment),
            "risk_missing": missing_prices(snapshot),
            "unknown_ratios": unknown_ratios(snapshot, assessment),
            "sort_key": account_sort_key(assessment),
        }
    return AccountReport(
        account=settings.name,
        endpoint=settings.endpoint.label,
        key_type=settings.credentials.key_type,
        accepted=snapshot is not None,
        reason=failure.reason.value if failure else None,
        problem=failure.message if failure else None,
        advice=failure.advice if failure else None,
        resumes_at=None if endpoint.resumes_at is None else format_utc(endpoint.resumes_at),
        pause_end_reported=endpoint.pause_end_reported,
        clock_offset_seconds=endpoint.clock_offset_seconds,
        clock_uncertainty_seconds=endpoint.clock_uncertainty_seconds,
        request_weight_used=endpoint.weight_used,
        request_weight_limit=endpoint.weight_limit,
        **figures,
    )


def _pool(assessment: PoolAssessment) -> dict[str, Any]:
    margin_type = "cross" if isinstance(assessment.pool, CrossPool) else "isolated"
    return {"margin_type": margin_type} | msgspec.structs.asdict(assessment.pool) | {"level": assessment.level}


def _positions(snapshot: AccountSnapshot, assessment: RiskAssessment) -> list[dict[str, Any]]:
    held = [
        (
            held.position.row,
            asdict(held.figures)
            | {"is_distance_known": held.is_distance_known, "margin_ratio": held.margin_ratio, "level": held.level},
        )
        for held in assessment.positions
    ]
    names = [*(risk_field.name for risk_field in fields(RiskFigures)), "is_distance_known", "margin_ratio", "level"]
    no_figures = dict.fromkeys(names)
    return [
        {"symbol": row.symbol, "position_side": row.position_side} | _figures(row, POSITION_FIGURES) | figures
        for row, figures in [*held, *((row, no_figures) for row in snapshot.positions if not row.amount)]
    ]


def _figures(row: object, names: Iterable[str]) -> dict[str, float]:
    return {name: value for name in names if (value := getattr(row, name)) is not None}
