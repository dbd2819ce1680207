"""Sends one account's requests, signed with its key, and once more after the exchange rejected their timestamp."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from exporter.binance.errors import Action, BinanceError, classify
from exporter.binance.messages import WEIGHT

if TYPE_CHECKING:
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.messages import Method
    from exporter.binance.request_sender import Outcome

log = structlog.get_logger()


class Requester:
    """Sends the requests of one account over its endpoint's connection.

    Args:
        state: the account's state, for its settings, whose credentials may change.
        connection: the endpoint's connection.
    """

    def __init__(self, state: AccountState, connection: Connection) -> None:
        self.clock = connection.clock
        self._state = state
        self._connection = connection

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._connection.connected

    async def request(self, *methods: Method, deadline: float) -> list[Outcome]:
        """Send several requests at once and return the outcome of each by `deadline` (monotonic seconds).

        If the exchange rejects a timestamp, its time is read again and all requests are sent once more.

        Raises:
            BinanceError: they could not be sent, as described in `Connection.request`, or the time could not be read.
        """
        asked_at = self._connection.clock.monotonic()
        outcomes = await self._request_once(*methods, deadline=deadline)
        is_clock_wrong = any(
            isinstance(outcome, BinanceError) and classify(outcome).action is Action.RESYNC for outcome in outcomes
        )
        if is_clock_wrong and not self._connection.budget.paused:
            try:
                async with asyncio.timeout(deadline - self._connection.clock.monotonic()):
                    await self._connection.resync_clock(asked_at)
            except TimeoutError:
                return outcomes
            return await self._request_once(*methods, deadline=deadline)
        return outcomes

    async def _request_once(self, *methods: Method, deadline: float) -> list[Outcome]:
        settings = self._state.settings
        began_at = self._connection.clock.monotonic()
        try:
            outcomes = await self._connection.request(
                *methods,
                credentials=settings.credentials,
                recv_window_ms=settings.recv_window_ms,
                timeout_seconds=settings.request_timeout_seconds,
                deadline=deadline,
            )
        except BinanceError as error:
            log.debug("request not sent", account=settings.name, methods=methods, error=str(error))
            raise
        for method, outcome in zip(methods, outcomes, strict=True):
            self._log(method, outcome, self._connection.clock.monotonic() - began_at)
        return outcomes

    def _log(self, method: Method, outcome: Outcome, seconds: float) -> None:
        fields = {"account": self._state.settings.name, "method": method.value, "weight": WEIGHT[method]}
        if isinstance(outcome, BinanceError):
            log.debug("request failed", **fields, duration_seconds=round(seconds, 3), error=str(outcome))
        else:
            log.debug("request succeeded", **fields, duration_seconds=round(outcome.received_at - outcome.sent_at, 3))
