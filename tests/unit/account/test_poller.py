"""Polling one account: what a good poll publishes, how old it is, and what is warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import STATUS
from support.polling import Polled, altered, connected

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_good_poll_publishes(exchange: SimulatedExchange) -> None:
    """A good answer becomes one complete snapshot, and the account is up and fresh."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        state = await polled.poll()
        now = connection.clock.monotonic()

    (snapshot,) = polled.snapshots
    assert ["BTCUSDT"] == [position.symbol for position in snapshot.positions]
    assert AssetMode.SINGLE is snapshot.asset_mode is state.asset_mode
    assert (1, 0, 1) == (state.polls, sum(state.failures.values()), polled.polls_over)
    assert snapshot.answered_at == state.answered_at
    assert state.is_up(now)
    assert state.first_poll_finished
    assert state.last_success_unix


async def test_null_error_is_none(exchange: SimulatedExchange) -> None:
    """An answer whose error is null is a good one."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", lambda answer: answer | {"error": None}):
            state = await polled.poll()

    assert state.last_poll_succeeded


async def test_closed_position_is_dropped_at_the_next_poll(exchange: SimulatedExchange) -> None:
    """A position that was closed is not in the next snapshot."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        exchange.account("alice").close("BTCUSDT")
        await polled.poll()

    assert [1, 0] == [snapshot.open_positions for snapshot in polled.snapshots]


@pytest.mark.usefixtures("virtual_time")
async def test_slow_answers_fit_into_a_short_interval(exchange: SimulatedExchange) -> None:
    """Answers that take most of the interval fail no poll, those about the asset mode included."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.delay_answers(0.7):
            for _ in range(3):
                state = await polled.poll(within=1.0)

    assert {} == state.failures
    assert 3 == len(polled.snapshots)


async def test_age_counts_from_the_request(exchange: SimulatedExchange) -> None:
    """A response that was long in transit is as old as its request, since the exchange may have sent it at once."""
    monotonic = Monotonic()

    def late(answer: dict[str, Any]) -> dict[str, Any]:
        monotonic.ahead += 7
        return answer

    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, position_risk=False, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer("v2/account.status", "alice", late):
            state = await polled.poll(within=60.0)

    assert state.answered_at is not None
    assert state.stale_at <= state.answered_at + 60.0 - 7.0


async def test_stretched_interval_does_not_bring_back_stale_data(exchange: SimulatedExchange) -> None:
    """Figures that have vanished stay away when the intervals are stretched later, and their staleness with them."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        state = await polled.poll()
        monotonic.ahead += 61
        was_fresh = state.is_fresh(monotonic())
        state.stretch(10.0)

        assert not was_fresh
        assert not state.is_fresh(monotonic())


async def test_unknown_margin_asset_is_warned_of_once(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A position with an unknown margin asset leaves all cross ratios unknown, with a single warning."""
    strange = altered(lambda result: result["positions"][0].update(symbol="BTCEUR"))
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, position_risk=False)
        with exchange.replace_answer(STATUS, "alice", strange):
            for _ in range(3):
                await polled.poll()
        await polled.poll()

    unknown = [{pool.ratio for pool in cross_pools(snapshot)} for snapshot in polled.snapshots]
    assert [{None}] * 3 == unknown[:3]
    assert None not in unknown[3]
    (event,) = [event for event in logged if event["event"] == "margin ratios unknown"]
    assert ("alice", ["BTCEUR: margin asset unknown"]) == (event["account"], event["missing"])
