"""The request-weight budget: own spending stays within the share, and other programs on the IP go first."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter

import pytest
from support.weight import Host, reported


class TestYield:
    """Other programs on the IP go first."""

    @pytest.mark.parametrize(
        ("count", "in_flight", "slept"),
        [(2155, 0, []), (2156, 0, [42.5]), (2150, 1, []), (2150, 2, [42.5]), (5000, 0, [42.5]), (10**12, 0, [])],
    )
    async def test_request_waits_for_the_next_minute_near_the_limit(
        self, count: int, in_flight: int, slept: list[float]
    ) -> None:
        """Above a credible 90 % of the limit a request waits for the next minute, spread over its first seconds."""
        host = Host(spread=0.5)
        host.now = 20.0
        await host.request(reported())
        await host.request(reported(count))
        for _ in range(in_flight):
            await host.budget.acquire(5)
        await host.budget.acquire(5)

        assert slept == host.slept

    async def test_requests_in_flight_count_until_they_end(self) -> None:
        """What is under way counts as used until it is answered or given up, once."""
        host = Host(share=0.9)
        await host.request(reported(2000))
        under_way = [await host.budget.acquire(80) for _ in range(2)]
        for _ in range(3):
            host.budget.settle(under_way[0])
        await host.budget.acquire(80)
        await host.budget.acquire(1)

        assert [60.0] == host.slept
        assert 5 + 80 * 3 + 1 == host.budget.spent_total

    @pytest.mark.parametrize(("counts", "used"), [([], None), ([10, 30, 20], 30), ([10, -5], 10), ([0], 0)])
    async def test_used_is_the_highest_count_of_the_minute(self, counts: list[int], used: int | None) -> None:
        """The weight used is the highest count reported in this minute, and unknown after the minute."""
        host = Host()
        for count in counts:
            await host.request(reported(count))
        before = host.budget.used
        host.now = 59.875
        at_the_end = host.budget.used
        host.now = 60.0

        assert (used, used, None) == (before, at_the_end, host.budget.used)

    async def test_response_from_the_last_minute_does_not_count_for_this_one(self) -> None:
        """A count that may be the last minute's is not taken for this one's, and the next count is."""
        host = Host()
        host.now = 59.0
        await host.request(reported())
        await host.request(reported(2000))
        late = await host.budget.acquire(5)
        host.now = 61.0
        host.budget.settle(late, reported(2005))
        unknown = host.budget.used
        await host.request(reported(5))

        assert (None, 5) == (unknown, host.budget.used)

    @pytest.mark.parametrize("limit", [0, -1, 99, 1_000_001, 10**12])
    async def test_nonsense_limit_is_ignored(self, limit: int) -> None:
        """A limit that cannot be true changes nothing, before and after a true one."""
        host = Host()
        await host.request(reported(limit=limit))
        before = host.budget.limit
        await host.request(reported(limit=6000))
        await host.request(reported(limit=limit))

        assert (None, 6000) == (before, host.budget.limit)
        assert [] == host.slept


class TestShare:
    """Own spending stays within the share."""

    @pytest.mark.parametrize(("share", "polls"), [(0.5, 240), (0.1, 48), (0.9, 432), (0.0001, 4)])
    async def test_share_is_spent_and_not_more(self, share: float, polls: int) -> None:
        """As many polls as the share allows go at once, the next one a minute and a second after the first."""
        host = Host(share)
        for _ in range(polls):
            await host.request()
        at_once = host.slept.copy()
        await host.request()

        assert ([], [61.0]) == (at_once, host.slept)

    async def test_a_dial_the_clock_and_a_poll_fit_any_share(self) -> None:
        """However small the share, two dials with their clock and a poll go within a minute."""
        host = Host(share=1e-9)
        for weight in (5, 2, 5, 2, 5, 5):
            await host.request(weight=weight)

        assert [] == host.slept

    @pytest.mark.parametrize(("before", "slept"), [(0, []), (1194, []), (1195, [42.5]), (10**9, []), (-5, []), (3, [])])
    async def test_what_was_spent_before_the_start_may_be_its_own(self, before: int, slept: list[float]) -> None:
        """What the IP credibly spent before the first answer counts as own until the minute is over, then not."""
        host = Host(spread=0.5)
        host.now = 20.0
        await host.request(reported(before))
        await host.request()
        await host.budget.acquire(1)

        assert slept == host.slept

    async def test_waiting_requests_share_the_window(self) -> None:
        """Requests that wait together go one window after the other, each as soon as its weight is free."""
        host, alarms = Host(share=0.125), list[tuple[float, int, asyncio.Future[None]]]()

        async def sleep(seconds: float) -> None:
            alarm = asyncio.get_running_loop().create_future()
            heapq.heappush(alarms, (host.now + seconds, id(alarm), alarm))
            await alarm

        host.budget._sleep = sleep
        requests = asyncio.gather(*(host.request(reported(limit=800)) for _ in range(50)))
        while not requests.done():
            for _ in range(3):
                await asyncio.sleep(0)
            if alarms:
                host.now, _, alarm = heapq.heappop(alarms)
                alarm.set_result(None)
        sent = Counter(reservation.sent_at for reservation in await requests)

        assert {0.0: 20, 61.0: 20, 122.0: 10} == sent
