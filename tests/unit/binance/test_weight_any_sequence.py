"""The share of the request weight in any sequence of requests, responses and refusals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.weight import MINUTE, Host, reported

from exporter.binance.errors import Paused, Reason

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from exporter.binance.weight import Reservation

_Result = TypeVar("_Result")
DEFAULT = {Reason.RATE_LIMITED: 60.0, Reason.BANNED: 120.0}
MIN_ALLOWANCE = 24  # two dials with their clock, and one poll
EIGHTHS = st.integers(0, 8).map(lambda part: part / 8)  # exact in binary, so that the fake clock adds up


def run_to_end(request: Coroutine[object, object, _Result]) -> _Result:
    """Return what a coroutine gives that waits for nothing but the fake clock."""
    try:
        request.send(None)
    except StopIteration as finished:
        return cast("_Result", finished.value)
    raise AssertionError("it waits for something else")


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
