"""The reader: intervals, delays after failures, and staleness."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Clock

from exporter.binance.clock import ExchangeClock
from exporter.binance.errors import BinanceError, DecodeError, ExchangeError, NoResponse, Paused, Reason
from exporter.binance.weight import WeightBudget
from exporter.rest.reader import Reader, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400.0


class Source:
    """What a reader reads: a number, nothing yet, or an error."""

    def __init__(self, interval: float = 60.0, stale_after: float | None = None) -> None:
        self.now = Clock(0.0)
        self.clock = ExchangeClock(self.now, self.now)
        self.budget = WeightBudget(0.5, self.clock)
        self.failures: Counter[Reason] = Counter()
        self.returns: float | BinanceError | None = None
        arguments: tuple[Any, ...] = (self.budget, self.clock, self.failures, stale_after)
        self.reader: Reader[float] = Reader({"endpoint": "mainnet"}, interval, self._read, *arguments)

    async def read(self, returns: float | BinanceError | None) -> float:
        """Read once, and return the delay until the next time."""
        self.returns = returns
        return await self.reader.read_once()

    async def _read(self) -> Reading[float] | None:
        if isinstance(self.returns, BinanceError):
            raise self.returns
        return None if self.returns is None else Reading(self.returns, self.clock.host.data_time())


async def delays(source: Source, error: BinanceError, times: int) -> list[float]:
    """Return the delays after so many failures in a row."""
    return [await source.read(error) for _ in range(times)]


@pytest.mark.parametrize(("interval", "stale_after", "seconds"), [(60.0, None, 180.0), (DAY, 2.5 * DAY, 2.5 * DAY)])
async def test_stale(interval: float, stale_after: float | None, seconds: float) -> None:
    """A result is shown until it is three intervals old, that of a key check 2.5 days, failures or not."""
    source = Source(interval, stale_after)
    await source.read(1.5)
    await source.read(NoResponse("no"))
    source.now.now = seconds - 1
    assert 1.5 == source.reader.result
    source.now.now = seconds
    assert source.reader.result is None


async def test_stretched() -> None:
    """A plan above the share stretches the interval and the staleness by the same factor."""
    source = Source()
    source.budget.plan([(3600, 60.0)])
    stretch = source.budget.stretch
    assert stretch > 3
    assert 60 * stretch == await source.read(1.0)
    source.now.now = 180 * stretch - 1
    assert 1.0 == source.reader.result
    source.now.now += 1
    assert source.reader.result is None


async def test_delays_after_failures() -> None:
    """After failures in a row the delay doubles from the interval to 15 minutes, and a result ends that."""
    source = Source()
    assert [60, 120, 240, 480, 900, 900] == await delays(source, DecodeError("response", "no"), 6)
    assert 60 == await source.read(1.0)
    assert 60 == await source.read(NoResponse("no"))
    assert {Reason.DECODE: 6, Reason.TIMEOUT: 1} == source.failures


async def test_delays_of_a_day() -> None:
    """What is read once a day is read again an hour after a failure, then after doubling delays up to a day."""
    hours = [seconds / 3600 for seconds in await delays(Source(DAY), NoResponse("no"), 7)]

    assert [1, 2, 4, 8, 16, 24, 24] == hours


@pytest.mark.parametrize(("status", "code"), [(401, -2015), (404, -5000), (400, -1121), (403, -1002)])
async def test_refusal(status: int, code: int) -> None:
    """What the host refuses is requested again after an hour."""
    assert 3600 == await Source().read(ExchangeError(status, code, "no"))


@pytest.mark.parametrize(("seconds", "delay"), [(30, 60), (500, 500), (10 * DAY, DAY)])
async def test_reported_end(seconds: float, delay: float) -> None:
    """A later end that an error reports is waited for, up to a day."""
    source = Source()
    source.now.now = 1000.0
    error = ExchangeError(503, None, "no", retry_at_ms=int((1000 + seconds) * 1000))

    assert delay == await source.read(error)


async def test_pause() -> None:
    """A pause is waited for, but does not lengthen the delay after it; it counts under its reason."""
    source = Source()
    assert [500, 500, 500] == await delays(source, Paused(Reason.BANNED, 500.0), 3)
    assert 60 == await source.read(NoResponse("no"))
    assert 3 == source.failures[Reason.BANNED]


async def test_pause_that_the_request_began() -> None:
    """The pause that a response began is waited for."""
    source = Source()
    source.budget.pause(Reason.RATE_LIMITED, 400_000)

    assert await source.read(ExchangeError(429, -1003, "no")) >= 400


async def test_nothing_yet() -> None:
    """As long as there is nothing to request the reader looks again every second, and nothing has failed."""
    source = Source()

    assert 1 == await source.read(None)
    assert source.reader.result is None
    assert not source.failures


async def test_failures_are_logged_once(logged: list[Any]) -> None:
    """A lasting failure is logged once in 5 minutes, and again after a success."""
    source = Source()
    for error in (*[NoResponse("no")] * 3, DecodeError("response", "no"), None):
        await source.read(error or 1.0)
    await source.read(NoResponse("no"))
    texts: Iterator[str] = (event["error"] for event in logged)

    assert ["no", "response: no", "no"] == list(texts)
    assert {"event": "REST request failed", "endpoint": "mainnet", "log_level": "warning", "error": "no"} == logged[0]
