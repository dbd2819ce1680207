"""Finds out whether an account is in single- or multi-assets mode, in the order of what can be trusted.

The configuration; else an isolated position, which proves single-asset mode; else what v1 ``account.status`` says,
asked before the first snapshot, hourly, and when the figures stop agreeing with it; else the figures.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from exporter.account.optional import ASK_AGAIN_SECONDS
from exporter.account.snapshot import AssetMode, mode_by_totals, proves_single
from exporter.binance.errors import (
    BinanceError,
    ConnectionLost,
    NoAnswer,
    NotSent,
    is_method_gone,
)
from exporter.binance.messages import WEIGHT, Method, decode_multi_assets

if TYPE_CHECKING:
    from exporter.account.asking import Questions
    from exporter.account.optional import OptionalMethods
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.rows import AccountStatus

log = structlog.get_logger()

_METHOD: Final = Method.ACCOUNT_STATUS_V1
_UNANSWERED_AT_MOST: Final = 3


class ModeFinder:
    """Finds one account's asset mode.

    Args:
        state: the account's; read for its settings, whose credentials may change.
        connection: the endpoint's.
        optional: what the endpoint still offers.
        questions: asks for the account.
    """

    def __init__(
        self, state: AccountState, connection: Connection, optional: OptionalMethods, questions: Questions
    ) -> None:
        self._state = state
        self._connection = connection
        self._optional = optional
        self._questions = questions
        self._monotonic = connection.clock.monotonic
        self._told: AssetMode | None = None
        self._asked_at = float("-inf")
        self._figures_agree = False
        self._unanswered = 0
        self._answered = False
        self._disagreements = 0  # polls in a row for which v1 could not settle it

    async def prepare(self, deadline: float) -> None:
        """Ask, where it is time to, before the figures are: so that they are no older than they must be."""
        if not self._state.settings.asset_mode and self._monotonic() - self._asked_at >= ASK_AGAIN_SECONDS:
            await self._ask(deadline)

    async def find(self, status: AccountStatus, deadline: float) -> AssetMode:
        """Return the mode that `status` is to be read in."""
        if self._state.settings.asset_mode:
            return self._state.settings.asset_mode
        if proves_single(status):
            if self._told is AssetMode.MULTI:  # disproved
                self._told, self._asked_at = None, float("-inf")
            return AssetMode.SINGLE
        guess = mode_by_totals(status)
        if self._told and self._figures_agree and guess is not self._told:
            # The account may have been switched. Until v1 says so the figures go on disagreeing.
            await self._ask(deadline)
            if not self._answered and self._told and self._disagreements < _UNANSWERED_AT_MOST:
                self._disagreements += 1
                return self._told
            if not self._answered:
                self._told = None
        self._disagreements = 0
        self._figures_agree = guess is self._told
        return self._told or guess

    async def _ask(self, deadline: float) -> None:
        """Ask v1; whatever goes wrong costs half of the poll's time at most, and is no failure of the poll."""
        self._answered = False
        self._asked_at = self._monotonic()
        if not self._optional.offered(_METHOD):
            self._told = None  # nobody can say any more whether it is still so
            return
        if not self._connection.connected:
            self._asked_at = float("-inf")  # the poll itself will say why; no turn is waited for
            return
        until = self._asked_at + (deadline - self._asked_at) / 2
        try:
            async with asyncio.timeout(until - self._asked_at):
                await self._optional.wait_for_turn(WEIGHT[_METHOD])
            answer = await self._questions.ask_one(_METHOD, until)
            self._told = AssetMode.MULTI if decode_multi_assets(answer.result) else AssetMode.SINGLE
            self._unanswered = 0
            self._answered = True
            self._optional.back(_METHOD)
        except TimeoutError:
            self._asked_at = float("-inf")  # its turn did not come: next poll
        except BinanceError as error:
            self._failed(error)

    def _failed(self, error: BinanceError) -> None:
        if is_method_gone(error):
            self._told = None
            if self._optional.gone(_METHOD):
                log.warning("asset modes are told from the figures", endpoint=self._connection.endpoint.label)
            return
        log.debug("asset mode not told", account=self._state.settings.name, error=str(error))
        if isinstance(error, NotSent | NoAnswer | ConnectionLost):
            # Nothing was said of it: ask again with the next poll, but not for ever, for it is dear.
            self._unanswered += 1
            if isinstance(error, NotSent) or self._unanswered < _UNANSWERED_AT_MOST:
                self._asked_at = float("-inf")
