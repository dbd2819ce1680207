"""The whole text of /metrics for each shape of account, from real polls of the demo's exchange with its clock held."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
from support.builders import samples, without_comments
from support.clocks import Clock
from support.paths import DATA
from support.polling import Polled, connected
from support.prometheus_server import promtool

from exporter.account.margin import cross_pools, isolated_pools
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.self_metrics import SelfMetrics
from exporter.simulator.demo import demo_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GOLDEN: Final = DATA / "golden"
SHAPES: Final = ["main", "multi", "hedge", "isolated"]
MIDNIGHT: Final = 1_700_006_400.0

# What is another number in each run, and is of no account: the host's clock beside the exchange's held one, when this
# host had its success, and the versions. Histogram and weights stay: the clock that measures them is held, too.
VARYING: Final = (
    (r"^(binance_futures_(?:clock_offset|last_success_timestamp)_seconds\{.*\}) .*$", r"\1 0.0"),
    (r'(python_version|revision|version)="[^"]*"', r'\1="…"'),
)


@asynccontextmanager
async def polled(name: str) -> AsyncIterator[tuple[Polled, Exposition, Clock]]:
    """Make the poller of a demo's account and what shows it; exchange and exporter go by the same clock."""
    clock = Clock(MIDNIGHT)
    async with demo_exchange(seed=1, clock=clock) as exchange, connected(exchange.url, monotonic=clock) as connection:
        account = Polled(exchange, connection, name)
        program = Program([connection], last_reload_success_unix=MIDNIGHT)
        health = SelfMetrics(program, lambda: [account.state], clock, process_metrics=False)
        yield account, Exposition(health.render, clock), clock


async def scrape(name: str) -> str:
    """Return the text of a scrape after one poll at the story's beginning, without what varies."""
    async with polled(name) as (account, exposition, _):
        await account.poll()
        exposition.publish(account.state, account.snapshots[-1])
        text = bytes(exposition.body()).decode()
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize("name", SHAPES)
async def test_golden_shape(name: str) -> None:
    """The samples of each shape are as they were, and Prometheus' own linter has no complaint.

    UPDATE_GOLDEN=1 writes them, to be read before they are kept.
    """
    golden = GOLDEN / f"shape_{name}.txt"
    whole = await scrape(name)
    text = without_comments(whole)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")

    assert golden.read_text(encoding="utf-8") == text
    assert samples(text.encode())[f'binance_futures_up{{account="{name}"}}'] == 1.0
    assert (0, "") == await asyncio.to_thread(promtool, "check", "metrics", text=whole)


async def test_isolated_story() -> None:
    """In ten minutes the highest isolated ratio goes above 0.8, and never to 1 where liquidation is."""
    highest = [
        max(pool.ratio for pool in isolated_pools(account.snapshots[-1]) if pool.ratio is not None)
        async for account in through_the_story("isolated", step=10)
    ]

    assert 60 == len(highest)
    assert 0.8 < max(highest) < 1


async def test_multi_story() -> None:
    """In ten minutes multi-assets mode has exactly one cross pool, in USD, whatever it holds."""
    pools = [
        [(pool.margin_asset, pool.ratio is not None) for pool in cross_pools(account.snapshots[-1])]
        async for account in through_the_story("multi", step=30)
    ]

    assert [[("USD", True)]] * 20 == pools


async def through_the_story(name: str, step: int) -> AsyncIterator[Polled]:
    """Poll an account every `step` seconds of the story's ten minutes."""
    async with polled(name) as (account, _, clock):
        for second in range(0, 600, step):
            clock.now = MIDNIGHT + second
            assert (await account.poll()).last_poll_succeeded, account.state.last_failure
            yield account
