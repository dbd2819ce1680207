"""The simulated market: symbols, assets and mark prices, which depend on a seed and a time alone.

Its only state is pinned prices.
"""

from __future__ import annotations

import math
import random
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND_SECONDS: Final = 600
"""The market repeats itself after this many seconds of scenario time."""

CENT: Final = Decimal("0.00000001")
"""The smallest amount of money in the exchange's answers."""

_SWING: Final = 0.004

# Funding rates of eight hours. They are small enough not to change what the demo's scenario is about.
_MEAN_RATE: Final = 0.00003
_RATE_SWING: Final = 0.00007


@dataclass(frozen=True, slots=True)
class Symbol:
    """A contract. Price and amount digits add up to at most 8, so that a notional is exact in 8 digits.

    `funding_hours` is the interval between funding settlements, 0 for dated contracts, which have none.
    """

    name: str
    base_asset: str
    margin_asset: str
    base_price: float
    price_digits: int
    amount_digits: int
    bracket: str
    funding_hours: int = 8

    @property
    def tick(self) -> Decimal:
        """The smallest step of the price."""
        return Decimal(1).scaleb(-self.price_digits)


@dataclass(frozen=True, slots=True)
class Asset:
    """A margin asset; `multi_only` ones are margin in multi-assets mode only."""

    name: str
    usd: float | None = None
    multi_only: bool = False


_TICKERS: Final = """
ADA AVAX LINK DOT LTC BCH TRX UNI ATOM NEAR APT ARB OP SUI SEI INJ TIA FIL ETC XLM HBAR ICP VET ALGO EGLD FLOW THETA
AXS SAND MANA GALA CHZ ENJ CRV AAVE MKR SNX COMP YFI SUSHI LDO RPL GMX DYDX PENDLE ENA JUP PYTH JTO WIF ORDI STX IMX
RUNE KAVA ZIL IOTA NEO QTUM ONT ZRX BAT DASH ZEC XTZ EOS KSM CELO ROSE MINA GRT FET AR RENDER TAO WLD STRK ZK ZRO BLUR
MEME PEOPLE JASMY SKL ANKR COTI HOT RVN LRC OGN KNC BAND STORJ WOO MAGIC HOOK EDU CFX ACH SSV HIGH
"""
# Enough of them for accounts with a hundred positions.

SYMBOLS: Final = {
    symbol.name: symbol
    for symbol in (
        Symbol("BTCUSDT", "BTC", "USDT", 104_000.0, 2, 3, "major"),
        Symbol("ETHUSDT", "ETH", "USDT", 3_900.0, 2, 3, "major"),
        Symbol("SOLUSDT", "SOL", "USDT", 185.0, 4, 2, "liquid"),
        Symbol("BNBUSDT", "BNB", "USDT", 960.0, 3, 2, "liquid"),
        Symbol("XRPUSDT", "XRP", "USDT", 2.4, 4, 1, "liquid", 4),
        Symbol("DOGEUSDT", "DOGE", "USDT", 0.19, 5, 0, "liquid"),
        Symbol("1000PEPEUSDT", "PEPE", "USDT", 0.0071, 7, 0, "thin", 4),
        Symbol("币安人生USDT", "币安人生", "USDT", 0.21, 5, 0, "thin", 1),
        Symbol("BTCUSDC", "BTC", "USDC", 104_010.0, 2, 3, "major"),
        Symbol("ETHUSDC", "ETH", "USDC", 3_900.5, 2, 3, "major"),
        Symbol("BTCUSDT_270326", "BTC", "USDT", 105_300.0, 2, 3, "major", 0),
        *(
            Symbol(f"{ticker}USDT", ticker, "USDT", 1.5 + number, 4, 1, "liquid")
            for number, ticker in enumerate(_TICKERS.split())
        ),
    )
}

