"""When a lasting condition is logged."""

from __future__ import annotations

from support.clocks import Clock

from exporter.repeat_filter import RepeatFilter


def test_lasting_condition_is_logged_every_five_minutes() -> None:
    """A condition is logged when it begins, changes, has lasted five minutes, or returns."""
    clock = Clock()
    repeats = RepeatFilter(clock)
    due = [repeats.is_due(condition) for condition in ("a", "a", "b", "a")]
    clock.now += 299
    due.append(repeats.is_due("a"))
    clock.now += 1
    due.append(repeats.is_due("a"))
    repeats.reset()
    due.append(repeats.is_due("a"))

    assert [True, False, True, True, False, True, True] == due
