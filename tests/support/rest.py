"""REST clients of a simulated exchange."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from exporter.binance.clock import ExchangeClock
from exporter.binance.errors import BinanceError
from exporter.binance.histogram import Histogram
from exporter.binance.weight import WeightBudget
from exporter.rest.client import RestClient
from exporter.rest.requests import RestPath
from exporter.simulator.answer_edits import http
from exporter.simulator.toggles import REST
from support.virtual_time import VirtualTimeLoop, now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from exporter.simulator import SimulatedExchange


class Client(RestClient):
    """A client with a separate clock and budget; `resyncs` counts its requests for the exchange's time."""

    def __init__(
        self, url: str, proxy: str | None = "none", pause: Callable[[], None] = lambda: None, **budget: Any
    ) -> None:
        self.clock = ExchangeClock(now if isinstance(asyncio.get_running_loop(), VirtualTimeLoop) else time.time)
        self.resyncs = 0
        self.exchange_ahead_seconds = 0.0  # what a resync finds
        self.durations = defaultdict[RestPath, Histogram](Histogram)
        weight = WeightBudget(0.1, self.clock, yield_fraction=0.5, unplanned_weight=0, min_allowance=30, **budget)
        super().__init__(url, proxy, weight, self.clock, pause, self._resync, self.durations)

    async def _resync(self, since: float) -> None:
        assert since <= self.clock.monotonic()
        self.resyncs += 1
        now = self.clock.monotonic()
        self.clock.synchronize(int((self.clock.host.wall() + self.exchange_ahead_seconds) * 1000), now, now)


@asynccontextmanager
async def client_of(url: str, *arguments: Any, **options: Any) -> AsyncIterator[Client]:
    """Yield a client of a host, and close its connections."""
    client = Client(url, *arguments, **options)
    try:
        yield client
    finally:
        await client.close()
        await asyncio.sleep(0)


def replace_rest(
    exchange: SimulatedExchange, status: int, body: Any = "", headers: dict[str, str] | None = None
) -> None:
    """Replace all REST responses from now on."""
    exchange.replace_answer(REST, None, http(status, body, headers))


async def failure(client: Client, kind: type[BinanceError] = BinanceError) -> BinanceError:
    """Return the error of a request that must fail."""
    with pytest.raises(kind) as raised:
        await client.get(RestPath.ASSET_INDEX, 10)
    return raised.value
