"""Answers that are empty or contradict themselves: an account that reads as flat because of one is a false all-clear.

Tolerances are those of money: a maintenance margin of 1e-7, or of a millionth of the margin balance, is rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from exporter.account.margin import LEAST_MARGIN
from exporter.account.snapshot import FIGURES, AssetMode
from exporter.binance.errors import DecodeError
from exporter.binance.messages import Method
from exporter.binance.rows import AccountStatus, AssetBalance, wire_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import PositionRisk

_LEAST_MARGIN_PART: Final = 1e-6  # of the margin balance
_LEAST_USDT: Final = 1.0  # in credits mode up to so much is left beside totals of 0
_MAINTENANCE_MARGIN: Final = "maintenance_margin"


class AnswerCheck:
    """Checks one account's answers, each by itself and against those before it."""

    def __init__(self) -> None:
        self._before: AccountSnapshot | None = None  # the last one accepted
        self._published: AccountSnapshot | None = None  # the same, as it was published
        self._flat_beside_amounts = False  # whether the last answer was

    def accept(self, snapshot: AccountSnapshot, risks: Sequence[PositionRisk], *, risk_gone: bool) -> AccountSnapshot:
        """Return the snapshot to publish, in which `without_risk` holds what lasts.

        A position may be opened or closed between the two answers: only what two polls in a row say counts. After one
        status without positions beside amounts that is the snapshot before.

        Args:
            snapshot: the answers as a snapshot.
            risks: the rows of ``v2/account.position``.
            risk_gone: the exchange no longer offers that method.

        Raises:
            DecodeError: the answer is empty or contradicts itself; the text names both figures.
        """
        _check_totals(snapshot, self._before)
        flat_before, self._flat_beside_amounts = self._flat_beside_amounts, _is_flat_beside_amounts(snapshot, risks)
        if flat_before and self._flat_beside_amounts:
            raise DecodeError("result.positions", f"has no position, but {Method.ACCOUNT_POSITION} holds amounts")
        if self._flat_beside_amounts and self._published and self._published.held:
            return self._published  # an alert on a position must not end because of one such answer
        before, self._before = self._before, snapshot
        if snapshot.without_risk and not risk_gone:
            lasting = snapshot.without_risk & ((before and before.without_risk) or frozenset())
            snapshot = replace(snapshot, without_risk=lasting)
        self._published = snapshot
        return snapshot


def _check_totals(snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    totals = {name: getattr(snapshot.totals, name) for name in FIGURES}
    if all(figure is None for figure in totals.values()):
        raise DecodeError("result", "has none of the account's totals")
    if not snapshot.assets:
        _check_empty_assets(totals, before)
    if not snapshot.held:
        _check_flat(snapshot)
    elif snapshot.asset_mode is AssetMode.MULTI:
        _check_multi_assets(snapshot)
    if snapshot.asset_mode is AssetMode.MULTI and not any(totals.values()):
        _check_zero_totals(snapshot)


def _is_flat_beside_amounts(snapshot: AccountSnapshot, risks: Sequence[PositionRisk]) -> bool:
    return not snapshot.held and any(row.amount for row in risks)


def _check_empty_assets(totals: dict[str, float | None], before: AccountSnapshot | None) -> None:
    if name := next((name for name, figure in totals.items() if figure), None):
        raise DecodeError("result.assets", f"is empty, but {_total(name)} is not 0")
    if before and (before.held or any(row.wallet_balance for row in before.assets)):
        raise DecodeError("result.assets", "is empty, but the last answer had a position or a wallet balance")


def _check_flat(snapshot: AccountSnapshot) -> None:
    """Refuse a maintenance margin that no position requires."""
    if _is_margin(snapshot.totals):
        raise DecodeError("result.positions", f"has no position, but {_total(_MAINTENANCE_MARGIN)} is not 0")
    for index, row in enumerate(snapshot.assets):
        if _is_margin(row):
            name = f"result.assets[{index}].{wire_name(AssetBalance, _MAINTENANCE_MARGIN)}"
            raise DecodeError("result.positions", f"has no position, but {name} is not 0")


def _check_multi_assets(snapshot: AccountSnapshot) -> None:
    """Refuse a total of the maintenance margin that is 0 although a position requires some."""
    total = snapshot.totals.maintenance_margin
    required = any((position.row.maintenance_margin or 0.0) > LEAST_MARGIN for position in snapshot.held)
    if total is not None and total <= LEAST_MARGIN and required:
        raise DecodeError(_total(_MAINTENANCE_MARGIN), "is 0, but positions in result.positions require margin")


def _check_zero_totals(snapshot: AccountSnapshot) -> None:
    """Refuse totals of 0 in USD beside USDT in the wallet."""
    if any(row.asset == "USDT" and (row.wallet_balance or 0.0) > _LEAST_USDT for row in snapshot.assets):
        raise DecodeError("result", "has totals of 0, but the wallet balance of USDT is above 1")


def _is_margin(figures: AccountStatus | AssetBalance) -> bool:
    margin, balance = figures.maintenance_margin or 0.0, abs(figures.margin_balance or 0.0)
    return margin > max(LEAST_MARGIN, _LEAST_MARGIN_PART * balance)


def _total(name: str) -> str:
    return f"result.{wire_name(AccountStatus, name)}"
