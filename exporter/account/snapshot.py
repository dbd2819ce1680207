"""AccountSnapshot: one account as one answer told it; frozen, complete, built by a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from exporter.binance.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from exporter.binance.rows import AccountStatus, AssetBalance, Position, PositionRisk

_Row = TypeVar("_Row")
Identity = tuple[str, str]  # symbol and side


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


# Without gc, as rows are: it cannot be part of a cycle, and 40,000 would be 1 ms more of a full collection's 8.
class OpenPosition(msgspec.Struct, frozen=True, gc=False):
    """A position that is held, and what its margin is: what `position_info` tells, and margin pools are made of."""

    row: Position
    margin_asset: str | None  # None: neither sent nor to be told from the symbol
    isolated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """Everything known of an account at one moment.

    `totals` holds the account's own eleven figures, in `currency`; `assets` those of each margin asset; `positions`
    every symbol and side with a position or open orders; `risks` what ``v2/account.position`` told of the same rows;
    `held` the positions alone; `without_risk` the (symbol, side) of those whose distance to liquidation it does not
    show, None if it was not asked. A figure that the exchange did not send is None. Times are monotonic
    seconds.
    """

    totals: AccountStatus
    assets: tuple[AssetBalance, ...]
    positions: tuple[Position, ...]
    risks: tuple[PositionRisk, ...]
    held: tuple[OpenPosition, ...]
    without_risk: frozenset[Identity] | None
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
        return len(self.held)


def build_snapshot(
    status: AccountStatus,
    risks: tuple[PositionRisk, ...] | None = None,
    *,
    asset_mode: AssetMode | None = None,
    asked_at: float,
    answered_at: float,
) -> AccountSnapshot:
    """Build the snapshot of one ``v2/account.status`` answer, and the ``v2/account.position`` answer with it.

    Args:
        status: the decoded ``result`` of the first; it decides which rows exist.
        risks: that of the second, None where it was not asked.
        asset_mode: as configured or told; None to tell it from the figures.
        asked_at: when the first was sent.
        answered_at: when the first arrived.

    Raises:
        DecodeError: two rows have the same identity, so that neither can be trusted.
    """
    _refuse_duplicates("assets", status.assets, lambda row: row.asset)
    rows = {(row.symbol, row.position_side): row for row in status.positions}
    if len(rows) < len(status.positions):
        _refuse_duplicates("positions", status.positions, identity)
    risks_by_row = {identity(risk): risk for risk in risks or ()}
    if risks and len(risks_by_row) < len(risks):
        _refuse_duplicates("", risks, identity)
    known = {name: risk for name, risk in risks_by_row.items() if name in rows}
    with_risk = {name for name, risk in known.items() if shows_risk(risk, rows[name])}
    margin_assets = MarginAssets(status.assets)
    sent = {name: risk.margin_asset for name, risk in known.items()}
    held = {name: row for name, row in rows.items() if row.amount}
    return AccountSnapshot(
        totals=status,
        assets=status.assets,
        positions=status.positions,
        risks=tuple(
            # A position closed or reversed between the two answers: the second describes another one. Without a price a
            # row is useless, too; the alert rules recognize missing figures by the missing entry price.
            risk if name in with_risk else _without_position(risk)
            for name, risk in known.items()
        ),
        held=tuple(
            OpenPosition(row, sent.get(name) or margin_assets.find(row), is_isolated(row)) for name, row in held.items()
        ),
        without_risk=None if risks is None else frozenset(held.keys() - with_risk),
        asset_mode=asset_mode or infer_asset_mode(status),
        asked_at=asked_at,
        answered_at=answered_at,
    )


def is_isolated(row: Position) -> bool:
    """Whether a row is a margin pool of its own; a row of open orders alone is not."""
    return bool(row.amount and (row.isolated_wallet_balance or row.isolated_margin))


def infer_asset_mode(status: AccountStatus) -> AssetMode:
    """Tell the mode from the figures: isolated positions exist in single-asset mode only, else the totals decide."""
    return AssetMode.SINGLE if proves_single(status) else mode_by_totals(status)


def proves_single(status: AccountStatus) -> bool:
    """Whether an isolated position proves single-asset mode."""
    return any(map(is_isolated, status.positions))


def mode_by_totals(status: AccountStatus) -> AssetMode:
    """Tell the mode from the totals, the least certain way.

    The account is in single-asset mode if and only if each total equals the USDT asset's own figure (without a USDT
    row: is zero). A figure that is missing proves nothing.
    """
    usdt = next((row for row in status.assets if row.asset == "USDT"), None)
    for name in FIGURES:
        total, own = getattr(status, name), getattr(usdt, name) if usdt else 0.0
        if total is not None and own is not None and total != own:
            return AssetMode.MULTI
    return AssetMode.SINGLE


def identity(row: Position | PositionRisk) -> Identity:
    """Return what identifies a row within its account."""
    return row.symbol, row.position_side


def shows_risk(risk: PositionRisk | None, row: Position) -> bool:
    """Whether a row shows how close the same position is to liquidation; a liquidation price of 0 means "none"."""
    return (
        risk is not None
        and bool(risk.mark_price)
        and risk.liquidation_price is not None
        and risk.amount * row.amount > 0
    )


def _without_position(risk: PositionRisk) -> PositionRisk:
    """Return a row without what belongs to a held position alone; the mark price is the symbol's, and never 0."""
    return msgspec.structs.replace(
        risk,
        mark_price=risk.mark_price or None,
        entry_price=None,
        break_even_price=None,
        liquidation_price=None,
        adl_quantile=None,
    )


