"""How long to wait before the next dial."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.binance.dialing import Backoff, Timing


def test_delay_doubles_up_to_the_cap_and_begins_again() -> None:
    """The longest delay doubles from half a second to a minute, for ever, until it is reset."""
    backoff = Backoff(jitter=lambda: 1.0)
    delays = [backoff.next_seconds() for _ in range(5000)]
    backoff.reset()

    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 4993] == delays
    assert 0.5 == backoff.next_seconds()


@given(st.floats(0, 1), st.floats(0.001, 10), st.floats(10, 1000), st.integers(0, 40))
def test_delay_is_any_part_of_the_longest(part: float, first: float, cap: float, tries: int) -> None:
    """A delay is the drawn part of the longest one."""
    backoff = Backoff(first, cap, lambda: part)
    delays = [backoff.next_seconds() for _ in range(tries + 1)]

    assert pytest.approx(part * min(cap, first * 2**tries)) == delays[-1]


def test_jitter_is_random_by_default() -> None:
    """Without a given jitter the delay is random, up to the longest."""
    delays = {Backoff().next_seconds() for _ in range(20)}

    assert len(delays) > 1
    assert 0.0 <= min(delays) <= max(delays) <= Timing().backoff_first