ASSETS: Final = {
    asset.name: asset
    for asset in (
        Asset("FDUSD", 0.9984),
        Asset("LDUSDT", 1.0002, multi_only=True),
        Asset("BFUSD", 0.9991, multi_only=True),
        Asset("BNB"),
        Asset("ETH"),
        Asset("BTC"),
        Asset("USDT", 0.9996),
        Asset("USD1", 0.9993),
        Asset("USDC", 0.9999),
    )
}


class Market:
    """Mark prices and USD rates: pure functions of the seed, the symbol and the time.

    `drift(symbol, at)` is the scenario: the factor of the price, and that of the seeded swings around it.
    """

    def __init__(self, seed: int = 0, drift: Callable[[Symbol, float], tuple[float, float]] | None = None) -> None:
        self._seed = seed
        self._drift = drift
        self._pinned: dict[str, Decimal] = {}
        self._pinned_rates: dict[str, Decimal] = {}
        self._waves = cache(self._draw_waves)

    def mark_price(self, symbol: Symbol, at: float) -> Decimal:
        """Return the mark price at a scenario time in seconds."""
        if symbol.name in self._pinned:
            return self._pinned[symbol.name]
        # Each wave fits a whole number of times into a round: rounds join without a jump.
        swing = sum(
            height * math.sin(2 * math.pi * (times * at / ROUND_SECONDS + phase))
            for height, times, phase in self._waves(symbol.base_asset)
        )
        level, swings = self._drift(symbol, at) if self._drift else (1.0, 1.0)
        price = symbol.base_price * level * (1 + swings * _SWING * swing)
        return Decimal(f"{price:.{symbol.price_digits}f}")

    def index_price(self, symbol: Symbol, at: float) -> Decimal:
        """Return the index price, to 8 digits: below the mark price where longs pay, that of the perpetual if dated."""
        perpetual = SYMBOLS[symbol.name.partition("_")[0]]
        return (self.mark_price(perpetual, at) / (1 + self.funding_rate(perpetual, at))).quantize(CENT)

    def funding_rate(self, symbol: Symbol, at: float) -> Decimal:
        """Return what a settlement at this scenario time charges longs, as a ratio of the notional to 8 digits."""
        if symbol.name in self._pinned_rates:
            return self._pinned_rates[symbol.name]
        _, _, phase = self._waves(symbol.base_asset)[0]
        wave = math.sin(2 * math.pi * (at / ROUND_SECONDS + phase))
        return Decimal(f"{(_MEAN_RATE + _RATE_SWING * wave) * symbol.funding_hours / 8:.8f}")

    def usd_rate(self, asset: str, at: float) -> Decimal:
        """Return the value of one unit of an asset in USD, to 8 digits."""
        usd = ASSETS[asset].usd if asset in ASSETS else None
        if usd is None:
            in_usdt = self.mark_price(SYMBOLS[f"{asset}USDT"], at)
            return (in_usdt * self.usd_rate("USDT", at)).quantize(CENT)
        return Decimal(str(usd))

    def pin(self, symbol: str, price: Decimal | str) -> ExitStack:
        """Fix a symbol's mark price until the returned stack is closed."""
        self._pinned[symbol] = Decimal(price).quantize(SYMBOLS[symbol].tick)
        undo = ExitStack()
        undo.callback(self._pinned.pop, symbol, None)
        return undo

    def pin_funding_rate(self, symbol: str, rate: Decimal | str) -> ExitStack:
        """Fix a symbol's funding rate until the returned stack is closed."""
        self._pinned_rates[symbol] = Decimal(rate)
        undo = ExitStack()
        undo.callback(self._pinned_rates.pop, symbol, None)
        return undo

    def _draw_waves(self, base_asset: str) -> list[tuple[float, int, float]]:
        draw = random.Random(f"{self._seed}/{base_asset}")
        heights = [draw.uniform(0.5, 1.0) / times for times in (1, 2, 3, 5, 8)]
        return [
            (height / sum(heights), times, draw.random())
            for height, times in zip(heights, (2, 5, 11, 23, 47), strict=True)
        ]
