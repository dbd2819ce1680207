"""Methods that polls can do without: which ones an endpoint offers, and whose turn it is to send a slower query.

Binance has announced the removal of v1 ``account.status``, and has removed methods without notice. A method is removed
from the endpoint, not for one account: it is tried again hourly, by one account.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from exporter.account.queries import Query
    from exporter.binance.connection import Connection
    from exporter.binance.errors import BinanceError
    from exporter.binance.messages import Method

log = structlog.get_logger()

RECHECK_SECONDS: Final = 3600.0


class MethodAvailability:
    """Which optional methods one endpoint offers; shared by its accounts."""

    def __init__(self, connection: Connection) -> None:
        self._endpoint = connection.endpoint.label
        self._monotonic = connection.clock.monotonic
        self._budget = connection.budget
        self._retry_at: dict[Method, float] = {}
        self._turn = asyncio.Lock()
        self._next_turn_at = float("-inf")

    def offers(self, method: Method) -> bool:
        """Whether the endpoint offered `method` when it was last requested."""
        return method not in self._retry_at

    def may_try(self, method: Method) -> bool:
        """Whether `method` may be requested: if it was unavailable, once that is an hour ago."""
        return self._monotonic() >= self._retry_at.get(method, float("-inf"))

    def claim(self, method: Method) -> bool:
        """Return whether the caller may request `method` now; an unavailable one is tried by one account at a time."""
        if not self.may_try(method):
            return False
        if method in self._retry_at:
            self._retry_at[method] = self._monotonic() + RECHECK_SECONDS
        return True

    def release(self, method: Method) -> None:
        """Let another account try an unavailable method: the request of the one that claimed it was not sent."""
        if method in self._retry_at:
            self._retry_at[method] = self._monotonic()

    def mark_unavailable(self, query: Query[Any], error: BinanceError, retry_seconds: float = RECHECK_SECONDS) -> None:
        """Record that the endpoint does not offer a query's method for now, and log it if that is new."""
        if query.method not in self._retry_at:
            level = "error" if query.interval_seconds is None else "warning"
            getattr(log, level)(
                "method unavailable",
                endpoint=self._endpoint,
                method=query.method.value,
                missing=query.without,
                error=str(error),
            )
        self._retry_at[query.method] = self._monotonic() + retry_seconds

    def mark_available(self, method: Method) -> None:
        """Record that the endpoint offers `method`."""
        self._retry_at.pop(method, None)

    async def wait_for_turn(self, weight: int) -> None:
        """Wait, one account at a time, until the weight that the polls leave has room for `weight`."""
        async with self._turn:
            await asyncio.sleep(self._next_turn_at - self._monotonic())
            self._next_turn_at = self._monotonic() + 60 * weight / self._budget.spare
