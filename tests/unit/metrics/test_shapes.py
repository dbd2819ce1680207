"""The whole text of /metrics for each shape of account, from real polls of the demo's exchange with its clock held."""

from __future__ import annotations

import asyncio

import pytest
from support.builders import samples, without_comments
from support.golden import GOLDEN, SHAPES, shape_scrape
from support.prometheus_server import promtool


@pytest.mark.prometheus
@pytest.mark.parametrize("name", SHAPES)
async def test_golden_shape(name: str) -> None:
    """The samples of each shape are the committed ones, and promtool finds no problem; `make generate` writes them."""
    whole = await shape_scrape(name)
    text = without_comments(whole)

    assert (GOLDEN / f"shape_{name}.txt").read_text(encoding="utf-8") == text
    assert samples(text.encode())[f'binance_futures_up{{account="{name}"}}'] == 1.0
    assert (0, "") == await asyncio.to_thread(promtool, "check", "metrics", text=whole)
