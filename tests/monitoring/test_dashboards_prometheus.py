"""The dashboards' queries answered by a real Prometheus, over the demo at the bottom of its draw-down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import httpx
from support.expressions import PANELS_WITHOUT_DATA, dashboard_queries
from support.prometheus_server import CONFIGURATION, needs, query, scraping
from support.service import serving

from exporter import config
from exporter.simulator.demo import demo_exchange, write_configuration

if TYPE_CHECKING:
    from pathlib import Path

# A rate needs two scrapes, on a busy machine.
PATIENCE_SECONDS: Final = 240.0


async def test_every_query_is_answered(tmp_path: Path) -> None:
    """Every query returns data, except those of failures, which Prometheus accepts."""
    needs("prometheus")
    queries = {query.name: query.expression for query in dashboard_queries()}
    ahead = 0.0
    async with demo_exchange(seed=1, clock=lambda: time.time() + ahead) as exchange:
        path = write_configuration(exchange.url, exchange.accounts.values(), tmp_path)
        with path.open("a") as file:
            file.write("poll: {interval: 1s, stale_after: 10m}\n")
        ahead = 290.0
        async with serving(config.load(path, {})) as client:
            configuration = CONFIGURATION.format(target=client.base_url.netloc.decode())
            async with scraping(tmp_path, configuration) as (prometheus, _):
                waiting = set(queries) - PANELS_WITHOUT_DATA.keys()
                deadline = time.monotonic() + PATIENCE_SECONDS
                while waiting and time.monotonic() < deadline:
                    with contextlib.suppress(httpx.HTTPError, ValueError):  # it is still starting
                        waiting = {name for name in waiting if not await query(prometheus, queries[name])}
                    await asyncio.sleep(0.5)
                accepted = {name: await query(prometheus, queries[name]) for name in PANELS_WITHOUT_DATA}

    assert set() == waiting
    assert PANELS_WITHOUT_DATA.keys() == accepted.keys()
