"""Time: the exchange's clock, and how long its answers took."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from exporter.binance.clock import ExchangeClock
from exporter.binance.histogram import BOUNDS_SECONDS, Histogram


class Host:
    """A host with a wall clock and a monotonic clock that a test moves."""

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 100.0) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.exchange = ExchangeClock(lambda: self.wall, lambda: self.monotonic)

    def pass_time(self, seconds: float) -> None:
        """Let time go by on both clocks."""
        self.wall += seconds
        self.monotonic += seconds

    def jump_ahead(self) -> None:
        """Put the wall clock an hour ahead, and have that noticed."""
        self.wall += 3600.0
        self.exchange.host.age()


def test_unlearnt_clock_is_the_hosts() -> None:
    """Until the exchange tells its time, its clock is the host's and has no offset."""
    host = Host(wall=1_700_000_000.25)
    told = (host.exchange.learnt, host.exchange.seconds, host.exchange.milliseconds, host.exchange.offset_seconds)

    assert (False, 1_700_000_000.25, 1_700_000_000_250, None) == told


def test_learnt_time_is_of_the_middle_of_the_round_trip() -> None:
    """The exchange's time is taken as of half-way between question and answer."""
    host = Host(wall=1_700_000_001.0, monotonic=101.0)
    host.exchange.learn(1_700_000_010_000, sent=100.0, received=101.0)
    told = (host.exchange.learnt, host.exchange.milliseconds, host.exchange.offset_seconds)

    assert (True, 1_700_000_010_500, 9.5) == told


def test_offset_is_negative_where_the_exchange_is_behind() -> None:
    """The offset says how far the exchange is ahead, so it is negative where it is behind."""
    host = Host()
    host.exchange.learn(1_699_999_998_000, sent=100.0, received=100.0)

    assert -2.0 == host.exchange.offset_seconds


def test_step_of_the_hosts_clock_moves_the_offset_alone() -> None:
    """A stepped wall clock changes the offset, never the exchange's time."""
    host = Host()
    host.exchange.learn(1_700_000_000_000, sent=100.0, received=100.0)
    host.wall -= 3600.0
    host.pass_time(5.0)
    told = (host.exchange.milliseconds, host.exchange.offset_seconds)

    assert (1_700_000_005_000, 3600.0) == told


def test_learning_anew_replaces_what_was_learnt() -> None:
    """The last time told counts."""
    host = Host()
    host.exchange.learn(1_600_000_000_000, sent=100.0, received=100.0)
    host.pass_time(60.0)
    host.exchange.learn(1_700_000_030_000, sent=160.0, received=160.0)

    assert (1_700_000_030_000, -30.0) == (host.exchange.milliseconds, host.exchange.offset_seconds)


def test_date_teaches_what_is_not_known_better() -> None:
    """A Date is taken before anything is learnt, where another Date was, and where it surely contradicts."""
    host = Host()
    seconds = []
    for date_ms in (1_700_000_030_000, 1_700_000_030_600):
        host.exchange.learn_date(date_ms, 100.0)
        seconds.append(round(host.exchange.seconds - 1_700_000_000, 3))
    host.exchange.learn(1_700_000_031_000, 99.9, 100.1)
    for date_ms in (1_700_000_030_000, 1_700_000_040_000):
        host.exchange.learn_date(date_ms, 100.0)
        seconds.append(round(host.exchange.seconds - 1_700_000_000, 3))

    assert [30.0, 30.6, 31.0, 40.0] == seconds


def test_doubted_time_gives_way_to_any() -> None:
    """What is doubted is replaced by a Date that is within its error, and by any round trip."""
    host = Host()
    host.exchange.learn(1_700_000_001_000, 100.0, 100.0)
    host.exchange.doubt()
    gains = host.exchange.would_gain(0.0, 100.0)
    host.exchange.learn_date(1_700_000_000_000, 100.0)

    assert (True, 1_700_000_000_000) == (gains, host.exchange.milliseconds)


