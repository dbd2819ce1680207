"""Reads funding rates and prices of an endpoint; shows only those of symbols and assets that an account holds."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog

from exporter.binance.errors import DecodeError, ExchangeError, classify
from exporter.repeat_filter import RepeatFilter
from exporter.rest.reader import Reader, Reading
from exporter.rest.requests import (
    ALL_SYMBOLS_WEIGHT,
    DEFAULT_FUNDING_HOURS,
    RestPath,
    decode_asset_index,
    decode_funding_info,
    decode_premium_index,
    is_dated,
)
from exporter.supervision import Workers

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.errors import BinanceError, Reason
    from exporter.rest.client import RestClient
    from exporter.rest.requests import Funding
    from exporter.rest.state import RestSettings

log = structlog.get_logger()

_FUNDING_INFO_SECONDS: Final = 600.0  # intervals rarely change, and only 500 requests in 5 minutes are allowed
_INVALID_SYMBOL: Final = -1121


class Market:
    """Reads what `settings` enable for one endpoint.

    Args:
        label: the endpoint's label.
        client: sends the requests.
        clock: the endpoint's clock.
        settings: what to read, and how often.
        held_symbols: returns the symbols of the positions that accounts of this endpoint hold.
        held_assets: returns the assets that they hold.
        failures: counts failures by reason.
    """

    def __init__(
        self,
        label: str,
        client: RestClient,
        clock: ExchangeClock,
        settings: RestSettings,
        held_symbols: Callable[[], set[str]],
        held_assets: Callable[[], set[str]],
        failures: Counter[Reason],
    ) -> None:
        self.label = label
        self.client = client
        self._clock = clock
        self._failures = failures
        self._logged = RepeatFilter(clock.monotonic)
        self._held_symbols = held_symbols
        self._held_assets = held_assets
        self._funding: Reader[dict[str, Funding]] | None = None
        self._intervals: Reader[dict[str, int]] | None = None
        self._prices: Reader[dict[str, float]] | None = None
        self.planned: list[tuple[int, float]] = []  # the weight of each request, and its interval in seconds
        common: tuple[Any, ...] = (client.budget, clock, failures)
        if settings.funding_interval_seconds is not None:
            interval = settings.funding_interval_seconds
            self._funding = Reader({"endpoint": label, "read": "funding"}, interval, self._read_funding, *common)
            self._intervals = Reader(
                {"endpoint": label, "read": "funding intervals"}, _FUNDING_INFO_SECONDS, self._read_intervals, *common
            )
            self.planned.append((ALL_SYMBOLS_WEIGHT, interval))
        if settings.prices_interval_seconds is not None:
            interval = settings.prices_interval_seconds
            self._prices = Reader({"endpoint": label, "read": "prices"}, interval, self._read_prices, *common)
            self.planned.append((ALL_SYMBOLS_WEIGHT, interval))

    async def run(self) -> NoReturn:
        """Read until cancelled; no failure ends it."""
        workers = Workers[Reader[Any]]()
        readers: tuple[Reader[Any] | None, ...] = (self._intervals, self._funding, self._prices)
        for reader in readers:
            if reader:
                workers.start(f"REST of {self.label}", reader)
        try:
            await asyncio.Event().wait()
        finally:
            await workers.end_all()
            await self.client.close()
        raise AssertionError

    @property
    def funding(self) -> dict[str, Funding]:
        """The next funding of the symbols that are held, by symbol; one that is already settled is left out."""
        funding = (self._funding and self._funding.result) or {}
        now = self._clock.seconds
        symbols = sorted(self._held_symbols() & funding.keys())
        return {symbol: funding[symbol] for symbol in symbols if now < funding[symbol].next_unix}

    def funding_hours(self, symbol: str) -> int | None:
        """Return the hours between two fundings of a symbol, None if unknown."""
        hours = self._intervals.result if self._intervals else None
        return None if hours is None else hours.get(symbol, DEFAULT_FUNDING_HOURS)

    @property
    def prices(self) -> dict[str, float]:
        """The prices of the assets that are held, in USD by asset."""
        prices = (self._prices and self._prices.result) or {}
        return {asset: prices[asset] for asset in sorted(self._held_assets() & prices.keys())}

    async def _read_funding(self) -> Reading[dict[str, Funding]] | None:
        symbols = sorted(self._held_symbols())
        if len(symbols) >= ALL_SYMBOLS_WEIGHT:
            response = await self.client.get(RestPath.PREMIUM_INDEX, ALL_SYMBOLS_WEIGHT)
            funding = decode_premium_index(response.body)
            for symbol in symbols:
                if symbol not in funding and not is_dated(symbol):
                    self._without_funding(symbol, DecodeError("response", f"contains no funding rate of {symbol}"))
            return Reading(funding, response.asked_at)
        readings = [await self._read_funding_of(symbol) for symbol in symbols]
        if not readings:
            return None
        funding = {symbol: value for reading in readings for symbol, value in reading.result.items()}
        return Reading(funding, min(reading.asked_at for reading in readings))

    async def _read_funding_of(self, symbol: str) -> Reading[dict[str, Funding]]:
        try:
            response = await self.client.get(RestPath.PREMIUM_INDEX, 1, {"symbol": symbol})
            return Reading(decode_premium_index(response.body), response.asked_at)
        except DecodeError as error:
            return self._without_funding(symbol, error)
        except ExchangeError as error:
            if error.code != _INVALID_SYMBOL:
                raise
            return Reading({}, math.inf)  # delisted while it is held: the others have funding

    def _without_funding(self, symbol: str, error: BinanceError) -> Reading[dict[str, Funding]]:
        """Count and log that the funding of one symbol is unknown; the others have funding."""
        self._failures[classify(error).reason] += 1
        if self._logged.is_due((symbol, str(error))):
            log.warning("funding of a symbol unknown", endpoint=self.label, symbol=symbol, error=str(error))
        return Reading({}, math.inf)

    async def _read_intervals(self) -> Reading[dict[str, int]] | None:
        if not self._held_symbols():
            return None
        response = await self.client.get(RestPath.FUNDING_INFO, 0)
        return Reading(decode_funding_info(response.body), response.asked_at)

    async def _read_prices(self) -> Reading[dict[str, float]] | None:
        if not self._held_assets():
            return None
        response = await self.client.get(RestPath.ASSET_INDEX, ALL_SYMBOLS_WEIGHT)
        return Reading(decode_asset_index(response.body), response.asked_at)
