"""The request-weight budget: planned polls, requests that yield to other programs, and pauses."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from typing import TYPE_CHECKING, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.binance.clock import ExchangeClock
from exporter.binance.errors import Paused, Reason
from exporter.binance.messages import RateLimit
from exporter.binance.weight import Reservation, WeightBudget

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Result = TypeVar("_Result")
MINUTE = 1_700_000_040  # an epoch second at which a minute of the exchange begins
DEFAULT = {Reason.RATE_LIMITED: 60.0, Reason.BANNED: 120.0}
MIN_ALLOWANCE = 24  # two dials with their clock, and one poll
EIGHTHS = st.integers(0, 8).map(lambda part: part / 8)  # exact in binary, so that the fake clock adds up


def reported(count: int = 0, limit: int = 2400) -> RateLimit:
    """Return the IP's weight as reported by a response."""
    return RateLimit(kind="REQUEST_WEIGHT", interval="MINUTE", interval_num=1, limit=limit, count=count)


def run_to_end(request: Coroutine[object, object, _Result]) -> _Result:
    """Return what a coroutine gives that waits for nothing but the fake clock."""
    try:
        request.send(None)
    except StopIteration as finished:
        return cast("_Result", finished.value)
    raise AssertionError("it waits for something else")


class Host:
    """A budget whose sleep moves its clock."""

    def __init__(self, share: float = 0.5, spread: float = 0.0) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        clock = ExchangeClock(lambda: MINUTE + self.now, lambda: self.now)
        self.budget = WeightBudget(share, clock, sleep=self.sleep, spread=lambda: spread)

    async def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.slept.append(seconds)
        self.now += seconds

    async def request(self, answer: RateLimit | None = None, weight: int = 5) -> Reservation:
        """Send a request that is answered at once."""
        reservation = await self.budget.acquire(weight)
        self.budget.settle(reservation, answer)
        return reservation

    def pause(
        self, after: float = 0.0, reason: Reason = Reason.BANNED, end: float | None = None, sent_at: float | None = None
    ) -> tuple[bool, float]:
        """Pause some time after the last pause; return whether it is a new one, and its length."""
        self.now += self.budget.pause_seconds + after
        new = self.budget.pause(reason, None if end is None else int((MINUTE + end) * 1000), sent_at=sent_at)
        return new, self.budget.pause_seconds


class TestPlan:
    """What is to be polled must fit the share."""

    @pytest.mark.parametrize(
        ("polls", "limit", "stretch"),
        [
            ([], None, 1.0),
            ([(10, 15.0)] * 20, None, 1.0),
            ([(5, 5.0)] * 18 + [(53, 60.0)], None, 1.0),  # 1133 a minute: 95 % of 1200, without a dial and the clock
            ([(1133, 30.0)], None, 2.0),
            ([(1133, 30.0)], 6000, 1.0),
            ([(563, 15.0)], 1200, 4.0),
            ([(5, 1.0)], 100, 300 / 40.5),
        ],
    )
    async def test_intervals_stretch_as_far_as_the_limit_requires(
        self, polls: list[tuple[int, float]], limit: int | None, stretch: float
    ) -> None:
        """Intervals keep their length while the plan fits the share of the limit, and else grow just enough."""
        budget = Host(share=0.5).budget
        budget.plan(polls)
        if limit:
            budget.settle(await budget.acquire(5), reported(limit=limit))

        assert stretch == pytest.approx(budget.stretch)
        assert limit == budget.limit

    @given(
        st.floats(0.001, 0.9),
        st.lists(st.tuples(st.integers(1, 15), st.floats(1, 3600)), max_size=50),
        st.integers(100, 1_000_000),
    )
    async def test_stretched_plan_fits_the_share(
        self, share: float, polls: list[tuple[int, float]], limit: int
    ) -> None:
        """Whatever is planned, its stretched weight a minute is within the share, and it stretches only if it must."""
        budget = Host(share).budget
        budget.settle(await budget.acquire(5), reported(limit=limit))
        budget.plan(polls)
        planned = sum(weight * 60 / interval for weight, interval in polls)

        assert planned / budget.stretch <= share * limit * (1 + 1e-9)
        assert 1.0 <= budget.stretch
        assert planned > share * limit / 2 or 1.0 == budget.stretch

    def test_new_plan_replaces_the_old_one(self) -> None:
        """A plan is what is polled from now on, not in addition."""
        budget = Host().budget
        for polls in ([(5, 0.01)], [(5, 15.0)]):
            budget.plan(polls)

        assert 1.0 == budget.stretch


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


