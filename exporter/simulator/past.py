"""The income of the demo's accounts in the 90 days before it starts, the same for the same seed, account and day."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.simulator.ledger import FEE_RATE
from exporter.simulator.market import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.simulator.ledger import SimulatedAccount

PAST_DAYS: Final = 90

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_MIDDAY_MS: Final = 12 * _HOUR_MS
_TRADING_DAYS: Final = 0.75
_HOLDING_DAYS: Final = 0.5
# Funding rates of eight hours.
_MEAN_RATE: Final = 0.00006
_RATE_DEVIATION: Final = 0.0001
_LIQUIDATION_LOSS: Final = 0.06
_LIQUIDATION_FEE: Final = 0.01
_TRANSFER_DAY: Final = 5
# Both orders of a burst are more rows than a response of REST may have, and each of them is fewer.
_BURST_DAY: Final = 2
_BURST_FILLS: Final = 252
_BURST_SIZE: Final = 5


class _Habits(NamedTuple):
    """What an account does. Amounts are in the symbols' margin assets, shares are of a trade's notional."""

    deposits: dict[str, str]
    """On the first day, by asset."""
    transfer: tuple[str, str]
    """An asset and an amount, transferred twice within a millisecond every month."""
    symbols: tuple[str, ...]
    most_trades: int
    """Positions that are opened and closed in a day."""
    notional: float
    mean_profit: float
    profit_deviation: float
    rewards: tuple[tuple[str, str, float, float], ...]
    """Income types, assets, mean amounts, and probabilities of one in a day."""
    liquidations: float = 0.0
    """The probability of one in a day."""
    bursts: bool = False
    """Whether two orders a month are filled in hundreds of trades within a millisecond."""


_HABITS: Final = {
    "main": _Habits(
        deposits={"USDT": "5500", "USDC": "2000", "BNB": "1.2"},
        transfer=("USDT", "-150"),
        symbols=("BTCUSDT", "SOLUSDT", "ETHUSDC"),
        most_trades=3,
        notional=3500.0,
        mean_profit=0.0025,
        profit_deviation=0.009,
        rewards=(("REFERRAL_KICKBACK", "USDT", 3.2, 0.2), ("COMMISSION_REBATE", "BNB", 0.002, 0.1)),
        bursts=True,
    ),
    "multi": _Habits(
        deposits={"USDT": "7000", "USDC": "1500", "BTC": "0.2", "BFUSD": "2500"},
        transfer=("USDT", "-250"),
        symbols=("BTCUSDT", "DOGEUSDT", "ETHUSDC"),
        most_trades=2,
        notional=9000.0,
        mean_profit=0.0035,
        profit_deviation=0.008,
        # Credits are an asset that has no wallet in an account's status.
        rewards=(("BFUSD_REWARD", "BFUSD", 0.31, 1.0), ("WELCOME_BONUS", "BNFCR", 5.0, 0.1)),
    ),
    "hedge": _Habits(
        deposits={"USDT": "8000"},
        transfer=("USDT", "200"),
        symbols=("BTCUSDT", "ETHUSDT"),
        most_trades=1,
        notional=8000.0,
        mean_profit=0.0,
        profit_deviation=0.006,
        rewards=(("COMMISSION_REBATE", "USDT", 1.5, 0.1),),
    ),
    "isolated": _Habits(
        deposits={"USDT": "16000"},
        transfer=("USDT", "500"),
        symbols=("SOLUSDT", "XRPUSDT", "DOGEUSDT"),
        most_trades=2,
        notional=4000.0,
        mean_profit=0.0015,
        profit_deviation=0.015,
        # A type that Binance does not have, as new ones appear.
        rewards=(("TRADING_VOUCHER", "USDT", 5.0, 0.1),),
        liquidations=0.06,
    ),
}


class _Row(NamedTuple):
    time_ms: int
    income_type: str
    asset: str
    amount: Decimal
    symbol: str = ""
    trade: int | None = None


def add_past(account: SimulatedAccount, seed: int, now_ms: int) -> None:
    """Add the income of 90 UTC days, of which the last one ends at `now_ms`, to a demo account's history and wallets.

    The rows of a day do not depend on `now_ms`, except for their ids. What they leave in the wallets is transferred out
    when the scenario resets the account.
    """
    habits, today = _HABITS[account.name], now_ms // _DAY_MS
    first = today - PAST_DAYS + 1
    rows = [_Row(first * _DAY_MS, "TRANSFER", asset, Decimal(amount)) for asset, amount in habits.deposits.items()]
    for day in range(first, today + 1):
        rows += _rows_of(account, habits, day * _DAY_MS, random.Random(f"{seed}/{account.name}/{day}"))
    for row in sorted(rows, key=attrgetter("time_ms")):
        if row.time_ms >= now_ms:
            break
        account.move_to(0.0, row.time_ms)
        account.book(row.income_type, row.asset, row.amount, symbol=row.symbol, trade=row.trade)


def _rows_of(account: SimulatedAccount, habits: _Habits, day_ms: int, draw: random.Random) -> Iterator[_Row]:
    yield from _funding(habits, day_ms, draw)
    if draw.random() < _TRADING_DAYS:
        yield from _trades(account, habits, day_ms, draw)
    for income_type, asset, mean, probability in habits.rewards:
        if draw.random() < probability:
            time_ms = day_ms + draw.randrange(_DAY_MS)
            yield _Row(time_ms, income_type, asset, _money(mean * draw.uniform(0.6, 1.4)))
    if draw.random() < habits.liquidations:
        yield from _liquidation(account, habits, day_ms + draw.randrange(_DAY_MS), draw)
    day_of_month = datetime.fromtimestamp(day_ms / 1000, UTC).day
    if day_of_month == _TRANSFER_DAY:
        asset, amount = habits.transfer
        yield from [_Row(day_ms + _MIDDAY_MS, "TRANSFER", asset, Decimal(amount))] * 2
    if habits.bursts and day_of_month == _BURST_DAY:
        time_ms, notional = day_ms + _MIDDAY_MS + draw.randrange(_HOUR_MS), _BURST_SIZE * habits.notional
        for delay_ms in (0, 3000):
            profit = notional * habits.mean_profit
            yield from _order(account, habits.symbols[0], time_ms + delay_ms, _BURST_FILLS, notional, profit)


def _funding(habits: _Habits, day_ms: int, draw: random.Random) -> Iterator[_Row]:
    """Yield the settlements of the positions that are held this day."""
    for name in habits.symbols:
        if draw.random() > _HOLDING_DAYS:
            continue
        symbol = SYMBOLS[name]
        notional = habits.notional * draw.uniform(0.5, 3.0) * draw.choice((1, 1, -1))
        for hour in range(0, 24, symbol.funding_hours):
            rate = draw.gauss(_MEAN_RATE, _RATE_DEVIATION) * symbol.funding_hours / 8
            yield _Row(day_ms + hour * _HOUR_MS, "FUNDING_FEE", symbol.margin_asset, _money(-notional * rate), name)


def _trades(account: SimulatedAccount, habits: _Habits, day_ms: int, draw: random.Random) -> Iterator[_Row]:
    """Yield positions that are opened and closed this day."""
    for _ in range(draw.randint(1, habits.most_trades)):
        symbol = draw.choice(habits.symbols)
        opened, closed = sorted(draw.randrange(_DAY_MS) for _ in range(2))
        notional = habits.notional * draw.uniform(0.4, 1.6)
        profit = notional * draw.gauss(habits.mean_profit, habits.profit_deviation)
        yield from _order(account, symbol, day_ms + opened, draw.choice((1, 1, 2)), notional, 0.0)
        yield from _order(account, symbol, day_ms + closed, draw.choice((1, 1, 2, 3)), notional, profit)


def _order(
    account: SimulatedAccount, symbol: str, time_ms: int, fills: int, notional: float, profit: float
) -> Iterator[_Row]:
    """Yield an order that is filled in equal trades, each with its profit, if there is any, and its commission."""
    asset, fee = SYMBOLS[symbol].margin_asset, notional * float(FEE_RATE)
    fee_asset = asset
    if account.fees_in_bnb:
        fee_asset, fee = "BNB", fee / SYMBOLS["BNBUSDT"].base_price
    each_profit, each_fee = _money(profit / fills), _money(-fee / fills)
    for _ in range(fills):
        trade = account.income.next_id()
        if each_profit:
            yield _Row(time_ms, "REALIZED_PNL", asset, each_profit, symbol, trade)
        yield _Row(time_ms, "COMMISSION", fee_asset, each_fee, symbol, trade)


def _liquidation(account: SimulatedAccount, habits: _Habits, time_ms: int, draw: random.Random) -> Iterator[_Row]:
    symbol = draw.choice(habits.symbols)
    asset, trade = SYMBOLS[symbol].margin_asset, account.income.next_id()
    yield _Row(time_ms, "REALIZED_PNL", asset, _money(-_LIQUIDATION_LOSS * habits.notional), symbol, trade)
    yield _Row(time_ms, "INSURANCE_CLEAR", asset, _money(-_LIQUIDATION_FEE * habits.notional), symbol)


def _money(amount: float) -> Decimal:
    return Decimal(f"{amount:.8f}")
