"""Rejects responses that are empty or contradict themselves: to show an account as flat because of one is dangerous.

The tolerances are absolute and relative: a maintenance margin of 1e-7, or of a millionth of the margin balance, is
rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import MIN_MARGIN, is_above_rounding
from exporter.account.snapshot import identity
from exporter.binance.errors import DecodeError
from exporter.binance.messages import Method
from exporter.binance.rows import FIGURES, AccountStatus, AssetBalance, wire_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.account.snapshot import AccountSnapshot, RowIdentity
    from exporter.binance.rows import PositionRisk

_MIN_USDT: Final = 1.0  # in credits mode up to this much may remain while the totals are 0
_MAINTENANCE_MARGIN: Final = "maintenance_margin"
_POSITION_FIGURES: Final = (_MAINTENANCE_MARGIN, "position_initial_margin", "unrealized_pnl")


class ConsistencyCheck:
    """Checks one account's responses, each by itself and against the previous ones."""

    def __init__(self) -> None:
        self._published: AccountSnapshot | None = None  # the last accepted snapshot
        self._without_risk: frozenset[RowIdentity] = frozenset()  # in the last snapshot
        # Positions in the last position risk response that its status response lacks.
        self._missing: frozenset[RowIdentity] = frozenset()

    def accept(
        self, snapshot: AccountSnapshot, risks: Sequence[PositionRisk], *, risk_unavailable: bool
    ) -> AccountSnapshot:
        """Return the snapshot to publish; its `risk_missing` contains only positions that lack risk twice in a row.

        A position may be opened or closed between the two responses, so only what two polls in a row agree on counts.
        If a position is missing from the status response once, the previous snapshot is published again if it has it.

        Args:
            snapshot: built from both responses.
            risks: the rows of ``v2/account.position``.
            risk_unavailable: the exchange no longer offers that method.

        Raises:
            DecodeError: a response is empty or contradicts itself; the text names both figures.
        """
        _check_totals(snapshot, self._published)
        _check_margin_type(snapshot, self._published)
        held_positions = {identity(position.row) for position in snapshot.held}
        missing = frozenset(identity(row) for row in risks if row.amount and identity(row) not in held_positions)
        missing_before, self._missing = self._missing, missing
        missing_again = (
            missing if not held_positions and (missing_before or self._published is None) else missing & missing_before
        )
        if missing_again:
            name = " ".join(min(missing_again))
            raise DecodeError("result.positions", f"does not contain {name}, but {Method.ACCOUNT_POSITION} does")
        if missing and self._published and any(identity(position.row) in missing for position in self._published.held):
            return self._published  # an alert on a position must not end because of one such response
        previous, self._without_risk = self._without_risk, snapshot.without_risk or frozenset()
        if self._without_risk and not risk_unavailable:
            snapshot = replace(snapshot, risk_missing=self._without_risk & previous)
        self._published = snapshot
        return snapshot


def _check_totals(snapshot: AccountSnapshot, previous: AccountSnapshot | None) -> None:
    totals = {name: getattr(snapshot.totals, name) for name in FIGURES}
    if all(figure is None for figure in totals.values()):
        raise DecodeError("result", "contains no account totals")
    if None in totals.values() and not any(totals.values()) and not snapshot.held and _has_content(previous):
        raise DecodeError("result", "lacks some totals and the others are 0, unlike in the previous response")
    if not snapshot.assets:
        _check_empty_assets(totals, previous)
    if not snapshot.held:
        _check_flat(snapshot)
    elif snapshot.asset_mode is AssetMode.MULTI:
        _check_multi_assets(snapshot)
    if not any(totals.values()):
        _check_zero_totals(snapshot)


def _check_empty_assets(totals: dict[str, float | None], previous: AccountSnapshot | None) -> None:
    if name := next((name for name, figure in totals.items() if figure), None):
        raise DecodeError("result.assets", f"is empty, but {_total(name)} is not 0")
    if _has_content(previous):
        raise DecodeError("result.assets", "is empty, but the previous response had a position or a wallet balance")


def _has_content(previous: AccountSnapshot | None) -> bool:
    return previous is not None and bool(previous.held or any(row.wallet_balance for row in previous.assets))


def _check_margin_type(snapshot: AccountSnapshot, previous: AccountSnapshot | None) -> None:
    """Reject a position that was isolated and now lacks both figures that show it."""
    without_wallet = {
        identity(position.row)
        for position in snapshot.held
        if position.row.isolated_wallet_balance is None and position.row.isolated_margin is None
    }
    for position in previous.held if previous and without_wallet else ():
        if position.isolated and identity(position.row) in without_wallet:
            raise DecodeError(
                "result.positions", f"lacks the isolated wallet of {position.row.symbol}, an isolated position"
            )


def _check_flat(snapshot: AccountSnapshot) -> None:
    """Reject non-zero figures that require a position, if there is none."""
    for name in _POSITION_FIGURES:
        if _is_not_zero(snapshot.totals, name):
            raise DecodeError("result.positions", f"contains no position, but {_total(name)} is not 0")
        for index, row in enumerate(snapshot.assets):
            if _is_not_zero(row, name):
                path = f"result.assets[{index}].{wire_name(AssetBalance, name)}"
                raise DecodeError("result.positions", f"contains no position, but {path} is not 0")


def _check_multi_assets(snapshot: AccountSnapshot) -> None:
    """Reject a total maintenance margin of 0 if a position requires some."""
    total = snapshot.totals.maintenance_margin
    required = any((position.row.maintenance_margin or 0.0) > MIN_MARGIN for position in snapshot.held)
    if total is not None and total <= MIN_MARGIN and required:
        raise DecodeError(_total(_MAINTENANCE_MARGIN), "is 0, but positions in result.positions require margin")


def _check_zero_totals(snapshot: AccountSnapshot) -> None:
    """Reject totals of 0 if the wallet holds USDT, which counts in both modes."""
    if any(row.asset == "USDT" and (row.wallet_balance or 0.0) > _MIN_USDT for row in snapshot.assets):
        raise DecodeError("result", "contains totals of 0, but the wallet balance of USDT is above 1")


def _is_not_zero(figures: AccountStatus | AssetBalance, name: str) -> bool:
    return is_above_rounding(abs(getattr(figures, name) or 0.0), figures.margin_balance)


def _total(name: str) -> str:
    return f"result.{wire_name(AccountStatus, name)}"