class Exchange(RuleBasedStateMachine):
    """Any sequence of requests, answers, other programs' traffic, refusals and time going by."""

    @initialize(
        share=st.sampled_from([0.01, 0.25, 0.5, 0.875]),
        limit=st.sampled_from([100, 160]),
        spread=EIGHTHS,
        eighths=st.integers(0, 479),
    )
    def begin(self, share: float, limit: int, spread: float, eighths: int) -> None:
        """Begin anywhere in a minute, with the limit known."""
        self.host, self.limit, self.others, self.resumes_at = Host(share, spread), limit, 0, 0.0
        self.host.now = eighths / 8
        self.under_way: list[Reservation] = []
        self.arrived: Counter[int] = Counter()
        run_to_end(self.host.request(reported(limit=limit), 1))
        self.arrived[0] += 1

    @rule(weight=st.sampled_from([2, 5, 10]), times=st.integers(1, 12), delay=EIGHTHS)
    def send(self, weight: int, times: int, delay: float) -> None:
        """Ask for some weight at once; a request is under way for up to 7/8 of a second."""
        for _ in range(times):
            try:
                self.under_way.append(run_to_end(self.host.budget.acquire(weight)))
            except Paused:
                assert self.host.budget.paused
                return
            self.arrived[int((self.host.now + delay * 7 / 8) // 60)] += weight
            assert self.resumes_at <= self.host.now
            if len(self.under_way) > 5:
                self.host.budget.settle(self.under_way.pop(0))  # given up

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """Respond to any outstanding request, and report the IP's count."""
        answered = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.host.budget.settle(answered, reported(self.arrived[int(self.host.now // 60)] + self.others, self.limit))

    @rule(weight=st.integers(0, 300))
    def others_send(self, weight: int) -> None:
        """Let other programs on the IP use weight."""
        self.others = weight

    @rule(eighths=st.integers(0, 600))
    def pass_time(self, eighths: int) -> None:
        """Let time go by."""
        self.host.now += eighths / 8

    @rule(reason=st.sampled_from(list(DEFAULT)), end=st.none() | st.integers(-100, 300), in_flight=st.booleans())
    def refuse(self, reason: Reason, end: int | None, *, in_flight: bool) -> None:
        """Refuse the last request or the one that is longest under way."""
        now = self.host.now
        retry_at_ms = None if end is None else int((MINUTE + now + end) * 1000)
        sent_at = self.under_way[0].sent_at if in_flight and self.under_way else None
        new = self.host.budget.pause(reason, retry_at_ms, sent_at=sent_at)
        seconds = end if end is not None and end > 0 else DEFAULT[reason] if new else 0.0
        self.resumes_at = max(self.resumes_at, now + seconds)

        assert self.resumes_at <= now + self.host.budget.pause_seconds or seconds == 0.0

    @invariant()
    def share_holds_in_every_minute_of_the_exchange(self) -> None:
        """However it is sent, no minute of the exchange gets more than the share."""
        allowance = max(self.host.budget.share * self.limit, MIN_ALLOWANCE)

        assert [] == [weight for weight in self.arrived.values() if weight > allowance]


TestAnySequence = Exchange.TestCase


class TestStop:
    """After 429 and 418 nothing is sent for a while."""

    @pytest.mark.parametrize(
        ("reason", "end", "seconds"),
        [
            (Reason.RATE_LIMITED, None, 60.0),
            (Reason.BANNED, None, 120.0),
            (Reason.RATE_LIMITED, 7.0, 8.0),
            (Reason.BANNED, 3 * 86400.0, 3 * 86400.0 + 1),
            (Reason.BANNED, 0.0, 120.0),
            (Reason.BANNED, -5.0, 120.0),
            (Reason.RATE_LIMITED, float(-MINUTE), 60.0),
            (Reason.BANNED, 4102444800.0 - MINUTE, 4 * 86400.0),
            (Reason.RATE_LIMITED, 1e15, 4 * 86400.0),
        ],
    )
    async def test_nothing_is_sent_until_the_reported_end(
        self, reason: Reason, end: float | None, seconds: float
    ) -> None:
        """A pause ends a second after the reported end, after four days at most; by default after a minute or two."""
        host = Host()
        new, pause_seconds = host.pause(reason=reason, end=end)
        with pytest.raises(Paused) as caught:
            await host.budget.acquire(1)
        paused = host.budget.paused
        host.now += seconds
        await host.request()

        assert (True, seconds, reason) == (new, pause_seconds, paused)
        assert (reason, seconds) == (caught.value.reason, caught.value.seconds)
        assert (None, 0.0, []) == (host.budget.paused, host.budget.pause_seconds, host.slept)

    @pytest.mark.parametrize(
        ("reason", "pauses"),
        [
            (Reason.RATE_LIMITED, [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]),
            (Reason.BANNED, [120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]),
        ],
    )
    def test_repeated_refusals_double_the_pause(self, reason: Reason, pauses: list[float]) -> None:
        """A refusal within ten minutes of the last pause doubles it, up to an hour."""
        host = Host()

        assert [(True, seconds) for seconds in pauses] == [host.pause(after=600.0, reason=reason) for _ in pauses]

    def test_ten_quiet_minutes_forget_the_doubling(self) -> None:
        """After more than ten minutes without a refusal a pause is as long as the first."""
        host = Host()
        pauses = [host.pause(after)[1] for after in (0.0, 600.0, 600.125, 1.0)]

        assert [120.0, 240.0, 120.0, 240.0] == pauses

    def test_repeated_refusal_with_an_end_waits_for_the_later(self) -> None:
        """When repeated, an early reported end does not shorten the doubled pause, and a later one extends it."""
        host = Host()
        pauses = [host.pause(1.0, end=end)[1] for end in (11.0, 17.0, 5000.0)]

        assert [11.0, 240.0, 5000.0 - 253.0] == pauses

    @pytest.mark.parametrize(
        ("refusals", "expected"),
        [
            ([None], [False]),
            ([400.0], [True]),
            ([-1.0], [False]),
            ([None, 400.0], [False, True]),  # a refusal in flight reports a later end
            ([None, 50.0], [False, False]),
            ([400.0, None], [True, True]),
        ],
    )
    def test_whether_the_end_was_reported(self, refusals: list[float | None], expected: list[bool]) -> None:
        """The end of a pause is the exchange's only if that has reported it, and no longer pause was chosen here."""
        host = Host()
        reported = []
        for end in refusals:
            host.budget.pause(Reason.BANNED, None if end is None else int((MINUTE + end) * 1000), sent_at=0.0)
            reported.append(host.budget.pause_end_reported)

        assert expected == reported

    def test_end_that_is_too_early_is_not_reported(self) -> None:
        """If a repeated pause is longer than reported, its end is not the exchange's."""
        host = Host()
        reported = []
        for end in (11.0, 17.0, 5000.0):
            host.pause(1.0, end=end)
            reported.append(host.budget.pause_end_reported)

        assert [True, False, True] == reported

    def test_ban_during_a_rate_limit(self) -> None:
        """A ban without an end that follows a rate limit with one has no reported end."""
        host = Host()
        host.budget.pause(Reason.RATE_LIMITED, int((MINUTE + 30) * 1000))
        host.budget.pause(Reason.BANNED)

        assert (False, 120.0) == (host.budget.pause_end_reported, host.budget.pause_seconds)

    @pytest.mark.parametrize("after", [0.0, 30.0, 120.0, 500.0])
    def test_refusals_in_flight_are_the_same_ban(self, after: float) -> None:
        """Rejections of requests sent before the ban was known neither extend nor double it, whenever they arrive."""
        host = Host()
        host.now = 10.0
        host.budget.pause(Reason.BANNED, sent_at=9.0)
        host.now += after
        late = [host.budget.pause(Reason.BANNED, sent_at=sent_at) for sent_at in (9.5, 10.0)]
        rest = host.budget.pause_seconds
        again = host.pause(200.0, sent_at=host.now + 200.0)

        assert ([False, False], max(0.0, 120.0 - after)) == (late, rest)
        assert (True, 240.0) == again

    @pytest.mark.parametrize(
        ("after", "end", "seconds"),
        [(1.0, 400.0, 400.0), (1.0, 50.0, 119.0), (1.0, 1e9, 4 * 86400.0), (150.0, 400.0, 251.0)],
    )
    def test_later_end_prolongs_the_pause(self, after: float, end: float, seconds: float) -> None:
        """A later end in a refusal in flight prolongs the pause, to at most four days; an earlier one does not."""
        host = Host()
        host.pause()
        host.now += after
        new = host.budget.pause(Reason.BANNED, int((MINUTE + end) * 1000), sent_at=0.0)

        assert (False, seconds) == (new, host.budget.pause_seconds)

    @pytest.mark.parametrize(
        ("first", "second"), [(Reason.RATE_LIMITED, Reason.BANNED), (Reason.BANNED, Reason.RATE_LIMITED)]
    )
    def test_ban_outranks_a_rate_limit(self, first: Reason, second: Reason) -> None:
        """Of a simultaneous ban and rate limit, the ban is reported."""
        host = Host()
        host.budget.pause(first)
        host.budget.pause(second)

        assert Reason.BANNED is host.budget.paused

    async def test_request_that_waits_is_refused_when_a_pause_begins(self) -> None:
        """A request that waits for the next minute is not sent when a pause began meanwhile."""
        host = Host()
        await host.request(reported(2400))

        async def sleep(seconds: float) -> None:
            host.now += seconds
            host.budget.pause(Reason.RATE_LIMITED)

        host.budget._sleep = sleep
        with pytest.raises(Paused):
            await host.budget.acquire(5)

        assert 5 == host.budget.spent_total
