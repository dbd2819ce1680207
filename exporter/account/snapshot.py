"""AccountSnapshot: one account as one answer told it; frozen, complete, built by a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from exporter.binance.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from exporter.binance.messages import AccountStatus, AssetBalance, Position

_Row = TypeVar("_Row")


class AssetMode(StrEnum):
    """How an account's totals are to be read; Binance's answers do not name it."""

    SINGLE = "single"  # each margin asset by itself; totals are those of USDT
    MULTI = "multi"  # all assets together; totals are in USD


# The names under which both AccountStatus (as totals) and AssetBalance hold an account's eleven figures.
FIGURES: Final = (
    "wallet_balance",
    "unrealized_pnl",
    "margin_balance",
    "available_balance",
    "max_withdraw_amount",
    "initial_margin",
    "maintenance_margin",
    "position_initial_margin",
    "open_order_initial_margin",
    "cross_wallet_balance",
    "cross_unrealized_pnl",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """Everything known of an account at one moment.

    `totals` holds the account's own eleven figures, in `currency`; `assets` those of each margin asset; `positions`
    every symbol and side with a position or open orders. A figure that the exchange did not send is None. Times are
    monotonic seconds.
    """

    totals: AccountStatus
    assets: tuple[AssetBalance, ...]
    positions: tuple[Position, ...]
    asset_mode: AssetMode
    asked_at: float
    answered_at: float

    @property
    def currency(self) -> str:
        """What the totals are counted in: USDT in single-asset mode, USD in multi-assets mode."""
        return "USDT" if self.asset_mode is AssetMode.SINGLE else "USD"

    @property
    def open_positions(self) -> int:
        """How many rows hold a position; rows of open orders alone do not."""
        return sum(1 for position in self.positions if position.amount)


def build_snapshot(
    status: AccountStatus, *, asset_mode: AssetMode | None = None, asked_at: float, answered_at: float
) -> AccountSnapshot:
    """Build the snapshot of one ``v2/account.status`` answer.

    Args:
        status: the decoded ``result``.
        asset_mode: as configured; None to tell it from the figures.
        asked_at: when the question was sent.
        answered_at: when the answer arrived.

    Raises:
        DecodeError: two rows have the same identity, so that neither can be trusted.
    """
    _refuse_duplicates("result.assets", status.assets, lambda row: row.asset)
    _refuse_duplicates("result.positions", status.positions, lambda row: (row.symbol, row.position_side))
    return AccountSnapshot(
        totals=status,
        assets=status.assets,
        positions=status.positions,
        asset_mode=asset_mode or tell_asset_mode(status),
        asked_at=asked_at,
        answered_at=answered_at,
    )


def tell_asset_mode(status: AccountStatus) -> AssetMode:
    """Tell the mode from the figures, since nothing in the answer names it.

    Isolated positions exist in single-asset mode only. Else the account is in single-asset mode if and only if each
    total equals the USDT asset's own figure (without a USDT row: is zero). A figure that is missing proves nothing.
    """
    if any(row.amount and (row.isolated_wallet_balance or row.isolated_margin) for row in status.positions):
        return AssetMode.SINGLE
    usdt = next((row for row in status.assets if row.asset == "USDT"), None)
    for name in FIGURES:
        total, own = getattr(status, name), getattr(usdt, name) if usdt else 0.0
        if total is not None and own is not None and total != own:
            return AssetMode.MULTI
    return AssetMode.SINGLE


def _refuse_duplicates(path: str, rows: Iterable[_Row], identify: Callable[[_Row], Hashable]) -> None:
    # Prometheus drops the whole scrape for one duplicate series, and no tool on the way notices before.
    seen: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        first = seen.setdefault(identify(row), index)
        if first != index:
            raise DecodeError(f"{path}[{index}]", f"is the same row as {path}[{first}]")
