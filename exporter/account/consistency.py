"""Answers that are empty or contradict themselves: an account that reads as flat because of one is a false all-clear.

Tolerances are those of money: a maintenance margin of 1e-7, or of a millionth of the margin balance, is rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from exporter.account.margin import LEAST_MARGIN, is_above_rounding
from exporter.account.snapshot import FIGURES, AssetMode, identity
from exporter.binance.errors import DecodeError
from exporter.binance.messages import Method
from exporter.binance.rows import AccountStatus, AssetBalance, wire_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.account.snapshot import AccountSnapshot, Identity
    from exporter.binance.rows import PositionRisk

_LEAST_USDT: Final = 1.0  # in credits mode up to this much may remain while the totals are 0
_MAINTENANCE_MARGIN: Final = "maintenance_margin"
_OF_POSITIONS: Final = (_MAINTENANCE_MARGIN, "position_initial_margin", "unrealized_pnl")


class AnswerCheck:
    """Checks one account's answers, each by itself and against those before it."""

    def __init__(self) -> None:
        self._published: AccountSnapshot | None = None  # of the last answer that was accepted
        self._without_risk: frozenset[Identity] = frozenset()  # in that answer
        self._lost: frozenset[Identity] = frozenset()  # held by the last answer about positions, and not by its status

    def accept(self, snapshot: AccountSnapshot, risks: Sequence[PositionRisk], *, risk_gone: bool) -> AccountSnapshot:
        """Return the snapshot to publish, in which `without_risk` holds what lasts.

        A position may be opened or closed between the two answers: only what two polls in a row say counts. After one
        status without a position that the other answer holds that is the snapshot before, if that has the position.

        Args:
            snapshot: the answers as a snapshot.
            risks: the rows of ``v2/account.position``.
            risk_gone: the exchange no longer offers that method.

        Raises:
            DecodeError: the answer is empty or contradicts itself; the text names both figures.
        """
        _check_totals(snapshot, self._published)
        _check_margin_type(snapshot, self._published)
        held = {identity(one.row) for one in snapshot.held}
        lost = frozenset(identity(row) for row in risks if row.amount and identity(row) not in held)
        lost_before, self._lost = self._lost, lost
        again = lost if not held and (lost_before or self._published is None) else lost & lost_before
        if again:
            name = " ".join(min(again))
            raise DecodeError("result.positions", f"does not hold {name}, but {Method.ACCOUNT_POSITION} does")
        if lost and self._published and any(identity(one.row) in lost for one in self._published.held):
            return self._published  # an alert on a position must not end because of one such answer
        before, self._without_risk = self._without_risk, snapshot.without_risk or frozenset()
        if self._without_risk and not risk_gone:
            snapshot = replace(snapshot, without_risk=self._without_risk & before)
        self._published = snapshot
        return snapshot


def _check_totals(snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    totals = {name: getattr(snapshot.totals, name) for name in FIGURES}
    if all(figure is None for figure in totals.values()):
        raise DecodeError("result", "has none of the account's totals")
    if None in totals.values() and not any(totals.values()) and not snapshot.held and _had_content(before):
        raise DecodeError("result", "lacks totals and has none that is not 0, unlike the last answer")
    if not snapshot.assets:
        _check_empty_assets(totals, before)
    if not snapshot.held:
        _check_flat(snapshot)
    elif snapshot.asset_mode is AssetMode.MULTI:
        _check_multi_assets(snapshot)
    if not any(totals.values()):
        _check_zero_totals(snapshot)


def _check_empty_assets(totals: dict[str, float | None], before: AccountSnapshot | None) -> None:
    if name := next((name for name, figure in totals.items() if figure), None):
        raise DecodeError("result.assets", f"is empty, but {_total(name)} is not 0")
    if _had_content(before):
        raise DecodeError("result.assets", "is empty, but the last answer had a position or a wallet balance")


def _had_content(before: AccountSnapshot | None) -> bool:
    return before is not None and bool(before.held or any(row.wallet_balance for row in before.assets))


def _check_margin_type(snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    """Refuse a position that was isolated and now has neither of the figures that say so."""
    without_wallet = {
        identity(one.row)
        for one in snapshot.held
        if one.row.isolated_wallet_balance is None and one.row.isolated_margin is None
    }
    for one in before.held if before and without_wallet else ():
        if one.isolated and identity(one.row) in without_wallet:
            raise DecodeError("result.positions", f"lacks the isolated wallet of {one.row.symbol}, which was isolated")


def _check_flat(snapshot: AccountSnapshot) -> None:
    """Refuse figures that only positions make other than 0."""
    for name in _OF_POSITIONS:
        if _is_not_zero(snapshot.totals, name):
            raise DecodeError("result.positions", f"has no position, but {_total(name)} is not 0")
        for index, row in enumerate(snapshot.assets):
            if _is_not_zero(row, name):
                path = f"result.assets[{index}].{wire_name(AssetBalance, name)}"
                raise DecodeError("result.positions", f"has no position, but {path} is not 0")


def _check_multi_assets(snapshot: AccountSnapshot) -> None:
    """Refuse a total of the maintenance margin that is 0 although a position requires some."""
    total = snapshot.totals.maintenance_margin
    required = any((position.row.maintenance_margin or 0.0) > LEAST_MARGIN for position in snapshot.held)
    if total is not None and total <= LEAST_MARGIN and required:
        raise DecodeError(_total(_MAINTENANCE_MARGIN), "is 0, but positions in result.positions require margin")


def _check_zero_totals(snapshot: AccountSnapshot) -> None:
    """Refuse totals of 0 while the wallet holds USDT, which counts in both modes."""
    if any(row.asset == "USDT" and (row.wallet_balance or 0.0) > _LEAST_USDT for row in snapshot.assets):
        raise DecodeError("result", "has totals of 0, but the wallet balance of USDT is above 1")


def _is_not_zero(figures: AccountStatus | AssetBalance, name: str) -> bool:
    return is_above_rounding(abs(getattr(figures, name) or 0.0), figures.margin_balance)


def _total(name: str) -> str:
    return f"result.{wire_name(AccountStatus, name)}"
