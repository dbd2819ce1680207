"""Methods whose loss must cost nothing: which an endpoint still offers, and whose turn it is to ask the large one.

Binance has announced the removal of v1 ``account.status`` and has removed methods without notice. One that is gone is a
fact of the endpoint, not of an account: it is tried again hourly, by one account.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporter.binance.connection import Connection
    from exporter.binance.messages import Method

ASK_AGAIN_SECONDS: Final = 3600.0


class MethodAvailability:
    """What is known of one endpoint's optional methods, shared by its accounts."""

    def __init__(self, connection: Connection) -> None:
        self._monotonic = connection.clock.monotonic
        self._budget = connection.budget
        self._gone_until: dict[Method, float] = {}
        self._turn = asyncio.Lock()
        self._next_turn_at = float("-inf")

    def is_available(self, method: Method) -> bool:
        """Whether to ask for `method`; of one that is gone, whoever asks first after an hour is told to try."""
        gone_until = self._gone_until.get(method)
        if gone_until is None:
            return True
        if self._monotonic() < gone_until:
            return False
        self._gone_until[method] = self._monotonic() + ASK_AGAIN_SECONDS
        return True

    def mark_unavailable(self, method: Method, retry_seconds: float = ASK_AGAIN_SECONDS) -> bool:
        """Record that the endpoint does not answer `method`; return whether that is new."""
        news = method not in self._gone_until
        self._gone_until[method] = self._monotonic() + retry_seconds
        return news

    def mark_available(self, method: Method) -> None:
        """Write down that the endpoint knows `method`."""
        self._gone_until.pop(method, None)

    async def wait_for_turn(self, weight: int) -> None:
        """Wait until `weight` more fits into what the polls leave: one account at a time."""
        async with self._turn:
            await asyncio.sleep(self._next_turn_at - self._monotonic())
            self._next_turn_at = self._monotonic() + 60 * weight / self._budget.spare
