"""Finds out whether an account is in single- or multi-assets mode, in the order of what can be trusted.

The configuration; else an isolated position, which proves single-asset mode; else what v1 ``account.status`` says,
asked before the first snapshot, hourly, and when the figures stop agreeing with it; else the figures. While v1 does not
settle it, it is asked again after 1, 2, 4 ... intervals, an hour at most.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from exporter.account.availability import ASK_AGAIN_SECONDS
from exporter.account.snapshot import AssetMode, mode_by_totals, proves_single
from exporter.binance.errors import BinanceError, NotSent, is_method_gone
from exporter.binance.messages import WEIGHT, Method, decode_multi_assets

if TYPE_CHECKING:
    from exporter.account.availability import MethodAvailability
    from exporter.account.requester import Requester
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.rows import AccountStatus

log = structlog.get_logger()

_METHOD: Final = Method.ACCOUNT_STATUS_V1
_DISAGREEMENTS_AT_MOST: Final = 3
_ENOUGH_SECONDS: Final = 5.0
_LARGEST_PART: Final = 0.9


class AssetModeDetector:
    """Finds one account's asset mode.

    Args:
        state: the account's; read for its settings, whose credentials may change.
        connection: the endpoint's.
        optional: what the endpoint still offers.
        requester: asks for the account.
    """

    def __init__(
        self, state: AccountState, connection: Connection, optional: MethodAvailability, requester: Requester
    ) -> None:
        self._state = state
        self._connection = connection
        self._optional = optional
        self._requester = requester
        self._monotonic = connection.clock.monotonic
        self._told: AssetMode | None = None
        self._asked_at = self._ask_at = float("-inf")  # when v1 was last asked, and when it is due
        self._figures_agree = False
        self._unsettled = 0  # questions in a row to which v1 gave no answer, or none that can be true
        self._answered = False
        self._disagreements = 0  # polls in a row for which v1 could not settle it
        self._asking: asyncio.Task[None] | None = None

    def refresh(self, deadline: float) -> None:
        """Ask v1, if due, in parallel with the poll; only an account whose mode is unknown waits for the answer."""
        if self._asking and self._asking.done():
            asking, self._asking = self._asking, None
            asking.result()
        # Of a refused key v1 is asked once the exchange has accepted it again, in `find`.
        if self._asking is None and self._is_due and not self._state.refused:
            self._asking = asyncio.create_task(self._ask(deadline), name="asset mode")

    def stop(self) -> None:
        """End a question that is still open."""
        if self._asking:
            self._asking.cancel()

    async def detect(self, status: AccountStatus, deadline: float) -> AssetMode:
        """Return the mode that `status` is to be read in."""
        if self._state.settings.asset_mode:
            return self._state.settings.asset_mode
        await self._finish_asking(deadline)
        if proves_single(status):
            if self._told is AssetMode.MULTI:  # disproved
                self._told = None
                self._retry_later()
            return AssetMode.SINGLE
        if self._answered:
            self._unsettled = 0
        guess = mode_by_totals(status)
        if self._told and self._figures_agree and guess is not self._told:
            # The account may have been switched. Until v1 says so the figures go on disagreeing.
            if self._asking:
                await asyncio.wait([self._asking])
            else:
                await self._ask(deadline)
            if not self._answered and self._told and self._disagreements < _DISAGREEMENTS_AT_MOST:
                self._disagreements += 1
                return self._told
            if not self._answered:
                self._told = None
        self._disagreements = 0
        self._figures_agree = guess is self._told
        return self._told or guess

    async def _finish_asking(self, deadline: float) -> None:
        if self._state.refused and self._is_due:
            await self._ask(deadline)
        elif self._asking and self._told is None:
            await asyncio.wait([self._asking])

    @property
    def _is_due(self) -> bool:
        return not self._state.settings.asset_mode and self._monotonic() >= self._ask_at

    async def _ask(self, deadline: float) -> None:
        """Ask v1, within half of the time until `deadline`, or more if that is short; its failure fails no poll."""
        self._answered = False
        self._asked_at = now = self._monotonic()
        self._ask_at = now + ASK_AGAIN_SECONDS
        if not self._optional.is_available(_METHOD):
            self._told = None  # nobody can say any more whether it is still so
            return
        if not self._connection.connected:
            self._ask_at = now  # the poll itself will say why; no turn is waited for
            return
        left = deadline - now
        until = now + min(max(left / 2, _ENOUGH_SECONDS), _LARGEST_PART * left)
        try:
            async with asyncio.timeout(until - now):
                await self._optional.wait_for_turn(WEIGHT[_METHOD])
            answer = await self._requester.request_one(_METHOD, until)
            self._told = AssetMode.MULTI if decode_multi_assets(answer.result) else AssetMode.SINGLE
            self._answered = True
            self._optional.mark_available(_METHOD)
        except (TimeoutError, NotSent):
            self._ask_at = now  # nothing was asked: next poll
        except BinanceError as error:
            self._failed(error)

    def _failed(self, error: BinanceError) -> None:
        if is_method_gone(error):
            self._told = None
            if self._optional.mark_unavailable(_METHOD):
                log.warning("asset modes are told from the figures", endpoint=self._connection.endpoint.label)
            return
        log.debug("asset mode not told", account=self._state.settings.name, error=str(error))
        self._retry_later()

    def _retry_later(self) -> None:
        interval = self._state.interval_seconds
        delay = min(interval * 2.0 ** min(self._unsettled, 16), ASK_AGAIN_SECONDS)
        self._unsettled += 1
        # Half an interval less, so that the poll at the end of the delay asks.
        self._ask_at = self._asked_at + delay - interval / 2
