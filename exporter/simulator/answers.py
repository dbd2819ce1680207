"""Binance's JSON: the results of the account methods, made from an account's statement."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from exporter.simulator.brackets import max_notional
from exporter.simulator.ledger import ZERO, Position
from exporter.simulator.liquidation import break_even_price, deleverage_ranks, liquidation_prices
from exporter.simulator.market import ASSETS, SYMBOLS
from exporter.simulator.valuation import Row, row_of, statement_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from exporter.simulator.ledger import PositionSide, SimulatedAccount
    from exporter.simulator.valuation import Figures, Statement


def account_status(account: SimulatedAccount) -> dict[str, Any]:
    """Answer `v2/account.status`."""
    statement = statement_of(account)
    return {
        **_totals(statement.totals),
        "assets": _assets(account, statement),
        "positions": [
            {
                "symbol": row.symbol.name,
                "positionSide": row.position.side,
                "positionAmt": _amount(row),
                "unrealizedProfit": _money(row.unrealized_profit),
                "isolatedMargin": _isolated_money(row, row.isolated_margin),
                "notional": _money(row.notional),
                "isolatedWallet": _isolated_money(row, row.isolated_wallet),
                "initialMargin": _money(row.initial_margin),
                "maintMargin": _money(row.maintenance_margin),
                "updateTime": row.position.update_time_ms,
            }
            for row in statement.rows
        ],
    }


def account_position(account: SimulatedAccount, symbol: str | None) -> list[dict[str, Any]]:
    """Answer `v2/account.position`, for one symbol or for all that have a row."""
    statement = statement_of(account)
    prices, ranks = liquidation_prices(statement), deleverage_ranks(statement)
    return [
        _risk(row, prices.get((row.symbol.name, row.position.side)), ranks.get((row.symbol.name, row.position.side), 0))
        for row in statement.rows
        if symbol in {None, row.symbol.name}
    ]


def account_balance(account: SimulatedAccount) -> list[dict[str, Any]]:
    """Answer `account.balance` and `v2/account.balance`, whose documentation is the same."""
    return [
        {
            "accountAlias": account.alias,
            "asset": asset,
            "balance": _money(figures.wallet_balance),
            "crossWalletBalance": _money(figures.cross_wallet_balance),
            "crossUnPnl": _money(figures.cross_unrealized_profit),
            "availableBalance": _money(figures.available_balance),
            "maxWithdrawAmount": _money(figures.max_withdraw_amount),
            "marginAvailable": account.multi_assets or not ASSETS[asset].multi_only,
            "updateTime": account.ledger.asset_times_ms[asset],
        }
        for asset, figures in statement_of(account).assets.items()
    ]


def account_status_v1(account: SimulatedAccount, extra_symbols: int) -> dict[str, Any]:
    """Answer version 1 of `account.status`: all symbols, and `extra_symbols` more, PAD0USDT and so on."""
    statement = statement_of(account)
    sides = _sides(account)
    extra = [f"PAD{number}USDT" for number in range(extra_symbols)]
    return {
        "feeTier": account.fee_tier,
        "canDeposit": account.can_deposit,
        "canTrade": account.can_trade,
        "canWithdraw": account.can_withdraw,
        "updateTime": 0,
        "multiAssetsMargin": account.multi_assets,
        "tradeGroupId": -1,
        **_totals(statement.totals),
        "assets": _assets(account, statement),
        "positions": [
            *(_v1_row_of(account, symbol, side) for symbol in SYMBOLS for side in sides),
            *(
                {**_empty_v1_row("XRPUSDT", side, account.leverage_of(symbol)), "symbol": symbol}
                for symbol in extra
                for side in sides
            ),
        ],
    }


def account_position_v1(account: SimulatedAccount, symbol: str | None) -> list[dict[str, Any]]:
    """Answer version 1 of `account.position`, for one symbol or for all, with or without positions."""
    prices = liquidation_prices(statement_of(account))
    rows = [row_of(account, name, side) for name in SYMBOLS for side in _sides(account) if symbol in {None, name}]
    return [_v1_risk(row, prices.get((row.symbol.name, row.position.side))) for row in rows]


def _sides(account: SimulatedAccount) -> tuple[PositionSide, ...]:
    return ("LONG", "SHORT") if account.hedge else ("BOTH",)


def _figures(figures: Figures) -> dict[str, str]:
    return {
        "initialMargin": _money(figures.initial_margin),
        "maintMargin": _money(figures.maintenance_margin),
        "walletBalance": _money(figures.wallet_balance),
        "unrealizedProfit": _money(figures.unrealized_profit),
        "marginBalance": _money(figures.margin_balance),
        "positionInitialMargin": _money(figures.position_initial_margin),
        "openOrderInitialMargin": _money(figures.open_order_initial_margin),
        "crossWalletBalance": _money(figures.cross_wallet_balance),
        "crossUnPnl": _money(figures.cross_unrealized_profit),
        "availableBalance": _money(figures.available_balance),
        "maxWithdrawAmount": _money(figures.max_withdraw_amount),
    }


def _totals(figures: Figures) -> dict[str, str]:
    """Return the figures under their names as totals; two names stay the same."""
    return {
        name if name in {"availableBalance", "maxWithdrawAmount"} else f"total{name[0].upper()}{name[1:]}": value
        for name, value in _figures(figures).items()
    }


def _assets(account: SimulatedAccount, statement: Statement) -> list[dict[str, Any]]:
    return [
        {
            "asset": asset,
            **_figures(figures),
            # Binance omits it in single-asset mode.
            **({"marginAvailable": True} if account.multi_assets else {}),
            "updateTime": account.ledger.asset_times_ms[asset],
        }
        for asset, figures in statement.assets.items()
    ]


def _risk(row: Row, liquidation_price: Decimal | None, deleverage_rank: int) -> dict[str, Any]:
    return {
        "symbol": row.symbol.name,
        "positionSide": row.position.side,
        "positionAmt": _amount(row),
        **_prices(row),
        "markPrice": _money(row.mark_price),
        "unRealizedProfit": _money(row.unrealized_profit),
        "liquidationPrice": _money(liquidation_price) if liquidation_price else "0",
        "isolatedMargin": _money(row.isolated_margin),
        "notional": _money(row.notional),
        "marginAsset": row.symbol.margin_asset,
        "isolatedWallet": _money(row.isolated_wallet),
        "initialMargin": _money(row.initial_margin),
        "maintMargin": _money(row.maintenance_margin),
        "positionInitialMargin": _money(row.position_initial_margin),
        "openOrderInitialMargin": _money(row.open_order_initial_margin),
        "adl": deleverage_rank,
        "bidNotional": _money(row.bid_notional) if row.bid_notional else "0",
        "askNotional": _money(row.ask_notional) if row.ask_notional else "0",
        "updateTime": row.position.update_time_ms,
    }


def _prices(row: Row) -> dict[str, str]:
    held = bool(row.position.amount)
    return {
        "entryPrice": str(row.position.entry_price) if held else "0.0",
        "breakEvenPrice": _money(break_even_price(row)) if held else "0.0",
    }


def _v1_risk(row: Row, liquidation_price: Decimal | None) -> dict[str, Any]:
    return {
        **_prices(row),
        "marginType": "isolated" if row.isolated else "cross",
        "isAutoAddMargin": "false",
        "isolatedMargin": _money(row.isolated_margin),
        "leverage": str(row.leverage),
        "liquidationPrice": _money(liquidation_price) if liquidation_price else "0",
        "markPrice": _money(row.mark_price),
        "maxNotionalValue": str(max_notional(row.symbol.bracket, row.leverage)),
        "positionAmt": _amount(row),
        "notional": _money(row.notional),
        "isolatedWallet": _money(row.isolated_wallet),
        "symbol": row.symbol.name,
        "unRealizedProfit": _money(row.unrealized_profit),
        "positionSide": row.position.side,
        "updateTime": row.position.update_time_ms,
    }


def _v1_row_of(account: SimulatedAccount, symbol: str, side: PositionSide) -> dict[str, Any]:
    ledger = account.ledger
    if (symbol, side) in ledger.positions or ledger.orders.get((symbol, side)):
        return _v1_row(row_of(account, symbol, side))
    return dict(_empty_v1_row(symbol, side, account.leverage_of(symbol)))


@cache
def _empty_v1_row(symbol: str, side: PositionSide, leverage: int) -> Mapping[str, Any]:
    """Return the row of a symbol without position and orders, as most are; it does not depend on the price."""
    position = Position(SYMBOLS[symbol], side)
    return MappingProxyType(_v1_row(Row(position, ZERO, leverage, *[ZERO] * 7)))


def _v1_row(row: Row) -> dict[str, Any]:
    return {
        "symbol": row.symbol.name,
        "initialMargin": _money(row.initial_margin),
        "maintMargin": _money(row.maintenance_margin),
        "unrealizedProfit": _money(row.unrealized_profit),
        "positionInitialMargin": _money(row.position_initial_margin),
        "openOrderInitialMargin": _money(row.open_order_initial_margin),
        "leverage": str(row.leverage),
        "isolated": row.isolated,
        **_prices(row),
        "maxNotional": str(max_notional(row.symbol.bracket, row.leverage)),
        "bidNotional": _money(row.bid_notional) if row.bid_notional else "0",
        "askNotional": _money(row.ask_notional) if row.ask_notional else "0",
        "positionSide": row.position.side,
        "positionAmt": _amount(row),
        "updateTime": row.position.update_time_ms,
    }


def _money(amount: Decimal) -> str:
    # Adding 0 removes the sign of a negative zero, which Binance does not send.
    return f"{amount + 0:.8f}"


def _amount(row: Row) -> str:
    return f"{row.position.amount:.{row.symbol.amount_digits}f}" if row.position.amount else "0"


def _isolated_money(row: Row, amount: Decimal) -> str:
    """Return an isolated amount; Binance writes a cross row's zero with or without digits, here by symbol."""
    return "0" if not row.isolated and ord(row.symbol.name[0]) % 2 else _money(amount)
