"""The ledger of one account: wallets, positions and open orders, changed by simple operations.

Its valuation is computed in `figures`; nothing here depends on requests or JSON.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Final, Literal
from zlib import crc32

from exporter.simulator.income import Income, IncomeHistory
from exporter.simulator.keys import MONITORING_PERMISSIONS, Key, new_key
from exporter.simulator.market import CENT, SYMBOLS, Market, Symbol

if TYPE_CHECKING:
    from exporter.simulator.keys import KeyType

PositionSide = Literal["BOTH", "LONG", "SHORT"]
RowKey = tuple[str, PositionSide]

FEE_RATE: Final = Decimal("0.0005")
DEFAULT_LEVERAGE: Final = 20
ZERO: Final = Decimal(0)


@dataclass(slots=True)
class Position:
    """A position as traded; `isolated_wallet` is None for a cross one; `fees` are those of the open amount."""

    symbol: Symbol
    side: PositionSide
    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    isolated_wallet: Decimal | None = None
    fees: Decimal = ZERO
    update_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """An open limit order; a negative amount sells."""

    amount: Decimal
    price: Decimal


@dataclass(slots=True)
class Ledger:
    """Everything that trading changes; assigning a new one resets an account."""

    cross_wallets: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    asset_times_ms: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    positions: dict[RowKey, Position] = field(default_factory=dict)
    orders: defaultdict[RowKey, list[Order]] = field(default_factory=lambda: defaultdict(list))
    leverages: dict[str, int] = field(default_factory=dict)


class SimulatedAccount:
    """An account with its key and its ledger; its time changes with `move_to` only.

    Amounts are in the base asset, negative to sell. `alias` is Binance's accountAlias. The fee tier and the permissions
    of the account and of its key are only reported: they do not change fees, nor prevent trades and transfers.
    `key_permissions` has Binance's names; the defaults are those of a key for monitoring. With `fees_in_bnb` fees are
    charged to the BNB wallet. `income` has a row for every amount that changed a wallet.
    """

    def __init__(
        self,
        name: str,
        key_type: KeyType = "HMAC",
        *,
        multi_assets: bool = False,
        hedge: bool = False,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self.key: Key = new_key(key_type, None if seed is None else f"{seed}/{name}")
        self.key_type = self.key.key_type
        self.api_key = self.key.api_key
        self.secret_key = self.key.secret_key
        self.private_key_pem = self.key.private_key_pem
        self.alias = f"{crc32(name.encode()):08x}"  # of the name: an alias must not show part of a key
        self.multi_assets = multi_assets
        self.hedge = hedge
        self.fee_tier = 0
        self.can_trade = self.can_deposit = self.can_withdraw = True
        self.active = True
        self.key_permissions = dict(MONITORING_PERMISSIONS)
        self.key_ip_restricted = True
        self.key_created_ms = 1_698_645_219_000
        self.fees_in_bnb = False
        self.income = IncomeHistory()
        self.market = Market()
        self.at = 0.0
        self.time_ms = 0
        self.ledger = Ledger()

    def __repr__(self) -> str:
        return f"<SimulatedAccount {self.name} {self.key_type}>"

    def move_to(self, at: float, time_ms: int) -> None:
        """Set the scenario time of prices, in seconds, and the time that changes are dated with, in epoch ms."""
        self.at = at
        self.time_ms = time_ms

    def deposit(self, asset: str, amount: Decimal | str) -> None:
        """Add to an asset's wallet; a negative amount is withdrawn."""
        self.book("TRANSFER", asset, Decimal(amount).quantize(CENT))

    def reset(self) -> None:
        """Transfer every wallet's balance out, and forget positions, orders and leverages."""
        for asset, amount in list(self.ledger.cross_wallets.items()):
            self.book("TRANSFER", asset, -amount)
        for position in self.ledger.positions.values():
            self.book("TRANSFER", position.symbol.margin_asset, -(position.isolated_wallet or ZERO), position)
        self.ledger = Ledger()

    def record_income(
        self,
        income_type: str,
        asset: str,
        amount: Decimal | str,
        *,
        symbol: str = "",
        time_ms: int | None = None,
        transaction: int | None = None,
        trade: str = "",
    ) -> None:
        """Add a row to the income history without changing a wallet: by default of now, with an id of its own."""
        time_ms = self.time_ms if time_ms is None else time_ms
        transaction = self.income.next_id() if transaction is None else transaction
        info = trade or income_type
        row = Income(income_type, asset, Decimal(amount), time_ms, transaction, symbol, info, trade)
        self.income.add(row)

    def open(
        self,
        symbol: str,
        amount: Decimal | str,
        position_side: PositionSide = "BOTH",
        *,
        leverage: int | None = None,
        isolated_wallet: Decimal | str | None = None,
    ) -> None:
        """Open or enlarge a position at the mark price; an isolated wallet is moved out of the cross wallet."""
        position = self._position(symbol, position_side)
        amount = self._amount(position, amount)
        reduces = position.amount * amount < 0
        wrong_side = (position_side == "LONG" and amount < 0) or (position_side == "SHORT" and amount > 0)
        if not amount or reduces or wrong_side:
            raise ValueError(f"{amount} {symbol} does not enlarge a {position_side} position of {position.amount}")
        if isolated_wallet is not None and self.multi_assets:
            raise ValueError("isolated positions are not allowed in multi-assets mode")
        price = self.market.mark_price(position.symbol, self.at)
        asset = position.symbol.margin_asset
        held = position.amount + amount
        paid = position.amount * position.entry_price + amount * price
        entry_price = (paid / held).quantize(position.symbol.tick)
        fee = (abs(amount) * price * FEE_RATE).quantize(CENT)
        # The mean price is rounded to the symbol's digits; what that adds to the position is taken from the wallet.
        trade = self.income.next_id()
        self.book("REALIZED_PNL", asset, held * entry_price - paid, symbol=symbol, trade=trade)
        self._charge_fee(asset, fee, symbol, trade)
        position.amount, position.entry_price = held, entry_price
        position.fees += fee
        position.update_time_ms = self.time_ms
        self._set_leverage(symbol, leverage)
        self.ledger.positions[symbol, position_side] = position
        if isolated_wallet is not None:
            position.isolated_wallet = position.isolated_wallet or ZERO
            self.add_isolated_margin(symbol, isolated_wallet, position_side)

    def add_isolated_margin(self, symbol: str, amount: Decimal | str, position_side: PositionSide = "BOTH") -> None:
        """Move margin from the cross wallet to an isolated position's."""
        position = self.ledger.positions[symbol, position_side]
        if position.isolated_wallet is None:
            raise ValueError(f"the position in {symbol} is not isolated")
        moved = Decimal(amount).quantize(CENT)
        position.isolated_wallet += moved
        self._add_to_cross_wallet(position.symbol.margin_asset, -moved)

    def close(self, symbol: str, position_side: PositionSide = "BOTH", *, amount: Decimal | str | None = None) -> None:
        """Close a position at the mark price, or `amount` of it, without sign."""
        position = self.ledger.positions[symbol, position_side]
        part = abs(position.amount) if amount is None else self._amount(position, amount).copy_abs()
        if not 0 < part <= abs(position.amount):
            raise ValueError(f"cannot close {part} of {position.amount} {symbol}")
        closed = part.copy_sign(position.amount)
        price = self.market.mark_price(position.symbol, self.at)
        share = closed / position.amount
        asset, trade = position.symbol.margin_asset, self.income.next_id()
        fee = (part * price * FEE_RATE).quantize(CENT)
        position.fees -= (position.fees * share).quantize(CENT)
        position.amount -= closed
        position.update_time_ms = self.time_ms
        # The realized profit of an isolated position goes to its wallet, whose share of the closed part becomes cross.
        self.book("REALIZED_PNL", asset, closed * (price - position.entry_price), position, symbol=symbol, trade=trade)
        self._charge_fee(asset, fee, symbol, trade, position)
        if position.isolated_wallet is not None:
            freed = (position.isolated_wallet * share).quantize(CENT, ROUND_DOWN)
            position.isolated_wallet -= freed
            self._add_to_cross_wallet(asset, freed)
        if not position.amount:
            del self.ledger.positions[symbol, position_side]

    def place_order(
        self,
        symbol: str,
        amount: Decimal | str,
        price: Decimal | str,
        position_side: PositionSide = "BOTH",
        *,
        leverage: int | None = None,
    ) -> None:
        """Add a limit order that is never filled; it only needs margin."""
        self._position(symbol, position_side)
        self._set_leverage(symbol, leverage)
        self.ledger.orders[symbol, position_side].append(Order(Decimal(amount), Decimal(price)))

    def cancel_orders(self, symbol: str) -> None:
        """Cancel all open orders of a symbol."""
        for row in [row for row in self.ledger.orders if row[0] == symbol]:
            del self.ledger.orders[row]

    def pay_funding(self, position: Position) -> None:
        """Charge a position its funding at the mark price; a short receives what a long pays."""
        rate = self.market.funding_rate(position.symbol, self.at)
        paid = (position.amount * self.market.mark_price(position.symbol, self.at) * rate).quantize(CENT)
        self.book("FUNDING_FEE", position.symbol.margin_asset, -paid, position, symbol=position.symbol.name)

    def liquidate(self, position: Position, profit: Decimal) -> None:
        """Remove a liquidated position and its symbol's orders; `profit` is its unrealized one.

        Of an isolated position the whole wallet is lost, and nothing else.
        """
        asset, symbol = position.symbol.margin_asset, position.symbol.name
        self.book("REALIZED_PNL", asset, profit, position, symbol=symbol, trade=self.income.next_id())
        if position.isolated_wallet is not None:
            self.book("INSURANCE_CLEAR", asset, -position.isolated_wallet, position, symbol=symbol)
        self.cancel_orders(symbol)
        del self.ledger.positions[symbol, position.side]

    def cover_debt(self, asset: str) -> None:
        """Have the exchange's insurance fund pay what a cross wallet lacks."""
        self.book("INSURANCE_CLEAR", asset, max(ZERO, -self.ledger.cross_wallets[asset]))

    def leverage_of(self, symbol: str) -> int:
        """Return the leverage set for a symbol."""
        return self.ledger.leverages.get(symbol, DEFAULT_LEVERAGE)

    def _position(self, symbol: str, side: PositionSide) -> Position:
        if self.hedge == (side == "BOTH"):
            raise ValueError(f"position side {side} does not fit {'hedge' if self.hedge else 'one-way'} mode")
        return self.ledger.positions.get((symbol, side)) or Position(SYMBOLS[symbol], side)

    @staticmethod
    def _amount(position: Position, amount: Decimal | str) -> Decimal:
        amount = Decimal(amount)
        if amount != round(amount, position.symbol.amount_digits):
            raise ValueError(f"{amount} has more than {position.symbol.amount_digits} digits")
        return amount

    def _charge_fee(self, asset: str, fee: Decimal, symbol: str, trade: int, position: Position | None = None) -> None:
        if self.fees_in_bnb:
            fee = (fee / self.market.mark_price(SYMBOLS["BNBUSDT"], self.at)).quantize(CENT)
            asset, position = "BNB", None
        self.book("COMMISSION", asset, -fee, position, symbol=symbol, trade=trade)

    def book(
        self,
        income_type: str,
        asset: str,
        amount: Decimal,
        position: Position | None = None,
        *,
        symbol: str = "",
        trade: int | None = None,
    ) -> None:
        """Add to the wallet of an isolated position, or else to the cross wallet, and to the income history."""
        if position is not None and position.isolated_wallet is not None:
            position.isolated_wallet += amount
            self.ledger.asset_times_ms[asset] = self.time_ms
        else:
            self._add_to_cross_wallet(asset, amount)
        if amount:
            transaction = 0 if income_type == "TRANSFER" else trade
            self.record_income(
                income_type, asset, amount, symbol=symbol, transaction=transaction, trade=str(trade or "")
            )

    def _add_to_cross_wallet(self, asset: str, amount: Decimal) -> None:
        self.ledger.cross_wallets[asset] += amount
        self.ledger.asset_times_ms[asset] = self.time_ms

    def _set_leverage(self, symbol: str, leverage: int | None) -> None:
        if leverage is not None:
            self.ledger.leverages[symbol] = leverage