def test_offset_is_exact_when_no_date_taught_it() -> None:
    """An offset that is known no better than from a Date is known, and not exact."""
    host = Host()
    offsets = [host.exchange.exact_offset_seconds]
    host.exchange.learn_date(1_700_000_002_000, 100.0)
    offsets += [host.exchange.offset_seconds, host.exchange.exact_offset_seconds]
    host.exchange.learn(1_700_000_003_000, 99.5, 100.5)
    offsets += [host.exchange.exact_offset_seconds]

    assert [None, 2.0, None, 3.0] == offsets


def test_jump_of_the_hosts_clock_leaves_the_time_in_doubt() -> None:
    """Once the wall clock has run ahead there is no offset until the time is told again; it counts on meanwhile."""
    host = Host()
    host.exchange.learn(1_700_000_000_000, sent=100.0, received=100.0)
    host.pass_time(10.0)
    host.jump_ahead()
    host.pass_time(5.0)
    doubtful = (host.exchange.learnt, host.exchange.offset_seconds, host.exchange.milliseconds)
    gains = host.exchange.would_gain(sent=115.0, received=119.0)
    host.exchange.learn(1_700_003_615_000, sent=115.0, received=115.0)

    assert (False, None, 1_700_000_015_000) == doubtful
    assert gains
    assert (True, 0.0) == (host.exchange.learnt, host.exchange.offset_seconds)


def test_time_that_was_asked_for_before_a_jump_is_not_learnt() -> None:
    """An answer that was on its way while the host was paused tells a time that has long passed."""
    host = Host()
    host.exchange.learn(1_700_000_000_000, sent=100.0, received=100.0)
    host.pass_time(10.0)
    host.jump_ahead()
    host.exchange.learn(1_700_000_009_000, sent=109.0, received=110.0)

    assert (False, 1_700_000_010_000) == (host.exchange.learnt, host.exchange.milliseconds)


@given(
    st.integers(0, 4_000_000_000_000), st.integers(0, 10**6), st.integers(0, 10_000), st.integers(0, 10**6), st.floats()
)
def test_error_is_at_most_half_the_round_trip(server_ms: int, sent: int, trip_ms: int, later: int, wall: float) -> None:
    """Wherever in the round trip the exchange read its clock, the error is at most half of the trip."""
    host = Host(wall=wall, monotonic=sent + trip_ms / 1000)
    host.exchange.learn(server_ms, sent=float(sent), received=host.monotonic)
    host.pass_time(float(later))
    earliest, latest = server_ms + later * 1000, server_ms + later * 1000 + trip_ms

    assert earliest - 2 + trip_ms / 2 <= host.exchange.milliseconds <= latest + 2 - trip_ms / 2


def test_real_clocks_are_used_by_default() -> None:
    """Without clocks of its own it is the system's wall clock."""
    before = time.time()
    now = ExchangeClock().seconds

    assert before <= now <= time.time()


def histogram(seconds: list[float]) -> Histogram:
    """Return what is counted of some durations."""
    durations = Histogram()
    for each in seconds:
        durations.observe(each)
    return durations


def test_duration_is_counted_at_the_first_bound_that_it_does_not_pass() -> None:
    """A duration equal to a bound counts there, and one beyond the last bound counts behind it."""
    durations = histogram([0.0, 0.005, 0.0051, 10.0, 10.1, 3600.0])

    assert ([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], 3620.1101) == (durations.counts, durations.sum_seconds)


@given(st.lists(st.integers(0, 100)), st.lists(st.integers(0, 100)))
def test_added_histograms_are_that_of_all_durations(one: list[int], other: list[int]) -> None:
    """Adding a histogram counts its durations as if they had been observed, and leaves it as it was."""
    mine, theirs = (histogram([part / 8 for part in parts]) for parts in (one, other))
    mine.add(theirs)

    assert histogram([part / 8 for part in one + other]) == mine
    assert histogram([part / 8 for part in other]) == theirs
    assert [sum(part / 8 <= bound for part in other) for bound in BOUNDS_SECONDS] == [
        sum(theirs.counts[: index + 1]) for index in range(len(BOUNDS_SECONDS))
    ]
