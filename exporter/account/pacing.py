"""When the accounts of an endpoint may poll outside of the polling grid: at the start, and while refused."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROUND_SECONDS: Final = 5.0
_MAX_SPACING_SECONDS: Final = 0.05  # few accounts finish sooner: a short run must reach all of them
# A little more than a minute: a turn taken at the start of a poll must not become free exactly when the next poll of
# that account starts, which would then lose its place.
_WINDOW_SECONDS: Final = 60.1
_TURNS_PER_MINUTE: Final = 12
_MAX_DELAY_SECONDS: Final = 300.0


def refusal_delay(refusals: int, interval_seconds: float) -> float:
    """Return the seconds from an account's last request to its next one after this many refusals in a row."""
    return min(interval_seconds * 2.0 ** min(refusals - 1, 16), _MAX_DELAY_SECONDS)


class EndpointPacing:
    """Spreads the polls of one endpoint's accounts where they would otherwise all be sent at once.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._first_polls = asyncio.Lock()
        self._next_polls_alone = True  # whether the next first poll must end before another one begins
        self._spacing = _MAX_SPACING_SECONDS
        self._next_first_poll_at = float("-inf")
        # When the last turns were taken.
        self._turn_times = deque([float("-inf")] * _TURNS_PER_MINUTE, maxlen=_TURNS_PER_MINUTE)
        self._queue: list[tuple[bool, float, int]] = []  # refused accounts that wait for a turn, in order
        self._arrivals = count()
        # When a refused account was last accepted again. Earlier refusals may have been spurious, or their cause fixed:
        # accounts that were refused before then no longer wait for their delay.
        self.accepted_at = float("-inf")

    def begin_round(self, accounts: int) -> None:
        """Prepare the first polls of `accounts` new accounts: one alone, then the others within 5 seconds."""
        self._next_polls_alone = True
        self._spacing = min(_MAX_SPACING_SECONDS, ROUND_SECONDS / accounts)

    @asynccontextmanager
    async def first_poll(self) -> AsyncIterator[None]:
        """Wait for an account's turn in the round; make its first poll inside this context.

        The first one runs alone, so that the others know how much request weight the IP has used.
        """
        async with self._first_polls:
            if self._next_polls_alone:
                yield
                self._next_polls_alone, self._next_first_poll_at = False, self._monotonic()
                return
            await asyncio.sleep(self._next_first_poll_at - self._monotonic())
            self._next_first_poll_at += self._spacing
        yield

    async def take_turn(self, asked_at: float, deadline: float, *, accepted_before: bool) -> bool:
        """Wait until a refused account may poll, up to `deadline`; return whether it may.

        All refused accounts together get 12 turns per minute. Accounts that have been accepted before come first, and
        among them those whose last request is the oldest.

        Args:
            asked_at: when the account's last request was sent, in monotonic seconds.
            deadline: in monotonic seconds.
            accepted_before: whether the account has ever been accepted.
        """
        entry = (not accepted_before, asked_at, next(self._arrivals))
        insort(self._queue, entry)
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                while (seconds := self._seconds_until_turn(entry)) > 0:  # noqa: ASYNC110 - only time frees a turn
                    await asyncio.sleep(seconds)
        except TimeoutError:
            return False
        finally:
            self._queue.remove(entry)
        self._turn_times.append(self._monotonic())
        return True

    def _seconds_until_turn(self, entry: tuple[bool, float, int]) -> float:
        """Return the seconds until there are enough free turns for this account and those before it."""
        now = self._monotonic()
        rounds, turn = divmod(self._queue.index(entry), _TURNS_PER_MINUTE)
        return max(self._turn_times[turn] + _WINDOW_SECONDS - now, 0.0) + rounds * _WINDOW_SECONDS
