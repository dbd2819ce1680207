"""Detects whether an account is in single-asset or multi-assets mode.

The sources, the most reliable first: the configuration; an isolated position, which proves single-asset mode; v1
``account.status``, requested before the first snapshot, hourly, and when the totals stop agreeing with it; the totals.
While v1 gives no conclusive response, it is requested again after 1, 2, 4 ... intervals, an hour at most.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from exporter.account.availability import RECHECK_SECONDS
from exporter.account.snapshot import AssetMode, infer_mode_from_totals, proves_single_mode
from exporter.binance.errors import BinanceError, NotSent, is_unknown_method
from exporter.binance.messages import WEIGHT, Method, decode_multi_assets

if TYPE_CHECKING:
    from exporter.account.availability import MethodAvailability
    from exporter.account.requester import Requester
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.rows import AccountStatus

log = structlog.get_logger()

_METHOD: Final = Method.ACCOUNT_STATUS_V1
_MAX_DISAGREEMENTS: Final = 3
_MIN_TIMEOUT_SECONDS: Final = 5.0
_MAX_TIMEOUT_FRACTION: Final = 0.9


class AssetModeDetector:
    """Detects one account's asset mode.

    Args:
        state: the account's state, for its settings, whose credentials may change.
        connection: the endpoint's connection.
        availability: which optional methods the endpoint offers.
        requester: sends the account's requests.
    """

    def __init__(
        self, state: AccountState, connection: Connection, availability: MethodAvailability, requester: Requester
    ) -> None:
        self._state = state
        self._connection = connection
        self._availability = availability
        self._requester = requester
        self._monotonic = connection.clock.monotonic
        self._reported_mode: AssetMode | None = None
        self._requested_at = self._next_request_at = float("-inf")  # for v1: the last request, and when the next is due
        self._totals_agree = False
        self._inconclusive_requests = 0  # v1 requests in a row without a response, or with one that cannot be true
        self._last_request_answered = False
        self._disagreements = 0  # polls in a row in which v1 did not resolve a disagreement
        self._request_task: asyncio.Task[None] | None = None

    def refresh(self, deadline: float) -> None:
        """Request v1, if due, in parallel with the poll; only while the mode is unknown does the poll wait for it."""
        if self._request_task and self._request_task.done():
            request_task, self._request_task = self._request_task, None
            request_task.result()
        # With a refused key v1 is requested only after the exchange has accepted the key again, in `detect`.
        if self._request_task is None and self._is_due and not self._state.refused:
            self._request_task = asyncio.create_task(self._request_mode(deadline), name="asset mode")

    def stop(self) -> None:
        """Cancel an outstanding request."""
        if self._request_task:
            self._request_task.cancel()

    async def detect(self, status: AccountStatus, deadline: float) -> AssetMode:
        """Return the asset mode of the account that `status` describes."""
        if self._state.settings.asset_mode:
            return self._state.settings.asset_mode
        await self._await_request(deadline)
        if proves_single_mode(status):
            if self._reported_mode is AssetMode.MULTI:  # disproved
                self._reported_mode = None
                self._retry_later()
            return AssetMode.SINGLE
        if self._last_request_answered:
            self._inconclusive_requests = 0
        inferred = infer_mode_from_totals(status)
        if self._reported_mode and self._totals_agree and inferred is not self._reported_mode:
            # The account may have been switched. Until v1 confirms it, the totals keep disagreeing.
            if self._request_task:
                await asyncio.wait([self._request_task])
            else:
                await self._request_mode(deadline)
            if not self._last_request_answered and self._reported_mode and self._disagreements < _MAX_DISAGREEMENTS:
                self._disagreements += 1
                return self._reported_mode
            if not self._last_request_answered:
                self._reported_mode = None
        self._disagreements = 0
        self._totals_agree = inferred is self._reported_mode
        return self._reported_mode or inferred

    async def _await_request(self, deadline: float) -> None:
        if self._state.refused and self._is_due:
            await self._request_mode(deadline)
        elif self._request_task and self._reported_mode is None:
            await asyncio.wait([self._request_task])

    @property
    def _is_due(self) -> bool:
        return not self._state.settings.asset_mode and self._monotonic() >= self._next_request_at

    async def _request_mode(self, deadline: float) -> None:
        """Request v1 within half of the time until `deadline`, or more if that is short; never fail the poll."""
        self._last_request_answered = False
        self._requested_at = now = self._monotonic()
        self._next_request_at = now + RECHECK_SECONDS
        if not self._availability.is_available(_METHOD):
            self._reported_mode = None  # it may have changed, and nothing would report it
            return
        if not self._connection.connected:
            self._next_request_at = now  # the poll itself reports why; do not wait for a turn
            return
        remaining_seconds = deadline - now
        request_deadline = now + min(
            max(remaining_seconds / 2, _MIN_TIMEOUT_SECONDS), _MAX_TIMEOUT_FRACTION * remaining_seconds
        )
        try:
            async with asyncio.timeout(request_deadline - now):
                await self._availability.wait_for_turn(WEIGHT[_METHOD])
            response = await self._requester.request_one(_METHOD, request_deadline)
            self._reported_mode = AssetMode.MULTI if decode_multi_assets(response.result) else AssetMode.SINGLE
            self._last_request_answered = True
            self._availability.mark_available(_METHOD)
        except (TimeoutError, NotSent):
            self._next_request_at = now  # nothing was sent: try again at the next poll
        except BinanceError as error:
            self._handle_error(error)

    def _handle_error(self, error: BinanceError) -> None:
        if is_unknown_method(error):
            self._reported_mode = None
            if self._availability.mark_unavailable(_METHOD):
                log.warning(
                    "v1 account.status unavailable, inferring asset mode from balances",
                    endpoint=self._connection.endpoint.label,
                )
            return
        log.debug("could not read asset mode", account=self._state.settings.name, error=str(error))
        self._retry_later()

    def _retry_later(self) -> None:
        interval = self._state.interval_seconds
        delay = min(interval * 2.0 ** min(self._inconclusive_requests, 16), RECHECK_SECONDS)
        self._inconclusive_requests += 1
        # Half an interval less, so that the poll at the end of the delay sends the request.
        self._next_request_at = self._requested_at + delay - interval / 2
