"""Liquidation price, auto-deleveraging rank and break-even price of positions, and liquidation."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from exporter.simulator.brackets import TIERS, tier_of
from exporter.simulator.ledger import FEE_RATE, ZERO
from exporter.simulator.market import CENT
from exporter.simulator.valuation import Pool, statement_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.simulator.ledger import RowKey, SimulatedAccount
    from exporter.simulator.valuation import Row, Statement


def liquidation_prices(statement: Statement) -> dict[RowKey, Decimal]:
    """Return the mark price at which each position's pool has ratio 1, other symbols unchanged; 0 if there is none.

    The keys are symbol and position side. LONG and SHORT of one symbol move together, and share a price.
    """
    prices: dict[RowKey, Decimal] = {}
    for rows in _rows_liquidated_together(statement):
        price = _solve(rows, _pool_without(statement, rows))
        prices.update({(row.symbol.name, row.position.side): price for row in rows})
    return prices


def deleverage_ranks(statement: Statement) -> dict[RowKey, int]:
    """Return Binance's adl of each position, 0 to 4: the more profit and leverage, the earlier it is deleveraged.

    The keys are symbol and position side. Cross positions on both sides of a symbol show the same figure, as Binance's
    answers do.
    """
    ranks: dict[RowKey, int] = {}
    for rows in _rows_liquidated_together(statement):
        rank = max(_deleverage_rank(row) for row in rows)
        ranks.update({(row.symbol.name, row.position.side): rank for row in rows})
    return ranks


def _rows_liquidated_together(statement: Statement) -> Iterable[list[Row]]:
    groups: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in statement.rows:
        if row.position.amount:
            groups[row.symbol.name, row.position.side if row.isolated else ""].append(row)
    return groups.values()


def _pool_without(statement: Statement, rows: list[Row]) -> Pool:
    """Return a pool without these rows, in their margin asset."""
    pool = statement.pool_of(rows[0])
    rate = statement.usd_rates[rows[0].symbol.margin_asset] if statement.usd_rates else Decimal(1)
    return Pool(
        pool.equity / rate - sum(row.unrealized_profit for row in rows),
        pool.maintenance_margin / rate - sum(row.maintenance_margin for row in rows),
    )


def _solve(rows: list[Row], rest: Pool) -> Decimal:
    """Solve equity(price) = maintenance margin(price), which is linear between the borders of the tiers."""
    bracket, mark_price = rows[0].symbol.bracket, rows[0].mark_price
    amounts = [row.position.amount for row in rows]
    fixed = rest.equity - rest.maintenance_margin - sum(row.position.amount * row.position.entry_price for row in rows)
    borders = sorted({tier.floor / abs(amount) for amount in amounts for tier in TIERS[bracket]})
    solutions = []
    for low, high in pairwise([*borders, Decimal("Infinity")]):
        # Just above the border, since rounding may put the border itself into the tier below.
        tiers = [tier_of(bracket, abs(amount) * low + CENT) for amount in amounts]
        slope = sum(amount - abs(amount) * tier.rate for amount, tier in zip(amounts, tiers, strict=True))
        price = -(fixed + sum(tier.amount for tier in tiers)) / slope
        if low <= price < high and price > 0:
            solutions.append(price)
    # A hedged symbol may be liquidated in both directions; the nearer price comes first.
    return min(solutions, key=lambda price: abs(price - mark_price), default=ZERO).quantize(CENT)


def break_even_price(row: Row) -> Decimal:
    """Return the price at which closing makes neither profit nor loss after the fees of both trades."""
    amount, fees = row.position.amount, row.position.fees
    # The closing fee is on the absolute amount: it raises a long's price and lowers a short's.
    return ((amount * row.position.entry_price + fees) / (amount - abs(amount) * FEE_RATE)).quantize(CENT)


def _deleverage_rank(row: Row) -> int:
    score = row.unrealized_profit / abs(row.notional) * row.leverage
    return sum(score > step for step in (Decimal("-0.1"), ZERO, Decimal("0.1"), Decimal("0.5")))


def liquidate(account: SimulatedAccount) -> None:
    """Liquidate every pool whose ratio has reached 1: remove positions and orders, charge the loss to the wallet."""
    if not account.ledger.positions:
        return  # a hundred accounts without positions must not cost time at every request
    statement = statement_of(account)
    liquidated = [row for row in statement.rows if row.position.amount and statement.pool_of(row).ratio >= 1]
    for row in liquidated:
        account.liquidate(row.position, row.unrealized_profit)
    if not account.multi_assets:
        for asset in {row.symbol.margin_asset for row in liquidated}:
            account.cover_debt(asset)
