"""Histograms of response times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.binance.histogram import BOUNDS_SECONDS, Histogram


def histogram(seconds: list[float]) -> Histogram:
    """Return what is counted of some durations."""
    durations = Histogram()
    for duration in seconds:
        durations.observe(duration)
    return durations


def test_duration_is_counted_at_the_first_bound_that_it_does_not_pass() -> None:
    """A duration equal to a bound counts there, and one beyond the last bound counts behind it."""
    durations = histogram([0.0, 0.005, 0.0051, 10.0, 10.1, 3600.0])

    assert ([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], 3620.1101) == (durations.counts, durations.sum_seconds)


@given(st.lists(st.integers(0, 100)), st.lists(st.integers(0, 100)))
def test_added_histograms_are_that_of_all_durations(first: list[int], second: list[int]) -> None:
    """Adding a histogram counts its durations as if they had been observed, and leaves it as it was."""
    merged, added = (histogram([part / 8 for part in parts]) for parts in (first, second))
    merged.add(added)

    assert histogram([part / 8 for part in first + second]) == merged
    assert histogram([part / 8 for part in second]) == added
    assert [sum(part / 8 <= bound for part in second) for bound in BOUNDS_SECONDS] == [
        sum(added.counts[: index + 1]) for index in range(len(BOUNDS_SECONDS))
    ]
