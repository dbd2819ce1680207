"""Runs the whole exporter in this process, and scrapes it."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from exporter.app.service import Service, WebSettings
from exporter.config import exporter_yml
from exporter.simulator.demo import write_configuration
from exporter.web.listen_address import ListenAddress
from support.http_clients import http_client
from support.polling import FAST
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import httpx

    from exporter.binance.host_clock import HostClock
    from exporter.config.exporter_yml import Config
    from exporter.simulator import SimulatedExchange


Series = tuple[str, frozenset[tuple[str, str]]]
Samples = dict[Series, float]


def configured(exchange: SimulatedExchange, directory: Path, *, stale_after: str = "60s") -> Config:
    """Load a configuration for all accounts of an exchange, polled every second."""
    path = write_configuration(exchange.url, exchange.accounts.values(), directory)
    with path.open("a") as file:
        file.write(f"poll: {{interval: 1s, stale_after: {stale_after}}}\n")
    return exporter_yml.load(path, {})


@contextlib.asynccontextmanager
async def serving(loaded: Config, host: HostClock | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Run the whole exporter on a free port; yield a client of it."""
    service = Service(loaded, WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)), FAST, host=host)
    async with running(service) as client:
        yield client


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Run a service, which listens on one address; yield a client of it."""
    (url,) = service.bind()
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        async with http_client(url) as client:
            yield client
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await task


async def scrape(client: httpx.AsyncClient) -> Samples:
    """Scrape once; fail on two samples with the same name and labels."""
    answer = await client.get("/metrics")
    assert 200 == answer.status_code
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    samples = {_series(series): float(value) for series, _, value in (line.rpartition(" ") for line in lines)}
    assert len(lines) == len(samples)
    return samples


@cache  # most series are in every scrape, and parsing takes longer than all else that tests do
def _series(series: str) -> Series:
    (family,) = text_string_to_metric_families(f"{series} 0\n")
    (sample,) = family.samples
    return sample.name, frozenset(sample.labels.items())


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """Return the value of a series, None if it is absent."""
    return samples.get((f"binance_futures_{name}", frozenset(labels.items())))


async def until_sample(client: httpx.AsyncClient, expected: float | None, name: str, **labels: str) -> Samples:
    """Scrape until a series has a value (None: is absent); return that scrape."""
    return await until_scraped(client, lambda samples: value(samples, name, **labels) == expected)


async def until_counted(client: httpx.AsyncClient, least: float, name: str, **labels: str) -> Samples:
    """Scrape until a counter has at least a value; return that scrape."""
    return await until_scraped(client, lambda samples: (value(samples, name, **labels) or 0.0) >= least)


async def until_scraped(client: httpx.AsyncClient, condition: Callable[[Samples], object]) -> Samples:
    """Scrape until the samples meet a condition; return them."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition(samples := await scrape(client)):  # noqa: ASYNC110 - a series has no event
            await asyncio.sleep(0.5)
    return samples
