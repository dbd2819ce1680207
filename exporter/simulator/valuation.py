"""The valuation of an account's ledger at the mark prices of one moment: rows, assets, totals, margin pools.

Pure arithmetic in decimals of 8 digits; every sum is exact.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING

from exporter.simulator.brackets import maintenance_margin
from exporter.simulator.ledger import ZERO, Position
from exporter.simulator.market import ASSETS, CENT, SYMBOLS, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.simulator.ledger import Order, PositionSide, RowKey, SimulatedAccount


@dataclass(frozen=True, slots=True)
class Row:
    """A symbol's position and open orders at the mark price, as in `positions[]`."""

    position: Position
    mark_price: Decimal
    leverage: int
    notional: Decimal
    unrealized_profit: Decimal
    position_initial_margin: Decimal
    open_order_initial_margin: Decimal
    maintenance_margin: Decimal
    bid_notional: Decimal
    ask_notional: Decimal

    @property
    def symbol(self) -> Symbol:
        """The contract."""
        return self.position.symbol

    @property
    def isolated(self) -> bool:
        """Whether the position is isolated, and so its own margin pool."""
        return self.position.isolated_wallet is not None

    @property
    def isolated_wallet(self) -> Decimal:
        """The isolated wallet, 0 for a cross position."""
        return self.position.isolated_wallet or ZERO

    @property
    def isolated_margin(self) -> Decimal:
        """The isolated wallet and the unrealized profit, 0 for a cross position."""
        return self.isolated_wallet + self.unrealized_profit if self.isolated else ZERO

    @property
    def initial_margin(self) -> Decimal:
        """The margin of the position and of its open orders."""
        return self.position_initial_margin + self.open_order_initial_margin


@dataclass(frozen=True, slots=True)
class Figures:
    """The eleven figures that Binance reports of an asset and of the whole account; two of them are sums."""

    wallet_balance: Decimal
    unrealized_profit: Decimal
    maintenance_margin: Decimal
    position_initial_margin: Decimal
    open_order_initial_margin: Decimal
    cross_wallet_balance: Decimal
    cross_unrealized_profit: Decimal
    available_balance: Decimal
    max_withdraw_amount: Decimal

    @property
    def margin_balance(self) -> Decimal:
        """Wallet balance and unrealized profit."""
        return self.wallet_balance + self.unrealized_profit

    @property
    def initial_margin(self) -> Decimal:
        """The margin of the positions and of the open orders."""
        return self.position_initial_margin + self.open_order_initial_margin


@dataclass(frozen=True, slots=True)
class Pool:
    """A margin pool, which is liquidated as one: its equity and the maintenance margin it must cover."""

    equity: Decimal
    maintenance_margin: Decimal

    @property
    def ratio(self) -> Decimal:
        """Maintenance margin over equity: 0 without positions; from 1 on the pool is liquidated."""
        if not self.maintenance_margin:
            return ZERO
        return self.maintenance_margin / self.equity if self.equity > 0 else Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Statement:
    """An account at one moment. `usd_rates` is None in single-asset mode; `pools` are the cross ones.

    The pools' keys are margin assets, or USD alone in multi-assets mode.
    """

    rows: list[Row]
    assets: dict[str, Figures]
    totals: Figures
    pools: dict[str, Pool]
    usd_rates: dict[str, Decimal] | None

    def pool_of(self, row: Row) -> Pool:
        """Return the pool of a row's position."""
        if row.isolated:
            return Pool(row.isolated_margin, row.maintenance_margin)
        return self.pools["USD" if self.usd_rates else row.symbol.margin_asset]


def statement_of(account: SimulatedAccount) -> Statement:
    """Return the valuation of an account at its present moment."""
    rows = [_row(account, key) for key in _open_rows(account)]
    by_asset: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_asset[row.symbol.margin_asset].append(row)
    assets = {asset: _asset_figures(account.ledger.cross_wallets[asset], by_asset[asset]) for asset in ASSETS}
    if account.multi_assets:
        rates = {asset: account.market.usd_rate(asset, account.at) for asset in ASSETS}
        totals = _totals_in_usd(assets, rates)
        assets = {asset: _with_shared_balance(figures, totals, rates[asset]) for asset, figures in assets.items()}
        pools = {"USD": Pool(totals.margin_balance, totals.maintenance_margin)}
        return Statement(rows, assets, totals, pools, rates)
    pools = {asset: _cross_pool(assets[asset], by_asset[asset]) for asset in ASSETS}
    return Statement(rows, assets, assets["USDT"], pools, None)


def row_of(account: SimulatedAccount, symbol: str, side: PositionSide) -> Row:
    """Return the valuation of one symbol of an account, with or without a position."""
    return _row(account, (symbol, side))


def _open_rows(account: SimulatedAccount) -> Iterable[RowKey]:
    # Positions in the order they were opened, then the symbols that only have open orders.
    return dict.fromkeys([*account.ledger.positions, *account.ledger.orders])


