"""The exchange's clock."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from exporter.binance.clock import ExchangeClock


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
        self.exchange.host.data_time()


def test_clock_is_the_hosts_until_synchronized() -> None:
    """Until the exchange reports its time, its clock is the host's and has no offset."""
    host = Host(wall=1_700_000_000.25)
    reading = (
        host.exchange.synchronized,
        host.exchange.seconds,
        host.exchange.milliseconds,
        host.exchange.offset_seconds,
    )

    assert (False, 1_700_000_000.25, 1_700_000_000_250, None) == reading


def test_time_is_that_of_the_middle_of_the_round_trip() -> None:
    """The exchange's time is taken to be that of the middle between request and response."""
    host = Host(wall=1_700_000_001.0, monotonic=101.0)
    host.exchange.synchronize(1_700_000_010_000, sent_at=100.0, received_at=101.0)
    reading = (host.exchange.synchronized, host.exchange.milliseconds, host.exchange.offset_seconds)

    assert (True, 1_700_000_010_500, 9.5) == reading


def test_offset_is_negative_where_the_exchange_is_behind() -> None:
    """The offset says how far the exchange is ahead, so it is negative where it is behind."""
    host = Host()
    host.exchange.synchronize(1_699_999_998_000, sent_at=100.0, received_at=100.0)

    assert -2.0 == host.exchange.offset_seconds


def test_step_of_the_hosts_clock_moves_only_the_offset() -> None:
    """A stepped wall clock changes the offset, never the exchange's time."""
    host = Host()
    host.exchange.synchronize(1_700_000_000_000, sent_at=100.0, received_at=100.0)
    host.wall -= 3600.0
    host.pass_time(5.0)
    reading = (host.exchange.milliseconds, host.exchange.offset_seconds)

    assert (1_700_000_005_000, 3600.0) == reading


def test_last_synchronization_counts() -> None:
    """The last reported time counts."""
    host = Host()
    host.exchange.synchronize(1_600_000_000_000, sent_at=100.0, received_at=100.0)
    host.pass_time(60.0)
    host.exchange.synchronize(1_700_000_030_000, sent_at=160.0, received_at=160.0)

    assert (1_700_000_030_000, -30.0) == (host.exchange.milliseconds, host.exchange.offset_seconds)


def test_date_replaces_a_less_accurate_time() -> None:
    """A Date is used before any synchronization, after another Date, and where it is certain to be more accurate."""
    host = Host()
    seconds = []
    for date_ms in (1_700_000_030_000, 1_700_000_030_600):
        host.exchange.synchronize_to_date(date_ms, 100.0)
        seconds.append(round(host.exchange.seconds - 1_700_000_000, 3))
    host.exchange.synchronize(1_700_000_031_000, 99.9, 100.1)
    for date_ms in (1_700_000_030_000, 1_700_000_040_000):
        host.exchange.synchronize_to_date(date_ms, 100.0)
        seconds.append(round(host.exchange.seconds - 1_700_000_000, 3))

    assert [30.0, 30.6, 31.0, 40.0] == seconds


def test_doubted_time_gives_way_to_any() -> None:
    """What is doubted is replaced by a Date that is within its error, and by any round trip."""
    host = Host()
    host.exchange.synchronize(1_700_000_001_000, 100.0, 100.0)
    host.exchange.mark_uncertain()
    gains = host.exchange.is_more_precise(0.0, 100.0)
    host.exchange.synchronize_to_date(1_700_000_000_000, 100.0)

    assert (True, 1_700_000_000_000) == (gains, host.exchange.milliseconds)


def test_offset_is_exact_unless_known_from_a_date() -> None:
    """An offset that is known no better than from a Date is known, and not exact."""
    host = Host()
    offsets = [host.exchange.exact_offset_seconds]
    host.exchange.synchronize_to_date(1_700_000_002_000, 100.0)
    offsets += [host.exchange.offset_seconds, host.exchange.exact_offset_seconds]
    host.exchange.synchronize(1_700_000_003_000, 99.5, 100.5)
    offsets += [host.exchange.exact_offset_seconds]

    assert [None, 2.0, None, 3.0] == offsets


def test_jump_of_the_hosts_clock_leaves_the_time_in_doubt() -> None:
    """After a jump of the wall clock the time advances, but has no offset until the exchange reports it again."""
    host = Host()
    host.exchange.synchronize(1_700_000_000_000, sent_at=100.0, received_at=100.0)
    host.pass_time(10.0)
    host.jump_ahead()
    host.pass_time(5.0)
    doubtful = (host.exchange.synchronized, host.exchange.offset_seconds, host.exchange.milliseconds)
    gains = host.exchange.is_more_precise(sent_at=115.0, received_at=119.0)
    host.exchange.synchronize(1_700_003_615_000, sent_at=115.0, received_at=115.0)

    assert (False, None, 1_700_000_015_000) == doubtful
    assert gains
    assert (True, 0.0) == (host.exchange.synchronized, host.exchange.offset_seconds)


def test_response_to_a_request_from_before_a_jump_is_ignored() -> None:
    """A response that was in transit while the host was paused is not used: its time has long passed."""
    host = Host()
    host.exchange.synchronize(1_700_000_000_000, sent_at=100.0, received_at=100.0)
    host.pass_time(10.0)
    host.jump_ahead()
    host.exchange.synchronize(1_700_000_009_000, sent_at=109.0, received_at=110.0)

    assert (False, 1_700_000_010_000) == (host.exchange.synchronized, host.exchange.milliseconds)


@given(
    st.integers(0, 4_000_000_000_000), st.integers(0, 10**6), st.integers(0, 10_000), st.integers(0, 10**6), st.floats()
)
def test_error_is_at_most_half_the_round_trip(server_ms: int, sent: int, trip_ms: int, later: int, wall: float) -> None:
    """Wherever in the round trip the exchange read its clock, the error is at most half of the trip."""
    host = Host(wall=wall, monotonic=sent + trip_ms / 1000)
    host.exchange.synchronize(server_ms, sent_at=float(sent), received_at=host.monotonic)
    host.pass_time(float(later))
    earliest, latest = server_ms + later * 1000, server_ms + later * 1000 + trip_ms

    assert earliest - 2 + trip_ms / 2 <= host.exchange.milliseconds <= latest + 2 - trip_ms / 2


def test_real_clocks_are_used_by_default() -> None:
    """Without given clocks it is the system's wall clock."""
    before = time.time()
    now = ExchangeClock().seconds

    assert before <= now <= time.time()
