"""Pauses of the request weight: after 429 and 418 nothing is sent for a while."""

from __future__ import annotations

import pytest
from support.weight import MINUTE, Host, reported

from exporter.binance.errors import Paused, Reason


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
async def test_nothing_is_sent_until_the_reported_end(reason: Reason, end: float | None, seconds: float) -> None:
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
def test_repeated_refusals_double_the_pause(reason: Reason, pauses: list[float]) -> None:
    """A refusal within ten minutes of the last pause doubles it, up to an hour."""
    host = Host()

    assert [(True, seconds) for seconds in pauses] == [host.pause(after=600.0, reason=reason) for _ in pauses]


def test_ten_quiet_minutes_forget_the_doubling() -> None:
    """After more than ten minutes without a refusal a pause is as long as the first."""
    host = Host()
    pauses = [host.pause(after)[1] for after in (0.0, 600.0, 600.125, 1.0)]

    assert [120.0, 240.0, 120.0, 240.0] == pauses


def test_repeated_refusal_with_an_end_waits_for_the_later() -> None:
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
def test_whether_the_end_was_reported(refusals: list[float | None], expected: list[bool]) -> None:
    """The end of a pause is the exchange's only if that has reported it, and no longer pause was chosen here."""
    host = Host()
    reported = []
    for end in refusals:
        host.budget.pause(Reason.BANNED, None if end is None else int((MINUTE + end) * 1000), sent_at=0.0)
        reported.append(host.budget.pause_end_reported)

    assert expected == reported


def test_end_that_is_too_early_is_not_reported() -> None:
    """If a repeated pause is longer than reported, its end is not the exchange's."""
    host = Host()
    reported = []
    for end in (11.0, 17.0, 5000.0):
        host.pause(1.0, end=end)
        reported.append(host.budget.pause_end_reported)

    assert [True, False, True] == reported


def test_ban_during_a_rate_limit() -> None:
    """A ban without an end that follows a rate limit with one has no reported end."""
    host = Host()
    host.budget.pause(Reason.RATE_LIMITED, int((MINUTE + 30) * 1000))
    host.budget.pause(Reason.BANNED)

    assert (False, 120.0) == (host.budget.pause_end_reported, host.budget.pause_seconds)


@pytest.mark.parametrize("after", [0.0, 30.0, 120.0, 500.0])
def test_refusals_in_flight_are_the_same_ban(after: float) -> None:
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
def test_later_end_prolongs_the_pause(after: float, end: float, seconds: float) -> None:
    """A later end in a refusal in flight prolongs the pause, to at most four days; an earlier one does not."""
    host = Host()
    host.pause()
    host.now += after
    new = host.budget.pause(Reason.BANNED, int((MINUTE + end) * 1000), sent_at=0.0)

    assert (False, seconds) == (new, host.budget.pause_seconds)


@pytest.mark.parametrize(
    ("first", "second"), [(Reason.RATE_LIMITED, Reason.BANNED), (Reason.BANNED, Reason.RATE_LIMITED)]
)
def test_ban_outranks_a_rate_limit(first: Reason, second: Reason) -> None:
    """Of a simultaneous ban and rate limit, the ban is reported."""
    host = Host()
    host.budget.pause(first)
    host.budget.pause(second)

    assert Reason.BANNED is host.budget.paused


async def test_request_that_waits_is_refused_when_a_pause_begins() -> None:
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
