"""Methods that an endpoint does not offer or never answers: polls go on without them, and they are tried again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import POSITION, STATUS, V1
from support.polling import Answer, Polled, connected, count_requests, error, pair_of, pass_time

from exporter.account.asset_mode import AssetMode
from exporter.account.queries import CONFIGURATION
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
        pair = pair_of(exchange, connection, asset_mode=AssetMode.SINGLE)
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


async def test_refused_account_does_not_use_up_the_retry(exchange: SimulatedExchange) -> None:
    """A refused account, which sends only its status, leaves the retry of an unavailable method to another account."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        refused, other = pair_of(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer(POSITION, None, error(404, -5000)):
            await other.poll()
        with exchange.replace_answer(STATUS, "alice", error(400, -2015)):
            await refused.poll()
            pass_time(exchange, connection, monotonic, 3600)
            await refused.poll()
            await other.poll()

    assert [True, False] == [
        snapshot.without_risk is None or bool(snapshot.without_risk) for snapshot in other.snapshots
    ]


@pytest.mark.usefixtures("virtual_time")
async def test_unanswered_retry_fails_no_poll(exchange: SimulatedExchange) -> None:
    """When an unavailable method is tried again and still not answered, the poll succeeds, whichever account tries."""
    async with connected(exchange.url) as connection:
        first, second = pair_of(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.lose_answers(POSITION):
            for _ in range(3):
                await first.poll()
                await asyncio.sleep(60)
            await asyncio.sleep(300)
            await second.poll()
            requests = count_requests(exchange, POSITION)
            await asyncio.sleep(310)
            await second.poll()

    assert {Reason.TIMEOUT: 2} == first.state.failures
    assert {} == second.state.failures
    assert 4 == requests
    assert 5 == count_requests(exchange, POSITION)


async def test_reading_ends_for_all_accounts_when_the_method_is_gone(exchange: SimulatedExchange) -> None:
    """When one account learns that the exchange no longer offers a method, no account shows an older reading."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        pair = pair_of(exchange, connection, configuration=True)
        for polled in pair:
            await polled.poll()
        pass_time(exchange, connection, monotonic, 3600)
        with exchange.replace_answer(V1, None, error(404, -5000)):
            await pair[0].poll()
            await pair[0].queries_finished()
        await pair[1].poll()

    assert [True, False] == [snapshot.reading(CONFIGURATION) is not None for snapshot in pair[1].snapshots]
