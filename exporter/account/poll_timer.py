"""Waits for an account's next poll: until it is due, or until soon after the host was woken."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LATE_SECONDS: Final = 30.0  # a poll this late was due while the host was suspended
_MIN_SECONDS_BETWEEN: Final = 60.0


class PollTimer:
    """Waits for the times at which one account's polls are due.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._woken = asyncio.Event()
        self._polled_early_at = float("-inf")

    def wake(self) -> None:
        """Start the next poll soon, whenever it is due."""
        self._woken.set()

    async def wait_until(self, due: float, spread_seconds: float) -> float:
        """Wait until a poll is due, and return when it was, in monotonic seconds.

        Args:
            due: when it is due, in monotonic seconds, unless the host is woken before.
            spread_seconds: how long after waking it is due instead, at most once a minute, so that the accounts' polls
                are not a burst.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - self._monotonic()):
                    await self._woken.wait()
            now = self._monotonic()
            is_woken, is_late = self._woken.is_set(), now - due > _LATE_SECONDS
            self._woken.clear()
            if not is_woken and not is_late:
                return due
            soon = max(now, self._polled_early_at + _MIN_SECONDS_BETWEEN) + spread_seconds
            if is_late or soon < due:
                due = self._polled_early_at = soon
