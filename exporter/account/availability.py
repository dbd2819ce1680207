"""Methods that polls can do without: which ones an endpoint offers, and whose turn it is to request v1.

Binance has announced the removal of v1 ``account.status``, and has removed methods without notice. A method is removed
from the endpoint, not for one account: it is tried again hourly, by one account.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporter.binance.connection import Connection
    from exporter.binance.messages import Method

RECHECK_SECONDS: Final = 3600.0


class MethodAvailability:
    """Which optional methods one endpoint offers; shared by its accounts."""

    def __init__(self, connection: Connection) -> None:
        self._monotonic = connection.clock.monotonic
        self._budget = connection.budget
        self._retry_at: dict[Method, float] = {}
        self._turn = asyncio.Lock()
        self._next_turn_at = float("-inf")

    def is_available(self, method: Method) -> bool:
        """Whether to request `method`; an unavailable one is tried again by the first caller after an hour."""
        retry_at = self._retry_at.get(method)
        if retry_at is None:
            return True
        if self._monotonic() < retry_at:
            return False
        self._retry_at[method] = self._monotonic() + RECHECK_SECONDS
        return True

    def mark_unavailable(self, method: Method, retry_seconds: float = RECHECK_SECONDS) -> bool:
        """Record that the endpoint does not offer `method` for now; return whether that is new."""
        is_new = method not in self._retry_at
        self._retry_at[method] = self._monotonic() + retry_seconds
        return is_new

    def mark_available(self, method: Method) -> None:
        """Record that the endpoint offers `method`."""
        self._retry_at.pop(method, None)

    async def wait_for_turn(self, weight: int) -> None:
        """Wait, one account at a time, until the weight that the polls leave has room for `weight`."""
        async with self._turn:
            await asyncio.sleep(self._next_turn_at - self._monotonic())
            self._next_turn_at = self._monotonic() + 60 * weight / self._budget.spare
