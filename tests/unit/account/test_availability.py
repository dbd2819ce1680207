"""Position risk that an endpoint does not offer or never answers: polls go on without it, and it is tried again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import POSITION
from support.polling import Answer, Polled, connected, count_requests, error, pass_time

from exporter.account.asset_mode import AssetMode
from exporter.account.availability import MethodAvailability
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator import SimulatedExchange


@pytest.mark.parametrize("unknown_method", [error(404, -5000, "Method v2/account.position is invalid"), error(404, -1)])
async def test_unknown_position_risk_applies_to_the_whole_endpoint(
    exchange: SimulatedExchange, logged: list[Any], unknown_method: Callable[[Answer], Answer]
) -> None:
    """Without position risk polls use the status; one account tries it hourly, it is logged once, and used again."""
    monotonic = Monotonic()
    counts = []
    async with connected(exchange.url, monotonic=monotonic) as connection:
        availability = MethodAvailability(connection)
        pair = [
            Polled(exchange, connection, name, availability=availability, asset_mode=AssetMode.SINGLE)
            for name in ("alice", "bob")
        ]
        with exchange.replace_answer(POSITION, None, unknown_method):
            for _ in range(3):
                for polled in (*pair, *pair):
                    await polled.poll()
                counts.append(count_requests(exchange, POSITION))
                pass_time(exchange, connection, monotonic, 3600)
        for polled in pair:
            await polled.poll()

    assert [1, 2, 3] == counts
    for polled in pair:
        assert [*[()] * 6, ("BTCUSDT",)] == [tuple(r.symbol for r in one.risks) for one in polled.snapshots]
        assert ["USDT"] * 7 == [position.margin_asset for one in polled.snapshots for position in one.held]
        assert {} == polled.state.failures
    assert ["endpoint"] == [next(iter(event)) for event in logged if event["log_level"] == "error"]
    assert ["alice", "bob"] == sorted(event["account"] for event in logged if event["log_level"] == "warning")


@pytest.mark.usefixtures("virtual_time")
async def test_position_risk_that_is_never_answered_is_given_up(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """The third unanswered position risk request in a row does not fail the poll: only the status is used."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.lose_answers(POSITION):
            for _ in range(4):
                await polled.poll()
                await asyncio.sleep(60)
            requests = count_requests(exchange, POSITION)
        await asyncio.sleep(300)
        state = await polled.poll()

    assert ({Reason.TIMEOUT: 2}, 3) == (state.failures, requests)
    assert [0, 0, 1] == [len(snapshot.risks) for snapshot in polled.snapshots]
    assert [1, 1, 0] == [len(snapshot.risk_missing or ()) for snapshot in polled.snapshots]
    assert 1 == len([event for event in logged if event["log_level"] == "error"])
