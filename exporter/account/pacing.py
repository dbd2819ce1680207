"""When the accounts of an endpoint may poll where its grid does not say: the first round, and after refusals."""

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
_LONGEST_SPACING_SECONDS: Final = 0.05  # few accounts are done sooner: a short run must reach all of them
# A little more than a minute: a turn that was taken at the beginning of a poll is not free just when the next poll of
# that account begins, which would lose its place by it.
_WINDOW_SECONDS: Final = 60.1
_TURNS_PER_MINUTE: Final = 12
_LONGEST_DELAY_SECONDS: Final = 300.0


def refusal_delay(refusals: int, interval_seconds: float) -> float:
    """Return how many seconds after its last question an account is asked again that was refused so often in a row."""
    return min(interval_seconds * 2.0 ** min(refusals - 1, 16), _LONGEST_DELAY_SECONDS)


class EndpointPacing:
    """Paces the accounts of one endpoint where they would otherwise all ask at once.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._first_polls = asyncio.Lock()
        self._alone = True  # whether the next first poll must be over before another one begins
        self._spacing = _LONGEST_SPACING_SECONDS
        self._next_first_poll_at = float("-inf")
        self._turns = deque([float("-inf")] * _TURNS_PER_MINUTE, maxlen=_TURNS_PER_MINUTE)  # when they were taken
        self._waiting: list[tuple[bool, float, int]] = []  # refused accounts, the one that goes next first
        self._places = count()
        # When an account that had been refused was last accepted. Refusals before may have been spurious, or their
        # cause gone: accounts refused before that need not wait any longer for their delay.
        self.accepted_at = float("-inf")

    def begin_round(self, accounts: int) -> None:
        """Prepare for the first polls of so many new accounts: one alone, then the others within 5 seconds."""
        self._alone = True
        self._spacing = min(_LONGEST_SPACING_SECONDS, ROUND_SECONDS / accounts)

    @asynccontextmanager
    async def first_poll(self) -> AsyncIterator[None]:
        """Wait for an account's place in the round; its first poll is to be made inside.

        The first one is alone until it is over, so that the others know how much of its weight the IP has used.
        """
        async with self._first_polls:
            if self._alone:
                yield
                self._alone, self._next_first_poll_at = False, self._monotonic()
                return
            await asyncio.sleep(self._next_first_poll_at - self._monotonic())
            self._next_first_poll_at += self._spacing
        yield

    async def take_turn(self, asked_at: float, deadline: float, *, worked: bool) -> bool:
        """Wait until a refused account may ask again, `deadline` at the latest; return whether it may.

        All refused accounts together get 12 turns in any minute: those first that have ever been accepted, and of them
        those that have not asked for longest.

        Args:
            asked_at: when the account last asked, in monotonic seconds.
            deadline: in monotonic seconds.
            worked: whether the account has been accepted before.
        """
        place = (not worked, asked_at, next(self._places))
        insort(self._waiting, place)
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                while (seconds := self._seconds_until_turn(place)) > 0:  # noqa: ASYNC110 - only time frees a turn
                    await asyncio.sleep(seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting.remove(place)
        self._turns.append(self._monotonic())
        return True

    def _seconds_until_turn(self, place: tuple[bool, float, int]) -> float:
        """Return the seconds until all turns are free that this account and those before it need."""
        now = self._monotonic()
        rounds, turn = divmod(self._waiting.index(place), _TURNS_PER_MINUTE)
        return max(self._turns[turn] + _WINDOW_SECONDS - now, 0.0) + rounds * _WINDOW_SECONDS