class MarginAssets:
    """Which of an account's assets a position is margined in, where the exchange does not send it.

    It is the longest one that the symbol ends with and that carries the margin which the position requires: WLDUSDT
    ends with LDUSDT, which is an asset, too; and in credits mode BNFCR carries the margin of USDT symbols.
    """

    def __init__(self, assets: tuple[AssetBalance, ...]) -> None:
        self._margins = {row.asset: row.maintenance_margin for row in assets}
        self._endings = _endings(tuple(self._margins))

    def find(self, row: Position) -> str | None:
        """Return the margin asset of a position, None where it is unknown."""
        required = row.maintenance_margin or 0.0
        endings = self._endings[row.symbol]
        carrying = (asset for asset in (*endings, _CREDITS) if self._carries(asset, required))
        # Where no margin is required any asset will do, one that carries some for other positions first.
        return next(carrying, None if required else next(iter(endings), None))

    def _carries(self, asset: str, required: float) -> bool:
        margin = self._margins.get(asset, 0.0)
        if margin is None:  # not sent, which says nothing against it
            return required > 0
        return margin >= max(_CARRIED_PART * required, _LEAST_MARGIN)


class _Endings(dict[str, tuple[str, ...]]):
    """By symbol: those of an account's assets that it ends with, the longest first."""

    def __init__(self, assets: frozenset[str]) -> None:
        super().__init__()
        self._assets = assets
        self._lengths = sorted({len(asset) for asset in assets}, reverse=True)

    def __missing__(self, symbol: str) -> tuple[str, ...]:
        contract = symbol.partition("_")[0]  # a delivery contract has its date after it
        endings = (contract[-length:] for length in self._lengths)
        if len(self) >= _MOST_SYMBOLS:
            self.clear()
        self[symbol] = found = tuple(ending for ending in endings if ending in self._assets)
        return found


_CREDITS: Final = "BNFCR"
_CARRIED_PART: Final = 0.95
_LEAST_MARGIN: Final = 1e-8  # the last decimal that is sent
_MOST_SYMBOLS: Final = 10_000  # more than an exchange lists


# Neither symbols nor assets change from poll to poll, and to compare 100 with 20 costs as much as to decode the answer.
# Most accounts list the same assets.
@lru_cache(maxsize=64)
def _endings(assets: tuple[str, ...]) -> _Endings:
    return _Endings(frozenset(assets))


def _refuse_duplicates(name: str, rows: Iterable[_Row], identify: Callable[[_Row], Hashable]) -> None:
    # Prometheus drops the whole scrape for one duplicate series, and no tool on the way notices before.
    seen: dict[Hashable, int] = {}
    path = f"result.{name}" if name else "result"
    for index, row in enumerate(rows):
        first = seen.setdefault(identify(row), index)
        if first != index:
            raise DecodeError(f"{path}[{index}]", f"is the same row as {path}[{first}]")