def _row(account: SimulatedAccount, key: RowKey) -> Row:
    name, side = key
    symbol = SYMBOLS[name]
    position = account.ledger.positions.get(key) or Position(symbol, side)
    mark_price = account.market.mark_price(symbol, account.at)
    leverage = account.leverage_of(name)
    notional = position.amount * mark_price
    bids, asks = _order_notionals(account.ledger.orders.get(key, ()))
    position_initial_margin = (abs(notional) / leverage).quantize(CENT, ROUND_UP)
    # Orders need margin only as far as they could make the position larger than it is.
    largest = max(abs(notional), *_reachable_sizes(side, notional, bids, asks))
    return Row(
        position=position,
        mark_price=mark_price,
        leverage=leverage,
        notional=notional,
        unrealized_profit=position.amount * (mark_price - position.entry_price),
        position_initial_margin=position_initial_margin,
        open_order_initial_margin=(largest / leverage).quantize(CENT, ROUND_UP) - position_initial_margin,
        maintenance_margin=maintenance_margin(symbol.bracket, notional),
        bid_notional=bids,
        ask_notional=asks,
    )


def _order_notionals(orders: Iterable[Order]) -> tuple[Decimal, Decimal]:
    bids = asks = ZERO
    for order in orders:
        notional = (abs(order.amount) * order.price).quantize(CENT)
        if order.amount > 0:
            bids += notional
        else:
            asks += notional
    return bids, asks


def _reachable_sizes(side: str, notional: Decimal, bids: Decimal, asks: Decimal) -> tuple[Decimal, Decimal]:
    """Return the sizes the position could grow to; LONG is never sold below 0, nor SHORT bought above it."""
    return (
        abs(notional + bids) if side != "SHORT" else ZERO,
        abs(notional - asks) if side != "LONG" else ZERO,
    )


def _asset_figures(cross_wallet: Decimal, rows: list[Row]) -> Figures:
    if not rows:  # most assets: a sum for each figure would cost more than everything else in a statement
        free = max(ZERO, cross_wallet)
        return Figures(cross_wallet, ZERO, ZERO, ZERO, ZERO, cross_wallet, ZERO, free, free)
    cross_profit = _sum(row.unrealized_profit for row in rows if not row.isolated)
    open_orders = _sum(row.open_order_initial_margin for row in rows)
    # The margin of isolated positions is not in the cross wallet.
    in_use = open_orders + _sum(row.position_initial_margin for row in rows if not row.isolated)
    available = max(ZERO, cross_wallet + cross_profit - in_use)
    return Figures(
        wallet_balance=cross_wallet + _sum(row.isolated_wallet for row in rows),
        unrealized_profit=_sum(row.unrealized_profit for row in rows),
        maintenance_margin=_sum(row.maintenance_margin for row in rows),
        position_initial_margin=_sum(row.position_initial_margin for row in rows),
        open_order_initial_margin=open_orders,
        cross_wallet_balance=cross_wallet,
        cross_unrealized_profit=cross_profit,
        available_balance=available,
        # An unrealized gain is margin, but cannot be withdrawn.
        max_withdraw_amount=max(ZERO, min(available, cross_wallet - in_use)),
    )


def _cross_pool(figures: Figures, rows: list[Row]) -> Pool:
    return Pool(
        figures.cross_wallet_balance + figures.cross_unrealized_profit,
        _sum(row.maintenance_margin for row in rows if not row.isolated),
    )


def _totals_in_usd(assets: dict[str, Figures], rates: dict[str, Decimal]) -> Figures:
    def in_usd(name: str) -> Decimal:
        return _sum((getattr(figures, name) * rates[asset]).quantize(CENT) for asset, figures in assets.items())

    wallet, profit = in_usd("wallet_balance"), in_usd("unrealized_profit")
    positions, open_orders = in_usd("position_initial_margin"), in_usd("open_order_initial_margin")
    available = max(ZERO, wallet + profit - positions - open_orders)
    return Figures(
        wallet_balance=wallet,
        unrealized_profit=profit,
        maintenance_margin=in_usd("maintenance_margin"),
        position_initial_margin=positions,
        open_order_initial_margin=open_orders,
        cross_wallet_balance=wallet,
        cross_unrealized_profit=profit,
        available_balance=available,
        max_withdraw_amount=max(ZERO, min(available, wallet - positions - open_orders)),
    )


def _with_shared_balance(figures: Figures, totals: Figures, rate: Decimal) -> Figures:
    """Return an asset with the whole account's available balance in its units, as in multi-assets mode."""
    withdrawable = (totals.max_withdraw_amount / rate).quantize(CENT, ROUND_DOWN)
    return replace(
        figures,
        available_balance=(totals.available_balance / rate).quantize(CENT, ROUND_DOWN),
        max_withdraw_amount=max(ZERO, min(figures.wallet_balance, withdrawable)),
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)
