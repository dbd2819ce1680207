"""The whole text of /metrics for each shape of account, from real polls of the demo's exchange with its clock held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.builders import samples, without_comments
from support.golden import GOLDEN, MIDNIGHT, SHAPES, polled, shape_scrape
from support.prometheus_server import promtool

from exporter.account.margin import cross_pools, isolated_pools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.polling import Polled


@pytest.mark.parametrize("name", SHAPES)
async def test_golden_shape(name: str) -> None:
    """The samples of each shape are the committed ones, and promtool finds no problem; `make generate` writes them."""
    whole = await shape_scrape(name)
    text = without_comments(whole)

    assert (GOLDEN / f"shape_{name}.txt").read_text(encoding="utf-8") == text
    assert samples(text.encode())[f'binance_futures_up{{account="{name}"}}'] == 1.0
    assert (0, "") == await asyncio.to_thread(promtool, "check", "metrics", text=whole)


@pytest.mark.no_cover
async def test_isolated_scenario() -> None:
    """In ten minutes the highest isolated ratio goes above 0.8, and never to 1 where liquidation is."""
    highest = [
        max(pool.ratio for pool in isolated_pools(account.snapshots[-1]) if pool.ratio is not None)
        async for account in through_the_scenario("isolated", step=10)
    ]

    assert 60 == len(highest)
    assert 0.8 < max(highest) < 1


async def test_multi_scenario() -> None:
    """In ten minutes multi-assets mode has exactly one cross pool, in USD, whatever it holds."""
    pools = [
        [(pool.margin_asset, pool.ratio is not None) for pool in cross_pools(account.snapshots[-1])]
        async for account in through_the_scenario("multi", step=30)
    ]

    assert [[("USD", True)]] * 20 == pools


async def through_the_scenario(name: str, step: int) -> AsyncIterator[Polled]:
    """Poll an account every `step` seconds of the scenario's ten minutes."""
    async with polled(name) as (account, _, clock):
        for second in range(0, 600, step):
            clock.now = MIDNIGHT + second
            assert (await account.poll()).last_poll_succeeded, account.state.last_failure
            yield account
