"""How an account is configured, by v1 ``account.status``: modes, fee tier, permissions, and the leverage of symbols."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct, field

from exporter.binance.messages import decode, decode_or_none, decode_result
from exporter.binance.rows import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

_Side = Literal["BOTH", "LONG", "SHORT"]
_Leverage = Annotated[int, Meta(ge=1, le=1000)]  # Binance allows up to 150
_FeeTier = Annotated[int, Meta(ge=0, le=1000)]  # Binance has ten

_CONFLICTING: Final = 0
# Several times the rows of an account in hedge mode, and their size. More are ignored, since they would cost time and
# memory: if one row is malformed, all are decoded one by one.
_MAX_ROWS: Final = 10_000
_MAX_ROWS_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Leverages:
    """The configured leverage of each symbol: 2 KB for 900 symbols, since accounts with the same ones share `slots`."""

    slots: Mapping[str, int]
    values: array[int]

    def get(self, symbol: str) -> int | None:
        """Return a symbol's leverage, or None if it was not sent or the symbol's rows contradict each other."""
        slot = self.slots.get(symbol)
        return None if slot is None else self.values[slot] or None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfiguration:
    """How an account is configured; None is a field that the exchange did not send, or whose value is malformed.

    The permissions are the account's, which its API key need not have.
    """

    multi_assets: bool
    hedge_mode: bool | None
    fee_tier: int | None
    can_trade: bool | None
    can_deposit: bool | None
    can_withdraw: bool | None
    leverages: Leverages


class _Row(Struct, frozen=True, gc=False):
    """What is used of a row in ``positions``, which has one for every symbol, or two in hedge mode."""

    symbol: Identity
    side: _Side = field(name="positionSide")
    leverage: _Leverage


class _RawRow(Struct, frozen=True, gc=False):
    """The same, undecoded."""

    symbol: Raw = Raw()
    side: Raw = field(name="positionSide", default=Raw())
    leverage: Raw = Raw()


class _Fields(Struct, frozen=True, kw_only=True):
    """The fields besides the rows, undecoded because a malformed one must not affect the others."""

    multi_assets: Raw = field(name="multiAssetsMargin")
    fee_tier: Raw = field(name="feeTier", default=Raw())
    can_trade: Raw = field(name="canTrade", default=Raw())
    can_deposit: Raw = field(name="canDeposit", default=Raw())
    can_withdraw: Raw = field(name="canWithdraw", default=Raw())


class _Status(_Fields, frozen=True, kw_only=True):
    """The ``result`` with rows of which none is malformed."""

    positions: Annotated[tuple[_Row, ...], Meta(max_length=_MAX_ROWS)] = ()


class _RawStatus(_Fields, frozen=True, kw_only=True):
    """The ``result`` with any rows."""

    positions: Raw = Raw()


# Not strict, as a leverage is sent as text.
_status_decoder = msgspec.json.Decoder(_Status, strict=False)
_raw_status_decoder = msgspec.json.Decoder(_RawStatus)
_raws_decoder = msgspec.json.Decoder(list[Raw])
_raw_row_decoder = msgspec.json.Decoder(_RawRow)
_symbol_decoder = msgspec.json.Decoder(Identity)
_side_decoder = msgspec.json.Decoder(str)
_leverage_decoder = msgspec.json.Decoder(_Leverage, strict=False)
_flag_decoder = msgspec.json.Decoder(bool)
_fee_tier_decoder = msgspec.json.Decoder(_FeeTier)


def decode_account_configuration(result: Raw) -> AccountConfiguration:
    """Decode the ``result`` of v1 ``account.status``.

    Raises:
        DecodeError: ``multiAssetsMargin`` is missing or not a boolean.
    """
    fields: _Fields
    if status := decode_or_none(_status_decoder, result):
        fields = status
        sides: set[str] = {row.side for row in status.positions}
        leverages = _leverages([row.symbol for row in status.positions], [row.leverage for row in status.positions])
    else:
        fields = raw_status = decode_result(_raw_status_decoder, result)
        sides, leverages = _decode_row_by_row(raw_status.positions)
    return AccountConfiguration(
        multi_assets=decode(_flag_decoder, fields.multi_assets, "result.multiAssetsMargin"),
        hedge_mode=_hedge_mode(sides),
        fee_tier=decode_or_none(_fee_tier_decoder, fields.fee_tier),
        can_trade=decode_or_none(_flag_decoder, fields.can_trade),
        can_deposit=decode_or_none(_flag_decoder, fields.can_deposit),
        can_withdraw=decode_or_none(_flag_decoder, fields.can_withdraw),
        leverages=leverages,
    )


def _decode_row_by_row(positions: Raw) -> tuple[set[str], Leverages]:
    """Return the sides and leverages of the rows, without those that are malformed."""
    raws = decode_or_none(_raws_decoder, positions, _MAX_ROWS_BYTES) or []
    sides: set[str] = set()
    symbols: list[str] = []
    values: list[int] = []
    for raw in raws if len(raws) <= _MAX_ROWS else ():
        row = decode_or_none(_raw_row_decoder, raw) or _RawRow()
        symbol = decode_or_none(_symbol_decoder, row.symbol)
        side = decode_or_none(_side_decoder, row.side)
        leverage = decode_or_none(_leverage_decoder, row.leverage)
        if side is not None:
            sides.add(side)
        if symbol is not None and leverage is not None:
            symbols.append(symbol)
            values.append(leverage)
    return sides, _leverages(symbols, values)


def _hedge_mode(sides: set[str]) -> bool | None:
    if sides == {"BOTH"}:
        return False
    return True if sides and sides <= {"LONG", "SHORT"} else None


def _leverages(symbols: list[str], values: list[int]) -> Leverages:
    """Return the leverages of rows, which must be equal in all rows of a symbol."""
    by_symbol = dict(zip(symbols, values, strict=True))
    if list(map(by_symbol.__getitem__, symbols)) != values:
        for symbol, value in zip(symbols, values, strict=True):
            if by_symbol[symbol] != value:
                by_symbol[symbol] = _CONFLICTING
    slots = _slots_of(frozenset(by_symbol))
    # From a list, because an array that grows reserves memory.
    return Leverages(slots, array("H", list(map(by_symbol.__getitem__, slots))))


@lru_cache(maxsize=8)
def _slots_of(symbols: frozenset[str]) -> Mapping[str, int]:
    """Return an index for each symbol; accounts list the same ones, but not necessarily in the same order."""
    return {symbol: slot for slot, symbol in enumerate(symbols)}
