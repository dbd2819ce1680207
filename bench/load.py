"""The load of a soak test: temporary faults of the exchange, and clients that scrape or disconnect early."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import httpx

from exporter.simulator.fault_catalog import FAULTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from exporter.simulator.server import SimulatedExchange

TIMEOUT_SECONDS: Final = 60.0
# Seconds between two scrapes, and their headers; 20 a second together with those that are aborted.
_SCRAPERS: Final = (
    (0.2, {"Accept-Encoding": "identity"}),
    (0.2, {"Accept-Encoding": "gzip"}),
    (0.2, {"Accept-Encoding": "gzip", "Connection": "close"}),
    (0.5, {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}),
)
_ABORT_EVERY_SECONDS: Final = 1 / 3
# Without faults that rightly stop polling for minutes: weight spent by other programs, a rejected key, a method that no
# longer exists.
_FAULTS: Final = (
    *("handshake-403", "handshake-451", "handshake-503", "handshake-garbage", "handshake-closed", "handshake-silent"),
    *("open-and-close", "short-lived", "cut-frames", "silent", "no-answers", "wrong-ids", "null-ids"),
    *("double-answers", "swapped-answers", "unsolicited", "garbage", "truncated", "nested", "huge", "binary"),
    *("server-errors", "maintenance", "no-rate-limits", "zero-limit", "nonsense-figures", "no-assets", "rows-twice"),
    *("clock-ahead", "clock-behind"),
)
_ACTIONS: Final[dict[str, Callable[[SimulatedExchange], Awaitable[None] | None]]] = {
    "dropped": lambda exchange: exchange.drop_connections(),
    "closed": lambda exchange: exchange.close_connections(1001),
    "shutdown": lambda exchange: exchange.announce_shutdown(1.0),
}
_FIRST_BAN_SECONDS: Final = 5.0
_BAN_EVERY_SECONDS: Final = 700.0  # a second one within ten minutes stops all polling for long


class Load:
    """Faults of `exchange` and scrapes of `url`, counted.

    `answers` counts the scrapes that were not aborted, by status or by the name of the error.
    """

    def __init__(self, exchange: SimulatedExchange, url: str, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.latencies_seconds: list[float] = []
        self.aborted = 0
        self._exchange, self._url = exchange, httpx.URL(url)
        self._random = random.Random(seed)  # noqa: S311 - reproducible by its seed, not a secret
        self._ban_at = time.monotonic() + _FIRST_BAN_SECONDS

    def work(self) -> list[Coroutine[None, None, None]]:
        """Return what to run concurrently until cancelled; no fault is on after that."""
        return [*(self._scrape(*scraper) for scraper in _SCRAPERS), self._abort_scrapes(), self._switch_faults()]

    async def _switch_faults(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.3, 1.2))
            name = "banned" if time.monotonic() >= self._ban_at else self._random.choice((*_FAULTS, *_ACTIONS))
            self.faults[name] += 1
            if name == "banned":
                self._ban_at += _BAN_EVERY_SECONDS
                with self._exchange.ban(
                    3.0
                ):  # over before the end that it reports, so that no request is rejected twice
                    await asyncio.sleep(1.5)
            elif name in _FAULTS:
                with FAULTS[name].switch(self._exchange):
                    await asyncio.sleep(self._random.uniform(0.3, 1.5))
            elif (action := _ACTIONS[name](self._exchange)) is not None:
                await action

    async def _scrape(self, every_seconds: float, headers: dict[str, str]) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS, headers=headers) as client:
            while True:
                began = time.perf_counter()
                try:
                    answer = await client.get(self._url)
                    self.answers[str(answer.status_code)] += 1
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1
                spent = time.perf_counter() - began
                self.latencies_seconds.append(spent)
                await asyncio.sleep(max(0.0, every_seconds - spent))

    async def _abort_scrapes(self) -> None:
        while True:
            await asyncio.sleep(_ABORT_EVERY_SECONDS)
            accept = self._random.choice(("*/*", "application/openmetrics-text"))
            request = f"GET {self._url.path} HTTP/1.1\r\nHost: soak\r\nAccept: {accept}\r\n\r\n"
            with contextlib.suppress(OSError):  # the next sample notices an exporter that has ended
                reader, writer = await asyncio.open_connection(self._url.host, self._url.port)
                try:
                    writer.write(request.encode())
                    await reader.read(self._random.choice((0, 1000)))
                finally:
                    writer.transport.abort()
                self.aborted += 1
