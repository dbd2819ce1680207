"""Decides when a lasting condition is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG_AGAIN_SECONDS: Final = 300.0


class RepeatFilter:
    """Decides when a lasting condition is logged: when it is new or has changed, and then every 5 minutes.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: object = None
        self._logged_at = float("-inf")

    def is_due(self, condition: object) -> bool:
        """Whether to log `condition` now; if so, it counts as logged."""
        now = self._monotonic()
        if condition == self._last and now - self._logged_at < _LOG_AGAIN_SECONDS:
            return False
        self._last, self._logged_at = condition, now
        return True

    def reset(self) -> None:
        """Treat the next condition as new: the last one has ended."""
        self._last = None
