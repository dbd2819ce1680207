"""Binance's JSON: the results of the REST paths."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from exporter.simulator.market import ASSETS, SYMBOLS, Symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.state import ExchangeState

PRICED_ASSETS: Final = (*ASSETS, "ADA", "XRP")
"""The assets of `assetIndex`: since June 2026 also assets that settle COIN-M contracts only."""

# The factors of an asset's bid and ask rates, in multi-assets mode and when it is exchanged automatically.
_BUFFERS: Final = (Decimal("0.05"), Decimal("0.025"))
_BUFFERS_OF_DOLLARS: Final = (Decimal("0.0001"), Decimal("0.0001"))
_WEEK_MS: Final = 7 * 86_400_000
_NO_FUNDING: Final[dict[str, Any]] = {"lastFundingRate": "", "interestRate": "", "nextFundingTime": 0}


def premium_index(state: ExchangeState, now_ms: int, symbol: str | None) -> dict[str, Any] | list[dict[str, Any]]:
    """Answer `premiumIndex`, for one symbol or for all, with a delisted one."""
    if symbol is not None:
        return _premium(state, SYMBOLS[symbol], now_ms)
    prices = dict.fromkeys(("markPrice", "indexPrice", "estimatedSettlePrice"), "0.00051000")
    delisted = {"symbol": "LUNAUSDT", **prices, **_NO_FUNDING, "time": now_ms}
    return [*(_premium(state, each, now_ms) for each in SYMBOLS.values()), delisted]


def funding_info() -> list[dict[str, Any]]:
    """Answer `fundingInfo`: symbols whose interval is not the usual one, or that have other caps."""
    return [
        {
            "symbol": symbol.name,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": symbol.funding_hours,
            "disclaimer": False,
        }
        for symbol in SYMBOLS.values()
        if symbol.funding_hours not in {0, 8} or symbol.name == "DOGEUSDT"
    ]


def asset_index(state: ExchangeState, now_ms: int, symbol: str | None) -> dict[str, Any] | list[dict[str, Any]]:
    """Answer `assetIndex`: the rates at which multi-assets mode values assets, for one such as BTCUSD or for all."""
    rows = {f"{asset}USD": _asset_rates(state, asset, now_ms) for asset in PRICED_ASSETS}
    return list(rows.values()) if symbol is None else rows[symbol]


def api_restrictions(account: SimulatedAccount) -> dict[str, Any]:
    """Answer `apiRestrictions`."""
    return {
        "ipRestrict": account.key_ip_restricted,
        "createTime": account.key_created_ms,
        **account.key_permissions,
    }


def income(account: SimulatedAccount, params: Mapping[str, str], now_ms: int, lag_ms: int) -> list[dict[str, Any]]:
    """Answer `income`; without times the last 7 days, and only rows that are at least `lag_ms` old.

    The times can be any distance apart: Binance documents a limit for COIN-M only.
    """
    end = int(params.get("endTime", now_ms))
    start = int(params.get("startTime", end - _WEEK_MS))
    rows = account.income.select(
        start,
        min(end, now_ms - lag_ms),
        now_ms,
        int(params.get("limit", 100)),
        income_type=params.get("incomeType"),
        symbol=params.get("symbol"),
    )
    return [
        {
            "symbol": row.symbol,
            "incomeType": row.income_type,
            "income": f"{row.amount:.8f}",
            "asset": row.asset,
            "info": row.info,
            "time": row.time_ms,
            "tranId": row.transaction,
            "tradeId": row.trade,
        }
        for row in rows
    ]


def _premium(state: ExchangeState, symbol: Symbol, now_ms: int) -> dict[str, Any]:
    index = _price(state.market.index_price(symbol, state.at))
    funding = _NO_FUNDING
    if symbol.funding_hours:
        funding = {
            "lastFundingRate": _price(state.market.funding_rate(symbol, state.at)),
            "interestRate": "0.00010000",
            "nextFundingTime": state.time_ms(state.funding.next_settlement(symbol, state.at)),
        }
    return {
        "symbol": symbol.name,
        "markPrice": _price(state.market.mark_price(symbol, state.at)),
        "indexPrice": index,
        "estimatedSettlePrice": index,
        **funding,
        "time": now_ms,
    }


def _asset_rates(state: ExchangeState, asset: str, now_ms: int) -> dict[str, Any]:
    rate = state.market.usd_rate(asset, state.at)
    buffer, exchange_buffer = _BUFFERS if asset not in ASSETS or ASSETS[asset].usd is None else _BUFFERS_OF_DOLLARS
    return {
        "symbol": f"{asset}USD",
        "time": now_ms // 1000 * 1000,
        "index": _price(rate),
        "bidBuffer": _price(buffer),
        "askBuffer": _price(buffer),
        "bidRate": _price(rate * (1 - buffer)),
        "askRate": _price(rate * (1 + buffer)),
        "autoExchangeBidBuffer": _price(exchange_buffer),
        "autoExchangeAskBuffer": _price(exchange_buffer),
        "autoExchangeBidRate": _price(rate * (1 - exchange_buffer)),
        "autoExchangeAskRate": _price(rate * (1 + exchange_buffer)),
    }


def _price(price: Decimal) -> str:
    return f"{price:.8f}"
