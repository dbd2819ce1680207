"""The snapshot of an account: immutable, complete, and built from the responses of one poll by a pure function."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from exporter.account.asset_mode import AssetMode, infer_asset_mode
from exporter.binance.errors import DecodeError
from exporter.binance.rows import FIELDS_WITHOUT_POSITION, PositionRisk

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from exporter.account.queries import Query, Reading
    from exporter.binance.rows import AccountStatus, AssetBalance, Position

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")
RowIdentity = tuple[str, str]  # symbol and side


# Without gc, like the rows: it cannot be part of a cycle, and 40,000 add 1 ms to a full collection of 8 ms.
class OpenPosition(msgspec.Struct, frozen=True, gc=False):
    """A held position with its margin asset and type, for `position_info` and for the margin pools."""

    row: Position
    margin_asset: str | None  # None: neither sent nor evident from the symbol
    isolated: bool

    @property
    def margin_type(self) -> str:
        """The margin type, ``isolated`` or ``cross``."""
        return "isolated" if self.isolated else "cross"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # compared by identity, for `margin.cross_pools`
class AccountSnapshot:
    """Everything known of an account at one moment.

    `totals` contains the account's own eleven figures, in `currency`; `assets` those of each margin asset; `positions`
    each symbol and side with a position or open orders; `risks` the rows of ``v2/account.position`` for the same
    symbols and sides; `held` only the positions; `without_risk` the (symbol, side) of held positions whose distance to
    liquidation is missing, `risk_missing` those that have lacked it twice in a row, both None if it was not requested;
    `hidden_assets` the assets without series; `readings` the last results of other queries. A figure that the exchange
    did not send is None. Times are those of `HostClock.data_time`.
    """

    totals: AccountStatus
    assets: tuple[AssetBalance, ...]
    positions: tuple[Position, ...]
    risks: tuple[PositionRisk, ...]
    held: tuple[OpenPosition, ...]
    without_risk: frozenset[RowIdentity] | None
    risk_missing: frozenset[RowIdentity] | None
    asset_mode: AssetMode
    asked_at: float
    answered_at: float
    hidden_assets: frozenset[str] = frozenset()
    readings: Mapping[Query[Any], Reading[Any]] = field(default_factory=dict)

    @property
    def currency(self) -> str:
        """The currency of the totals: USDT in single-asset mode, USD in multi-assets mode."""
        return "USDT" if self.asset_mode is AssetMode.SINGLE else "USD"

    @property
    def open_positions(self) -> int:
        """The number of rows with a position; rows with only open orders do not count."""
        return len(self.held)

    def reading(self, query: Query[_Result]) -> Reading[_Result] | None:
        """Return the last result of a query, None if there is none or it is too old to be shown."""
        return self.readings.get(query)


def build_snapshot(
    status: AccountStatus,
    risks: tuple[PositionRisk, ...] | None = None,
    *,
    asset_mode: AssetMode | None = None,
    asked_at: float,
    answered_at: float,
    readings: Mapping[Query[Any], Reading[Any]] = MappingProxyType({}),
) -> AccountSnapshot:
    """Build the snapshot from the responses to ``v2/account.status`` and ``v2/account.position`` of one poll.

    Args:
        status: the decoded result of the first; it decides which rows exist.
        risks: the decoded result of the second, None if it was not requested.
        asset_mode: as configured or reported; None to infer it from the figures.
        asked_at: when the first request was sent.
        answered_at: when its response arrived.
        readings: the last results of other queries.

    Raises:
        DecodeError: two rows have the same identity, so neither can be trusted.
    """
    _reject_duplicates("assets", status.assets, lambda row: row.asset)
    rows = {(row.symbol, row.position_side): row for row in status.positions}
    if len(rows) < len(status.positions):
        _reject_duplicates("positions", status.positions, identity)
    risks_by_row = {identity(risk): risk for risk in risks or ()}
    if risks and len(risks_by_row) < len(risks):
        _reject_duplicates("", risks, identity)
    known_risks = {name: risk for name, risk in risks_by_row.items() if name in rows}
    with_risk = {name for name, risk in known_risks.items() if shows_risk(risk, rows[name])}
    margin_assets = MarginAssets(status.assets)
    reported_assets = {name: risk.margin_asset for name, risk in known_risks.items()}
    held = {name: row for name, row in rows.items() if row.amount}
    without_risk = None if risks is None else frozenset(held.keys() - with_risk)
    return AccountSnapshot(
        totals=status,
        assets=status.assets,
        positions=status.positions,
        risks=tuple(
            # If a position was closed or reversed between the two responses, the second describes another one. A row
            # without a price is useless, too. The alerting rules detect missing risk by the missing entry price.
            risk if name in with_risk else _without_position(risk)
            for name, risk in known_risks.items()
        ),
        held=tuple(
            OpenPosition(row, reported_assets.get(name) or margin_assets.find(row), row.is_isolated)
            for name, row in held.items()
        ),
        without_risk=without_risk,
        risk_missing=without_risk,
        asset_mode=asset_mode or infer_asset_mode(status),
        asked_at=asked_at,
        answered_at=answered_at,
        readings=readings,
    )


def identity(row: Position | PositionRisk) -> RowIdentity:
    """Return the symbol and side, which identify a row within its account."""
    return row.symbol, row.position_side


def shows_risk(risk: PositionRisk | None, row: Position) -> bool:
    """Whether `risk` shows how close the position in `row` is to liquidation; a liquidation price of 0 means none."""
    return (
        risk is not None
        and bool(risk.mark_price)
        and risk.liquidation_price is not None
        and risk.amount * row.amount > 0
    )


def liquidation_price(risk: PositionRisk) -> float | None:
    """Return the liquidation price, None if it was not sent or is 0, which in Binance's responses means none."""
    # Exported as a price, 0 would be the nearest one of all.
    return risk.liquidation_price if (risk.liquidation_price or 0) > 0 else None


