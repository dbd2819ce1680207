"""The request weight of the one IP that all clients of the simulated exchange share, and its bans."""

from __future__ import annotations

from typing import Literal


class RequestWeight:
    """Counts weight by aligned minute; every time is in seconds since the epoch.

    Over the limit answers are 429; after more than `tolerated_requests` of them the IP is banned. `total` is the weight
    of all minutes.
    """

    def __init__(self, limit: int, *, tolerated_requests: int, ban_seconds: float) -> None:
        self.limit = limit
        self.total = 0
        self.banned_until = 0.0
        self._tolerated_requests = tolerated_requests
        self._ban_seconds = ban_seconds
        self._minute = 0
        self._count = 0
        self._refused = 0

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
        self.total += weight
        self._count = self.count(now) + weight

    def count(self, now: float) -> int:
        """Return the weight of the minute so far."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._count, self._refused = minute, 0, 0
        return self._count

    def retry_at(self, now: float) -> float:
        """Return when the ban ends, or else the minute."""
        return self.banned_until if now < self.banned_until else (now // 60 + 1) * 60

    def rate_limit(self, now: float) -> dict[str, str | int]:
        """Return the limit and the count as an entry of `rateLimits[]`."""
        return {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self.limit,
            "count": self.count(now),
        }
