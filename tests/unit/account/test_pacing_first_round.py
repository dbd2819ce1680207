"""The first polls of new accounts."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from support.counting_exchange import Exchange, running
from support.methods import STATUS

from exporter.account.asset_mode import AssetMode
from exporter.account.pacing import EndpointPacing
from exporter.simulator.answer_edits import error

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.mark.parametrize("answering", [True, False])
async def test_first_account_polls_alone(*, answering: bool) -> None:
    """The first account's poll is over, however it ends, before the others' begin."""
    async with Exchange(4) as exchange:
        exchange.delay_answers(2.0, STATUS)
        if not answering:
            exchange.replace_answer(STATUS, None, error(500, code=-1000, msg="x"))
        async with running(exchange, interval_seconds=60.0, asset_mode=AssetMode.SINGLE):
            await asyncio.sleep(10)
        first, *others = exchange.queries(STATUS)

    assert 4 == len({first.account, *(other.account for other in others)})
    assert first.at + 2 <= others[0].at <= others[-1].at <= first.at + 2.5


@pytest.mark.no_cover
@pytest.mark.parametrize("interval", [5.0, 300.0])
async def test_hundred_accounts_take_five_seconds(interval: float) -> None:
    """A hundred accounts are polled evenly within five seconds, and from then on spread over the interval."""
    async with Exchange(100, weight_limit=100_000) as exchange:
        async with running(exchange, interval_seconds=interval, asset_mode=AssetMode.SINGLE):
            await asyncio.sleep(3 * interval)
        requests = exchange.queries(STATUS)

    first = requests[:100]
    assert 100 == len({request.account for request in first})
    assert 4.5 <= first[-1].at - first[0].at <= 5.5
    assert 25 >= max(Counter(int(request.at) for request in first).values())
    fifths = Counter(
        int(request.at / interval * 5) for request in requests if 2 * interval <= request.at < 3 * interval
    )
    assert [20] * 5 == pytest.approx(list(fifths.values()), abs=3)


async def test_restarts_in_a_loop_reach_all_accounts() -> None:
    """Restarted every four seconds, each run polls all of four accounts, v1 included."""
    succeeded = []
    async with Exchange(4) as exchange:
        for _ in range(10):
            async with running(exchange) as fleet:
                await asyncio.sleep(4)
                succeeded.append(sum(state.last_poll_succeeded for state in fleet.states))

    assert [4] * 10 == succeeded


async def test_restarts_reach_all_accounts_although_one_hangs() -> None:
    """An account whose answers never come does not keep the others from being polled at all."""
    polled = Counter[str]()
    async with Exchange(4) as exchange:
        exchange.lose_answers(None, "trader0")
        for _ in range(20):
            async with running(exchange) as fleet:
                await asyncio.sleep(4)
                polled.update(state.settings.name for state in fleet.states if state.last_poll_succeeded)

    assert {"trader1", "trader2", "trader3"} == set(polled)


async def test_removed_first_account_does_not_delay_the_others() -> None:
    """When the account that polls alone is removed, the next one takes its place and polls alone."""
    loop = asyncio.get_running_loop()
    pacing = EndpointPacing(loop.time)
    pacing.begin_round(3)
    ended: list[float] = []

    async def poll(seconds: float) -> None:
        async with pacing.first_poll():
            await asyncio.sleep(seconds)
            ended.append(loop.time())

    removed = asyncio.create_task(poll(100))
    others = [asyncio.create_task(poll(3)) for _ in range(2)]
    await asyncio.sleep(1)
    removed.cancel()
    await asyncio.gather(*others)

    assert [4, 7] == pytest.approx(ended, abs=0.5)
