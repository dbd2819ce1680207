"""When an account's next poll begins: at its time, or soon after the host was woken."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LATE_SECONDS: Final = 30.0  # a poll that is as late was due while the host was suspended
_LEAST_SECONDS_BETWEEN: Final = 60.0


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
        """Have the next poll begin soon, whenever it is due."""
        self._woken.set()

    async def wait_until(self, due: float, spread_seconds: float) -> float:
        """Wait until a poll is due, and return when it was, in monotonic seconds.

        Args:
            due: when it is due if the host is not woken before.
            spread_seconds: how long after waking it begins instead, at most once a minute, so that the accounts' polls
                are no burst.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - self._monotonic()):
                    await self._woken.wait()
            now = self._monotonic()
            woken, late = self._woken.is_set(), now - due > _LATE_SECONDS
            self._woken.clear()
            if not woken and not late:
                return due
            soon = max(now, self._polled_early_at + _LEAST_SECONDS_BETWEEN) + spread_seconds
            if late or soon < due:
                due = self._polled_early_at = soon
