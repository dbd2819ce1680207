"""Rows of the accounts and positions tables on the status page, worst first."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from zlib import crc32

from exporter.account.margin import worst_ratio
from exporter.account.presentation import (
    NONE,
    UNKNOWN,
    format_key_type,
    format_margin,
    format_side,
    missing_prices,
    unknown_ratios,
)
from exporter.account.risk import account_sort_key, assess
from exporter.account.risk_level import RiskLevel
from exporter.formatting import format_duration, format_percent, format_price

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.account.risk import PositionAssessment, RiskAssessment
    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState, Failure

STATES: Final = ("down", "stale", "failing", "waiting", "up")  # worst first
# Trouble of either kind, risk or polling, worst first.
_TROUBLE: Final = {
    "critical": 0,
    "unknown": 1,
    "down": 1,
    "stale": 1,
    "warning": 2,
    "failing": 2,
    "waiting": 3,
    "normal": 4,
    "up": 4,
}
_MODES: Final = {"single": "single-asset", "multi": "multi-assets"}

# Positions in all tables together, at least one for each account: 100 accounts with names of up to 10 characters make a
# page of less than 200 KB.
_MAX_POSITIONS: Final = 150
_MAX_POSITIONS_AT_RISK: Final = 50  # in addition, for accounts with more of them than their share
_MAX_POSITIONS_PER_ACCOUNT: Final = 50
_MAX_OPEN: Final = 3  # tables that are expanded at first
_MAX_FAILURES: Final = 10
_MAX_REASONS: Final = 2  # of an unknown level; `check` and the log list all


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRow:
    """A row of the positions table of an account; it has no size and no profit."""

    symbol: str
    level: RiskLevel
    side: str
    margin: str
    margin_ratio: str
    mark_price: str
    liquidation_price: str
    distance: str
    leverage: str
    adl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """A row of the accounts table, with the positions of the account."""

    number: int  # in the order of the configuration
    name: str
    level: RiskLevel
    level_was: str  # if the data has expired: "was critical"
    level_remark: str
    state: str
    state_remark: str
    age: str
    margin_ratio: float | None
    nearest: PositionRow | None  # None: no position has a liquidation price
    nearest_missing: str
    open_positions: int | None
    endpoint: str
    key_type: str
    asset_mode: str
    positions: tuple[PositionRow, ...]
    further_positions: int
    is_listed: bool  # under margin and positions
    is_troubled: bool = False
    is_expanded: bool = False

    @property
    def margin_ratio_text(self) -> str:
        """The highest ratio of the account's margin pools."""
        return format_percent(self.margin_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """A cause of failure, with the accounts that it affects."""

    id: str
    failure: Failure
    accounts: tuple[str, ...]


def account_rows(
    states: Iterable[AccountState], now: float, snapshots: Mapping[str, AccountSnapshot]
) -> list[AccountRow]:
    """Return the rows of all accounts, those with trouble of either kind first, worst first.

    Args:
        states: the accounts.
        now: now, in seconds of `HostClock.data_time`.
        snapshots: the last snapshots, by account, also stale ones.
    """
    assessed = []
    for number, state in enumerate(states, 1):
        snapshot = snapshots.get(state.settings.name)
        assessment = assess(snapshot) if snapshot else None
        last_level = assessment.level if assessment else None
        if not state.is_fresh(now):  # as in the metrics: stale data is not shown
            snapshot = assessment = None
        sort_key = _sort_key(state, now, assessment, last_level)
        assessed.append((sort_key, number, state, snapshot, assessment, last_level))
    assessed.sort(key=lambda account: account[:2])
    limits = _position_limits([assessment for *_, assessment, _ in assessed])
    open_left, rows = _MAX_OPEN, []
    for (sort_key, number, state, snapshot, assessment, last_level), limit in zip(assessed, limits, strict=True):
        is_expanded = bool(
            open_left
            and assessment
            and assessment.positions
            and assessment.level in {RiskLevel.CRITICAL, RiskLevel.UNKNOWN}
        )
        open_left -= is_expanded
        row = _account_row(number, state, now, snapshot, assessment, last_level, limit)
        rows.append(replace(row, is_troubled=sort_key[0] < _TROUBLE["normal"], is_expanded=is_expanded))
    return rows


def failure_rows(states: Iterable[AccountState], now: float) -> tuple[list[FailureRow], int]:
    """Return the causes of failure, most accounts first, and how many accounts have a cause that is omitted."""
    groups: dict[tuple[str, str, str], list[AccountState]] = defaultdict(list)
    for state in states:
        failure = state.last_failure
        if failure and not state.last_poll_succeeded and state_word(state, now) != "waiting":
            groups[failure.reason, failure.message, failure.advice].append(state)
    rows = [
        FailureRow(
            # Not its place in the list: what is expanded must stay so if another cause comes first.
            id=f"f{crc32(repr(cause).encode()):x}",
            failure=failure,
            accounts=tuple(state.settings.name for state in failing),
        )
        for cause, failing in sorted(groups.items(), key=lambda group: -len(group[1]))
        if (failure := failing[0].last_failure)
    ]
    return rows[:_MAX_FAILURES], sum(len(row.accounts) for row in rows[_MAX_FAILURES:])


def state_word(state: AccountState, now: float) -> str:
    """Return the state of an account's polling, one of `STATES`."""
    if state.is_up(now):
        return "up"
    if not state.first_poll_finished:
        return "waiting"
    if state.answered_at is None:
        return "down"
    return "failing" if state.is_fresh(now) else "stale"


def _sort_key(
    state: AccountState, now: float, assessment: RiskAssessment | None, last_level: RiskLevel | None
) -> tuple[int, tuple[int, float, float], int]:
    word = state_word(state, now)
    level = assessment.level if assessment else RiskLevel.UNKNOWN
    # That nothing is known before the first poll is no trouble.
    trouble = _TROUBLE[word] if word == "waiting" else min(_TROUBLE[word], _TROUBLE[level])
    risk_key = account_sort_key(assessment)
    if word == "stale" and last_level is RiskLevel.CRITICAL:
        risk_key = (risk_key[0], -math.inf, 0.0)  # before all others whose risk is unknown
    return trouble, risk_key, STATES.index(word)


def _position_limits(assessments: Sequence[RiskAssessment | None]) -> list[int]:
    """Return how many positions of each account are shown: an equal share, and more of those at risk."""
    held = sum(1 for assessment in assessments if assessment and assessment.positions)
    share = min(_MAX_POSITIONS_PER_ACCOUNT, max(1, _MAX_POSITIONS // max(1, held)))
    limits, spare = [], _MAX_POSITIONS_AT_RISK
    for assessment in assessments:
        positions = assessment.positions if assessment else ()
        at_risk = sum(position.level is not RiskLevel.NORMAL for position in positions)
        extra = max(0, min(at_risk, _MAX_POSITIONS_PER_ACCOUNT) - share)
        limits.append(share + min(extra, spare))
        spare -= min(extra, spare)
    return limits


def _account_row(
    number: int,
    state: AccountState,
    now: float,
    snapshot: AccountSnapshot | None,
    assessment: RiskAssessment | None,
    last_level: RiskLevel | None,
    limit: int,
) -> AccountRow:
    settings, word = state.settings, state_word(state, now)
    asset_mode = state.asset_mode or settings.asset_mode
    positions = assessment.positions if assessment else ()
    distances = [position.figures.distance_to_liquidation for position in positions]
    at_distance = [
        (distance, held) for distance, held in zip(distances, positions, strict=True) if distance is not None
    ]
    nearest = min(at_distance, key=lambda pair: pair[0])[1] if at_distance else None
    return AccountRow(
        number=number,
        name=settings.name,
        level=assessment.level if assessment else RiskLevel.UNKNOWN,
        level_was=_level_was(word, last_level),
        level_remark=_level_remark(word, state, now, snapshot, assessment, last_level),
        state=word,
        state_remark=_state_remark(word, state, now),
        age="no data yet" if state.answered_at is None else format_duration(now - state.answered_at),
        margin_ratio=worst_ratio(snapshot) if snapshot else None,
        nearest=_position_row(nearest, snapshot) if nearest and snapshot else None,
        nearest_missing=NONE if assessment and all(held.is_distance_known for held in positions) else UNKNOWN,
        # As in the metrics: stale data is not shown.
        open_positions=state.open_positions if state.is_fresh(now) else None,
        endpoint=settings.endpoint.label,
        key_type=format_key_type(settings.credentials.key_type),
        asset_mode=_MODES[asset_mode] if asset_mode else UNKNOWN,
        positions=tuple(_position_row(held, snapshot) for held in positions[:limit]) if snapshot else (),
        further_positions=max(0, len(positions) - limit),
        # A stale account that last held positions may be near liquidation.
        is_listed=bool(positions or (word == "stale" and state.open_positions != 0)),
    )


def _position_row(held: PositionAssessment, snapshot: AccountSnapshot) -> PositionRow:
    row, figures = held.position.row, held.figures
    missing = NONE if held.is_distance_known else UNKNOWN
    return PositionRow(
        symbol=row.symbol,
        level=held.level,
        side=format_side(row.position_side, row.amount),
        margin=format_margin(figures.margin_type, figures.margin_asset, snapshot.asset_mode, snapshot.currency),
        margin_ratio=format_percent(held.margin_ratio),
        mark_price=format_price(figures.mark_price),
        liquidation_price=format_price(figures.liquidation_price, missing),
        distance=format_percent(figures.distance_to_liquidation, 2, missing),
        leverage=UNKNOWN if figures.leverage is None else f"{figures.leverage}x",
        adl=UNKNOWN if figures.adl_quantile is None else f"{figures.adl_quantile} of 4",
    )


def _level_was(word: str, last_level: RiskLevel | None) -> str:
    is_known = word == "stale" and last_level not in {None, RiskLevel.UNKNOWN}
    return f"was {last_level}" if is_known else ""


def _level_remark(
    word: str,
    state: AccountState,
    now: float,
    snapshot: AccountSnapshot | None,
    assessment: RiskAssessment | None,
    last_level: RiskLevel | None,
) -> str:
    if word == "stale":
        return f"for {format_duration(now - state.stale_at)}; {_level_was(word, last_level)}".removesuffix("; ")
    if snapshot is None or assessment is None or assessment.is_complete:
        return ""
    if assessment.level is not RiskLevel.UNKNOWN:
        return "some data missing"
    missing = {
        "no mark or liquidation price": missing_prices(snapshot),
        "margin ratio unknown": unknown_ratios(snapshot, assessment),
    }
    return "; ".join(f"{text}: {_shorten(names)}" for text, names in missing.items() if names)


def _shorten(names: Sequence[str]) -> str:
    more = len(names) - _MAX_REASONS
    return ", ".join(names[:_MAX_REASONS]) + (f" and {more} more" if more > 0 else "")


def _state_remark(word: str, state: AccountState, now: float) -> str:
    reason = state.last_failure.reason.value.replace("_", " ") if state.last_failure else ""
    match word:
        case "waiting":
            return "first poll pending"
        case "down":
            return f"{reason}; no successful poll yet".removeprefix("; ")
        case "stale":
            reason = "" if state.last_poll_succeeded else reason
            return f"{reason}; data expired".removeprefix("; ")
        case "failing":
            return f"{reason}; data expires in {format_duration(state.stale_at - now)}".removeprefix("; ")
        case _:
            return ""