def _without_position(risk: PositionRisk) -> PositionRisk:
    """Return a row without the figures of a held position; the mark price is the symbol's, and 0 becomes None."""
    fields = {name: getattr(risk, name) for name in FIELDS_WITHOUT_POSITION}
    return PositionRisk(**{**fields, "mark_price": risk.mark_price or None})


class MarginAssets:
    """Finds the margin asset of a position among an account's assets, if the exchange does not send it.

    It is the longest asset that the symbol ends with and whose margin covers what the position requires: WLDUSDT ends
    with LDUSDT, which is also an asset; and in credits mode BNFCR covers the margin of USDT symbols.
    """

    def __init__(self, assets: tuple[AssetBalance, ...]) -> None:
        self._margins = {row.asset: row.maintenance_margin for row in assets}
        self._asset_suffixes = _asset_suffixes(tuple(self._margins))

    def find(self, row: Position) -> str | None:
        """Return the margin asset of a position, None if it is unknown."""
        required = row.maintenance_margin or 0.0
        suffixes = self._asset_suffixes[row.symbol]
        for asset in (*suffixes, _CREDITS):
            if self._carries(asset, required):
                return asset
        # If no margin is required, any of these assets will do, first of all one that has a margin for other positions.
        return suffixes[0] if suffixes and not required else None

    def _carries(self, asset: str, required: float) -> bool:
        carried = self._margins.get(asset, 0.0)
        if carried is None:  # not sent, so the asset is possible
            return required > 0
        return carried >= _MIN_CARRIED_FRACTION * required and carried >= _MIN_MARGIN


class _AssetSuffixes(dict[str, tuple[str, ...]]):
    """Maps a symbol to those of an account's assets that it ends with, the longest first."""

    def __init__(self, assets: frozenset[str]) -> None:
        super().__init__()
        self._assets = assets
        self._lengths = sorted({len(asset) for asset in assets}, reverse=True)

    def __missing__(self, symbol: str) -> tuple[str, ...]:
        contract = symbol.partition("_")[0]  # a delivery contract ends with its date
        suffixes = (contract[-length:] for length in self._lengths)
        if len(self) >= _MAX_SYMBOLS:
            self.clear()
        self[symbol] = suffixes_of_symbol = tuple(suffix for suffix in suffixes if suffix in self._assets)
        return suffixes_of_symbol


_CREDITS: Final = "BNFCR"
_MIN_CARRIED_FRACTION: Final = 0.95
_MIN_MARGIN: Final = 1e-8  # the last decimal that is sent
_MAX_SYMBOLS: Final = 10_000  # more than the exchange lists


# Symbols and assets rarely change between polls, and comparing 100 with 20 costs as much as decoding the response. Most
# accounts list the same assets.
@lru_cache(maxsize=64)
def _asset_suffixes(assets: tuple[str, ...]) -> _AssetSuffixes:
    return _AssetSuffixes(frozenset(assets))


def _reject_duplicates(name: str, rows: Iterable[_Row], identify: Callable[[_Row], Hashable]) -> None:
    # Prometheus drops the whole scrape for one duplicate series, and nothing before it would notice.
    seen: dict[Hashable, int] = {}
    path = f"result.{name}" if name else "result"
    for index, row in enumerate(rows):
        first = seen.setdefault(identify(row), index)
        if first != index:
            raise DecodeError(f"{path}[{index}]", f"duplicates {path}[{first}]")
