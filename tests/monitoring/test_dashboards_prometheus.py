"""The dashboards' queries answered by a real Prometheus, over the demo at the bottom of its draw-down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import httpx
from support.dashboards import NAMES, filled, load
from support.prometheus_server import CONFIGURATION, needs, query, scraping
from support.service import serving

from exporter import config
from exporter.simulator.demo import demo_exchange, write_configuration

if TYPE_CHECKING:
    from pathlib import Path

# What is empty as long as all goes well.
EMPTY: Final = {
    "accounts: Failed polls by account and reason A",
    "exporter: Failed polls by reason A",
    "exporter: Connections opened and ended B",
    "exporter: Frames that belong to no request A",
}
# A rate wants two scrapes, on a machine with other work.
PATIENCE_SECONDS: Final = 240.0


async def test_every_query_is_answered(tmp_path: Path) -> None:
    """Every query has data but for those of failures, and Prometheus has nothing against any."""
    needs("prometheus")
    queries = {
        f"{name}: {panel['title']} {target['refId']}": filled(target["expr"])
        for name in NAMES
        for panel in load(name)["panels"]
        for target in panel["targets"]
    }
    ahead = 0.0
    async with demo_exchange(seed=1, clock=lambda: time.time() + ahead) as exchange:
        path = write_configuration(exchange.url, exchange.accounts.values(), tmp_path)
        with path.open("a") as file:
            file.write("poll: {interval: 1s, stale_after: 10m}\n")
        ahead = 290.0
        async with serving(config.load(path, {})) as client:
            configuration = CONFIGURATION.format(target=client.base_url.netloc.decode())
            async with scraping(tmp_path, configuration) as (asking, _):
                waiting = set(queries) - EMPTY
                deadline = time.monotonic() + PATIENCE_SECONDS
                while waiting and time.monotonic() < deadline:
                    with contextlib.suppress(httpx.HTTPError, ValueError):  # it is still starting
                        waiting = {name for name in waiting if not await query(asking, queries[name])}
                    await asyncio.sleep(0.5)
                accepted = {name: await query(asking, queries[name]) for name in EMPTY}

    assert set() == waiting
    assert EMPTY == accepted.keys()
