"""Reads once a day what the API key of an account may do; after a failure, after an hour, then doubled to a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.rest.reader import Reader, Reading
from exporter.rest.requests import RestPath, decode_api_restrictions
from exporter.rest.state import KeyState

if TYPE_CHECKING:
    from collections import Counter

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.errors import Reason
    from exporter.binance.signing import Credentials
    from exporter.rest.client import RestClient
    from exporter.rest.requests import KeyPermissions

_INTERVAL_SECONDS: Final = 86_400.0
_STALE_AFTER_SECONDS: Final = 2.5 * 86_400
_WEIGHT: Final = 1


class KeyCheck:
    """Reads the permissions of one API key; accounts that share a key share it, also across reloads.

    Args:
        account: the name of an account with that key, for the log.
        credentials: the key, which signs the request.
        client: sends it; its host is not that of the futures API.
        clock: the endpoint's clock.
        failures: counts failures by reason.
    """

    def __init__(
        self,
        account: str,
        credentials: Credentials,
        client: RestClient,
        clock: ExchangeClock,
        failures: Counter[Reason],
    ) -> None:
        self.credentials = credentials
        self.client = client
        self._clock = clock
        self.reader = Reader(
            {"account": account, "read": "key permissions"},
            _INTERVAL_SECONDS,
            self.read,
            client.budget,
            clock,
            failures,
            _STALE_AFTER_SECONDS,
        )

    async def run(self) -> None:
        """Read until cancelled."""
        await self.reader.run()

    def state_of(self, account: str) -> KeyState | None:
        """Return what the key may do, None if that is unknown."""
        return KeyState(account, self.reader.result) if self.reader.result else None

    async def read(self) -> Reading[KeyPermissions] | None:
        """Request the permissions, and return them; None while the exchange's time is unknown.

        Raises:
            BinanceError: as `RestClient.get`.
        """
        if not self._clock.synchronized:  # the exchange would reject the timestamp of a host whose clock is wrong
            return None
        try:
            response = await self.client.get(RestPath.API_RESTRICTIONS, _WEIGHT, credentials=self.credentials)
        finally:
            await self.client.close()  # the next request is in a day
        return Reading(decode_api_restrictions(response.body), response.asked_at)
