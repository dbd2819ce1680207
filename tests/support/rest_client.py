"""A client of the simulated exchange's REST side, with one connection that is kept alive."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

from support.simulator_client import sign_query
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.simulator import SimulatedAccount, SimulatedExchange
    from support.clocks import Clock


class Reply(NamedTuple):
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """The decoded JSON."""
        return json.loads(self.content)


class RestClient:
    """One connection with one request at a time; it opens another one when the exchange closes it."""

    def __init__(self, exchange: SimulatedExchange, clock: Clock) -> None:
        self.connection = HTTPConnection(urlsplit(exchange.rest_url).netloc, timeout=DEADLINE_SECONDS)
        self._clock = clock

    async def get(self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Reply:
        """Send a request as it is."""

        def get() -> Reply:
            self.connection.request(method, target, headers=dict(headers or {}))
            response = self.connection.getresponse()
            headers_by_name = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers_by_name, response.read())

        return await asyncio.to_thread(get)

    async def signed(self, account: SimulatedAccount, path: str, **params: Any) -> Reply:
        """Send a signed request."""
        query = sign_query(account, self._clock, **params)
        return await self.get(f"{path}?{query}", {"X-MBX-APIKEY": account.api_key})

    async def body(self, target: str) -> Any:
        """Return the decoded answer to a request that needs no key and must succeed."""
        reply = await self.get(target)
        assert reply.status == 200, reply
        return reply.body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
