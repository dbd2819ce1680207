"""The polls of accounts whose keys the exchange refuses."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count, pairwise
from typing import TYPE_CHECKING

import pytest
from support.counting_exchange import Exchange, Query, running
from support.methods import STATUS, V1
from support.virtual_time import now
from support.waiting import until

from exporter.account.asset_mode import AssetMode
from exporter.account.pacing import EndpointPacing, refusal_delay
from exporter.binance.errors import Reason
from exporter.simulator.answer_edits import error

if TYPE_CHECKING:
    from exporter.simulator.answer_edits import Replacement

pytestmark = pytest.mark.usefixtures("virtual_time")


def max_in_a_minute(requests: list[Query]) -> int:
    """Return the number of requests in the busiest 60 seconds."""
    times = [request.at for request in requests]
    return max(sum(begin <= at < begin + 59.9 for at in times) for begin in times)


@pytest.mark.parametrize(
    ("interval", "delays"),
    [
        (1.0, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (15.0, [15, 30, 60, 120, 240, 300, 300]),
        (3600.0, [300, 300]),
    ],
)
def test_delays_double(interval: float, delays: list[float]) -> None:
    """The delay begins with an interval and doubles up to five minutes."""
    assert delays == [refusal_delay(refusals, interval) for refusals in range(1, len(delays) + 1)]


async def test_bad_key_costs_little() -> None:
    """A bad key costs at most eight requests in two minutes, after the first poll all of them for the status."""
    async with Exchange() as exchange:
        exchange.revoke("trader0")
        async with running(exchange, interval_seconds=5.0) as fleet:
            await asyncio.sleep(120)
        requests = exchange.queries()
        (state,) = fleet.states

    assert len(requests) <= 8
    assert {STATUS} == {request.method for request in requests if request.at > requests[0].at + 1}
    assert {Reason.REFUSED: state.polls} == state.failures
    assert 23 <= state.polls <= 25


@pytest.mark.no_cover
async def test_delays_of_a_bad_key_among_good_ones() -> None:
    """Accounts that were never refused do not shorten the delays of one that is."""
    async with Exchange(3) as exchange:
        exchange.revoke("trader0")
        async with running(exchange, interval_seconds=5.0, asset_mode=AssetMode.SINGLE):
            await asyncio.sleep(1200)
        request_times = [request.at for request in exchange.queries() if request.account == "trader0"][1:]

    delays = [later - earlier for earlier, later in pairwise(request_times)]
    assert [10, 20, 40, 80, 160, 300, 300] == pytest.approx(delays[-7:], abs=1)


@pytest.mark.parametrize("refusal", [error(401, code=-2015, msg="x"), error(404, code=-5000, msg="x")])
async def test_spuriously_refused_key_is_back_within_two_polls(refusal: Replacement) -> None:
    """A good key that is refused once is polled again at the next interval."""
    async with Exchange() as exchange, running(exchange, interval_seconds=5.0) as fleet:
        (state,) = fleet.states
        await until(lambda: state.last_poll_succeeded)
        with exchange.replace_answer(STATUS, None, refusal):
            await until(lambda: state.refused)
        polls = state.polls
        await until(lambda: state.last_poll_succeeded)

    assert polls + 1 == state.polls
    assert {Reason.REFUSED: 1} == state.failures


async def test_slow_responses_do_not_keep_a_good_key_out() -> None:
    """The first accepted poll sends its requests one after the other, and may take longer than an interval."""
    async with (
        Exchange() as exchange,
        running(exchange, interval_seconds=1.0, asset_mode=AssetMode.SINGLE) as fleet,
    ):
        (state,) = fleet.states
        exchange.revoke("trader0")
        await until(lambda: state.refused)
        exchange.delay_answers(0.7)
        exchange.restore("trader0")
        await until(lambda: not state.refused)

    assert {Reason.REFUSED: state.polls - 1} == state.failures


async def test_mode_is_requested_once_the_key_is_accepted() -> None:
    """V1 is not requested while the key is refused, but in the same poll in which it is accepted."""
    async with Exchange() as exchange:
        exchange.account("trader0").multi_assets = True
        exchange.revoke("trader0")
        async with running(exchange, interval_seconds=5.0) as fleet:
            await asyncio.sleep(60)
            refused = exchange.queries(V1)
            exchange.restore("trader0")
            (state,) = fleet.states
            await until(lambda: state.last_poll_succeeded)

    assert len(refused) <= 1
    assert len(refused) + 1 == len(exchange.queries(V1))
    assert AssetMode.MULTI is state.asset_mode


@pytest.mark.no_cover
async def test_fifty_keys_take_turns() -> None:
    """Fifty keys refused at once are retried 12 times a minute together, each as often as any other."""
    async with Exchange(50, weight_limit=100_000) as exchange:
        async with running(exchange, asset_mode=AssetMode.SINGLE) as fleet:
            await asyncio.sleep(60)
            for name in exchange.accounts:
                exchange.revoke(name)
            await asyncio.sleep(16)
            before = [state.polls for state in fleet.states]
            await asyncio.sleep(600)
            polls = [state.polls - polls for state, polls in zip(fleet.states, before, strict=True)]
        requests = [request for request in exchange.queries() if request.at > 60 + 16]
        counts = Counter(request.account for request in requests)

    assert {STATUS} == {request.method for request in requests}
    assert 12 >= max_in_a_minute(requests)
    assert 11 * 10 <= len(requests)
    assert 50 == len(counts)
    assert [2, 3] == sorted(set(counts.values()))
    assert all(39 <= number <= 41 for number in polls)  # every due poll counts, whether it was sent or not


@pytest.mark.no_cover
async def test_keys_that_are_accepted_again_are_soon_back() -> None:
    """Once the exchange accepts the keys again they come back at 12 a minute, not each after its own delay."""
    async with Exchange(30, weight_limit=100_000) as exchange, running(exchange, position_risk=False) as fleet:
        await asyncio.sleep(10)
        for name in exchange.accounts:
            exchange.revoke(name)
        await asyncio.sleep(1800)
        for name in exchange.accounts:
            exchange.restore(name)
        while not any(state.last_poll_succeeded for state in fleet.states):  # noqa: ASYNC110 - longer than `until`
            await asyncio.sleep(0.5)
        began = now()
        while not all(state.last_poll_succeeded for state in fleet.states):  # noqa: ASYNC110 - longer than `until`
            await asyncio.sleep(0.5)
        took = now() - began

    assert 60 <= took <= 150


@pytest.mark.no_cover
async def test_accepted_key_ends_the_hold_of_another() -> None:
    """A key that was refused for long is retried at its next interval once another one was accepted again."""
    async with Exchange(2) as exchange, running(exchange, interval_seconds=5.0) as fleet:
        states = {state.settings.name: state for state in fleet.states}
        exchange.revoke("trader0")
        await asyncio.sleep(1000)
        exchange.revoke("trader1")
        await until(lambda: states["trader1"].refused)
        exchange.restore("trader0")
        exchange.restore("trader1")
        await until(lambda: states["trader1"].last_poll_succeeded)
        began = now()
        await until(lambda: states["trader0"].last_poll_succeeded)
        took = now() - began

    assert took <= 5.5


@pytest.mark.no_cover
async def test_seldom_polled_accounts_get_their_turns() -> None:
    """Where turns are short, accounts with long intervals get theirs, and do not keep the others from theirs."""
    loop = asyncio.get_running_loop()
    pacing, turns = EndpointPacing(loop.time), Counter[int]()

    async def poll(number: int, interval: float) -> None:
        asked_at = number / 20
        for due in count(interval + number / 20, interval):
            await asyncio.sleep(due - loop.time())
            if await pacing.take_turn(asked_at, due + interval, accepted_before=True):
                asked_at = loop.time()
                turns[number] += 1

    tasks = [asyncio.create_task(poll(number, 900.0 if number < 50 else 5.0)) for number in range(100)]
    await asyncio.sleep(3600)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert {3} == {turns[number] for number in range(50)}
    assert 11.8 * 59 <= turns.total() <= 12 * 60
    often = [turns[number] for number in range(50, 100)]
    assert max(often) - min(often) <= 2


async def test_turn_of_a_removed_account_goes_to_another_one() -> None:
    """An account that waits no longer takes no turn, and the next one gets it in time."""
    loop = asyncio.get_running_loop()
    pacing = EndpointPacing(loop.time)
    for _ in range(12):
        assert await pacing.take_turn(0.0, loop.time() + 1, accepted_before=True)
    left = asyncio.create_task(pacing.take_turn(1.0, loop.time() + 600, accepted_before=True))
    waiting = asyncio.create_task(pacing.take_turn(2.0, loop.time() + 600, accepted_before=True))
    in_vain = await pacing.take_turn(0.0, loop.time() + 10, accepted_before=True)
    left.cancel()
    taken = await waiting

    assert (False, True) == (in_vain, taken)
    assert loop.time() == pytest.approx(60, abs=1)
