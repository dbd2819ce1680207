"""One account's questions: signed with its key, and asked once more when the exchange's clock had to be learnt anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.binance.errors import Action, BinanceError, classify

if TYPE_CHECKING:
    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.messages import Method
    from exporter.binance.queries import Answer


class Questions:
    """Asks for one account over its endpoint's connection.

    Args:
        state: the account's; read for its settings, whose credentials may change.
        connection: the endpoint's.
    """

    def __init__(self, state: AccountState, connection: Connection) -> None:
        self._state = state
        self._connection = connection

    async def ask(self, method: Method, deadline: float) -> Answer:
        """Return the answer to one query, to be over by `deadline` (monotonic seconds).

        Raises:
            BinanceError: as `Connection.request` does; for a wrong timestamp only after one more try.
        """
        asked_at = self._connection.clock.monotonic()
        try:
            return await self._ask_once(method, deadline)
        except BinanceError as error:
            if classify(error).action is not Action.RESYNC:
                raise
            try:
                async with asyncio.timeout(deadline - self._connection.clock.monotonic()):
                    await self._connection.resync_clock(asked_at)
            except TimeoutError:
                raise error from None
            return await self._ask_once(method, deadline)

    async def _ask_once(self, method: Method, deadline: float) -> Answer:
        settings = self._state.settings
        return await self._connection.request(
            method,
            settings.credentials,
            recv_window_ms=settings.recv_window_ms,
            timeout_seconds=settings.request_timeout_seconds,
            deadline=deadline,
        )
