"""The state of an account between polls: whether its figures are fresh, and whether it is up."""

from __future__ import annotations

import pytest
from support.builders import make_state


def test_nothing_is_fresh_before_the_first_answer() -> None:
    """An account without any response is neither fresh nor up."""
    state = make_state()

    assert float("-inf") == state.stale_at
    assert not state.is_fresh(0.0)
    assert not state.is_up(0.0)


@pytest.mark.parametrize(("now", "fresh"), [(1000.0, True), (1059.999, True), (1060.0, False), (2000.0, False)])
@pytest.mark.parametrize("succeeded", [True, False])
def test_figures_are_fresh_until_they_are_stale(*, now: float, fresh: bool, succeeded: bool) -> None:
    """Figures are shown until they are stale_after old, and up is 1 only while they are."""
    state = make_state(answered_at=1000.0, stale_after_seconds=60.0)
    state.last_poll_succeeded = succeeded

    assert fresh is state.is_fresh(now)
    assert (fresh and succeeded) is state.is_up(now)


def test_stretch_moves_interval_and_staleness_alike() -> None:
    """The weight plan's factor applies to the settings, not to the last factor's outcome."""
    state = make_state(answered_at=1000.0, interval_seconds=15.0, stale_after_seconds=60.0)

    state.stretch(4.0)
    state.stretch(2.0)

    assert (state.interval_seconds, state.stale_after_seconds) == (30.0, 120.0)
    assert state.stale_at == 1060.0  # what was shown before keeps the time that it was given
