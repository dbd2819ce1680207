"""A row of the fault table, its result, and what a scrape shows of an account, as the table judges it."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from exporter.binance.dialing import Timing
    from support.fault_runner import FaultRun

    Switch = Callable[[FaultRun], AbstractAsyncContextManager[None]]

ACCOUNTS: Final = ("alice", "bob")
_REASONS_WIDTH: Final = 44
_COUNTERS: Final = {
    "poll_failures_total": "poll",
    "disconnections_total": "connection",
    "frames_ignored_total": "frame",
}
_POLLING_SERIES: Final = re.compile(
    r"binance_futures_(up|account_info|last_success_timestamp_seconds|polls_total|poll_failures_total"
    r"|poll_interval_seconds|stale_after_seconds|key_\w+)\{"
)
# Of the status and of position risk, not the configuration, which is requested once an hour.
_FIGURES: Final = re.compile(
    r"binance_futures_(account|asset|position)_(?!info\{|risk_missing\{|leverage\{|can_|fee_|hedge_|conf)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """A row of the table.

    `counted` and `possible` are reasons such as "poll timeout", "connection closed" or "frame garbage": those that the
    exporter must count, and those that it may count; no others. Without a "poll" reason no poll may fail.
    """

    name: str
    switch: Switch
    counted: frozenset[str] = frozenset()
    possible: frozenset[str] = frozenset()
    affects: Literal["alice", "both"] = "both"
    duration_seconds: float = 85.0
    recovers_within_seconds: float = 90.0
    most_requests: int = 8  # for alice's status, while the fault is on
    from_start: bool = False
    timing: Timing | None = None
    rest: bool = False  # whether the exporter uses REST, too
    front: Callable[[str], AbstractAsyncContextManager[str]] = (
        nullcontext  # yields the URL to connect to instead of the exchange's
    )


@dataclass(slots=True)
class Result:
    """The outcome of a row."""

    counted: str = "?"
    polls_failed: int = 0
    slowest_scrape_seconds: float = 0.0
    recovery_seconds: float | None = None
    shown_at: dict[str, float] = field(default_factory=dict)  # when the last shown figures of an account were sent
    up: dict[str, float] = field(default_factory=dict)  # as of the last scrape, as is `failed`
    failed: dict[str, float] = field(default_factory=dict)
    were_down: set[str] = field(default_factory=set)

    def row(self, fault: FaultRow) -> tuple[str, ...]:
        """Return the cells of the table, without the verdict."""
        recovery = "never" if self.recovery_seconds is None else f"{self.recovery_seconds:.0f}"
        slowest_ms = f"{self.slowest_scrape_seconds * 1000:.0f}"
        return fault.name, fault.affects, self.counted, str(self.polls_failed), slowest_ms, recovery


def counts_of(shown: dict[str, float]) -> Counter[tuple[str, str]]:
    """Return the failures that a scrape counts, by account (empty for connections and frames) and reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for series, value in shown.items():
        if key := _reason_of(series):
            counts[key] = int(value)
    return counts


# Scrapes have mostly the same series: each is parsed once.
@cache
def _reason_of(series: str) -> tuple[str, str] | None:
    """Return the account and the reason of a counter of failures, None for other series."""
    name, _, labels = series.partition("{")
    if not (kind := _COUNTERS.get(name.removeprefix("binance_futures_"))):
        return None
    account, reason = (re.search(rf'{label}="([^"]*)"', labels) for label in ("account", "reason"))
    assert reason is not None
    return account[1] if account else "", f"{kind} {reason[1]}"


@cache
def account_of(series: str) -> str | None:
    """Return the account of a series whose value comes from the exchange, None for other series."""
    if _POLLING_SERIES.match(series):
        return None
    return next((account for account in ACCOUNTS if f'account="{account}"' in series), None)


@cache
def is_figure(series: str) -> bool:
    """Return whether a series is a figure of an account, an asset or a position."""
    return _FIGURES.match(series) is not None


def shortened(reasons: set[str]) -> str:
    """Name each kind of reason once, as in "connection rejected reset, poll connection"."""
    kinds: dict[str, list[str]] = {}
    for kind, _, reason in sorted(reason.partition(" ") for reason in reasons):
        kinds.setdefault(kind, [kind]).append(reason)
    text = ", ".join(map(" ".join, kinds.values())) or "none"
    return text if len(text) <= _REASONS_WIDTH else f"{text[: _REASONS_WIDTH - 1]}…"


def is_up(shown: dict[str, float], account: str) -> float:
    """Return whether an account is up; before the end of its first poll it has no series."""
    return shown.get(f'binance_futures_up{{account="{account}"}}', 0.0)


def setting_of(shown: dict[str, float], name: str, account: str) -> float:
    """Return a duration that is shown for an account, in seconds."""
    return shown[f'binance_futures_{name}{{account="{account}"}}']
