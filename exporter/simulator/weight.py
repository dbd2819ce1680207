"""A pool of request weight of the one IP that all clients of the simulated exchange share, and its bans."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal

from exporter.simulator.toggles import Toggles


class RequestWeight:
    """Counts weight by aligned windows of `window_seconds`; every time is in seconds since the epoch.

    Over the limit answers are 429; after more than `tolerated_requests` of them in a window the IP is banned. `total`
    is the weight of all windows.
    """

    def __init__(
        self, limit: int, *, tolerated_requests: float, ban_seconds: float = 120.0, window_seconds: int = 60
    ) -> None:
        self.limit = limit
        self.total = 0
        self.banned_until = 0.0
        self._tolerated_requests = tolerated_requests
        self._ban_seconds = ban_seconds
        self._window_seconds = window_seconds
        self._window = 0
        self._count = 0
        self._refused = 0
        self._other_traffic = Toggles[int]()

    def charge(self, weight: int, now: float) -> Literal[200, 418, 429]:
        """Add a request's weight, and return the status to answer with."""
        self.add(weight, now)
        if now < self.banned_until:
            return 418
        if self._count <= self.limit:
            return 200
        self._refused += 1
        if self._refused > self._tolerated_requests:
            self.banned_until = now + self._ban_seconds
            return 418
        return 429

    def add(self, weight: int, now: float) -> None:
        """Add weight without checking the limit."""
        self._count = self.count(now) + weight
        self.total += weight

    def share(self, weight: int, now: float) -> ExitStack:
        """Spend this weight as another program behind the same IP now, and at the start of every window."""
        self.add(weight, now)
        return self._other_traffic.switch_on(weight)

    def count(self, now: float) -> int:
        """Return the weight of the window so far."""
        window = int(now // self._window_seconds)
        if window != self._window:
            self._window, self._refused = window, 0
            self._count = sum(self._other_traffic.of())
            self.total += self._count
        return self._count

    def ban(self, seconds: float, now: float) -> ExitStack:
        """Ban the IP from now on, as after too many requests; closing the returned stack restores what was before."""
        undo = ExitStack()
        undo.callback(setattr, self, "banned_until", self.banned_until)
        self.banned_until = now + seconds
        return undo

    def retry_at(self, now: float) -> float:
        """Return when the ban ends, or else the window."""
        return (
            self.banned_until if now < self.banned_until else (now // self._window_seconds + 1) * self._window_seconds
        )

    def rate_limit(self, now: float) -> dict[str, str | int]:
        """Return the limit and the count as an entry of `rateLimits[]`."""
        return {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self.limit,
            "count": self.count(now),
        }
