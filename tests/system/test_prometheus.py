"""The demo, scraped by a real Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.prometheus_server import CONFIGURATION, query, scraping, until_all_are_up
from support.service import configured, serving
from support.tools import needs

from exporter.simulator.demo import demo_exchange

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus


async def test_prometheus_scrapes_without_a_warning(tmp_path: Path) -> None:
    """A real Prometheus scrapes every sample, gzipped, and logs no warning."""
    needs("prometheus")
    async with demo_exchange(seed=1) as exchange, serving(configured(exchange, tmp_path)) as client:
        configuration = CONFIGURATION.format(target=client.base_url.netloc.decode())
        async with scraping(tmp_path, configuration) as (prometheus, complaints):
            await until_all_are_up(prometheus)
            scraped = await query(prometheus, "up")
            balances = await query(prometheus, "binance_futures_account_margin_balance")

    assert ["1"] == [series["value"][1] for series in scraped]
    assert {"main", "multi", "hedge", "isolated"} == {series["metric"]["account"] for series in balances}
    assert [] == complaints
