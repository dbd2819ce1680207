"""Repeats a query that is slower than the polls, in parallel with them; it never fails or delays a poll by itself.

A query that gets no usable response is sent again after 1, 2, 4 ... polling intervals, at most after its own interval.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import structlog

from exporter.account.queries import read
from exporter.binance.errors import BinanceError, NotSent, is_unknown_method
from exporter.binance.request_sender import response_or_raise

if TYPE_CHECKING:
    from exporter.account.availability import MethodAvailability
    from exporter.account.queries import Query, Reading
    from exporter.account.requester import Requester
    from exporter.account.state import AccountState

log = structlog.get_logger()

_Result = TypeVar("_Result")
_MIN_TIMEOUT_SECONDS: Final = 5.0
_MAX_TIMEOUT_FRACTION: Final = 0.9


class BackgroundQuery(Generic[_Result]):
    """Keeps the last reading of one account's query.

    Args:
        query: what to request; it has an interval.
        state: the account's state, for its settings, which may change.
        requester: sends the account's requests.
        availability: which methods the endpoint offers, and whose turn it is.
    """

    def __init__(
        self,
        query: Query[_Result],
        state: AccountState,
        requester: Requester,
        availability: MethodAvailability,
    ) -> None:
        self.query = query
        self.reading: Reading[_Result] | None = None  # kept until the exchange no longer offers the method
        self.answered = False  # whether the last request brought a reading
        self._state = state
        self._requester = requester
        self._availability = availability
        self._clock = requester.clock
        self._interval_seconds = query.interval_seconds or 0.0
        self._requested_at = self._due_at = float("-inf")  # monotonic seconds
        self._failures = 0  # requests in a row without a usable response
        self._rejected = False  # whether the last reading cannot be true
        self._task: asyncio.Task[None] | None = None

    @property
    def fresh_reading(self) -> Reading[_Result] | None:
        """The last reading, None if it is too old."""
        reading = self.reading
        if reading and self._clock.host.data_time() - reading.asked_at < self.query.stale_after_seconds:
            return reading
        return None

    def start_if_due(self, deadline: float) -> None:
        """Send the request if it is due, without waiting; `deadline` is that of the poll, in monotonic seconds."""
        # The host may have been suspended, or a virtual machine paused, for longer than the reading may be shown.
        is_outdated = self.reading is not None and self.fresh_reading is None and not self._failures
        is_due = self._clock.monotonic() >= self._due_at or is_outdated
        if is_due and not self._is_running and self.query.is_enabled(self._state.settings):
            self._task = asyncio.create_task(self._request(deadline), name=self.query.method)

    async def wait(self) -> None:
        """Wait for an outstanding request."""
        if self._task:
            await asyncio.wait([self._task])

    async def request(self, deadline: float) -> None:
        """Send the request now, or wait for the one that is outstanding."""
        if self._is_running:
            await self.wait()
        else:
            await self._request(deadline)

    def reject(self) -> None:
        """Request again, as after a failure: the last reading cannot be true."""
        self._rejected = True
        self._retry_later()

    def stop(self) -> None:
        """Cancel an outstanding request."""
        if self._task:
            self._task.cancel()
            self._task = None

    @property
    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _request(self, deadline: float) -> None:
        """Send the request within half of the time until `deadline`, or more if that is short."""
        self.answered = False
        self._requested_at = now = self._clock.monotonic()
        self._due_at = now + self._interval_seconds
        if not self._availability.may_try(self.query.method):
            self.reading = None  # it may have changed, and nothing would report it
            return
        if not self._requester.connected:
            self._due_at = now  # the poll itself reports why; do not wait for a turn
            return
        remaining_seconds = deadline - now
        request_deadline = now + min(
            max(remaining_seconds / 2, _MIN_TIMEOUT_SECONDS), _MAX_TIMEOUT_FRACTION * remaining_seconds
        )
        try:
            async with asyncio.timeout(request_deadline - now):
                await self._availability.wait_for_turn(self.query.weight)
            await self._send(request_deadline)
        except (TimeoutError, NotSent):
            self._due_at = now  # nothing was sent: try again at the next poll
        except BinanceError as error:
            self._handle_error(error)
        except Exception:  # no poll may fail because of it
            log.exception("query failed, internal error", account=self._state.settings.name)
            self._retry_later()

    async def _send(self, deadline: float) -> None:
        """Send the request and keep its reading.

        Raises:
            BinanceError: it could not be sent, or failed.
        """
        method = self.query.method
        if not self._availability.claim(method):  # another account is trying it
            self.reading = None
            return
        try:
            (outcome,) = await self._requester.request(method, deadline=deadline)
        except NotSent:
            self._availability.release(method)
            raise
        self.reading = read(self.query, response_or_raise(outcome))
        self._availability.mark_available(method)
        self.answered = True
        if not self._rejected:
            self._failures = 0
        self._rejected = False

    def _handle_error(self, error: BinanceError) -> None:
        if is_unknown_method(error):
            self.reading = None
            self._availability.mark_unavailable(self.query, error)
            return
        log.debug("query failed", account=self._state.settings.name, method=self.query.method.value, error=str(error))
        self._retry_later()

    def _retry_later(self) -> None:
        interval = self._state.interval_seconds
        delay = min(interval * 2.0 ** min(self._failures, 16), self._interval_seconds)
        self._failures += 1
        # Half an interval less, so that the poll at the end of the delay sends the request.
        self._due_at = self._requested_at + delay - interval / 2
