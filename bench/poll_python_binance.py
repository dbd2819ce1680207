"""python-binance and Gauges; with `clears` among the arguments those of closed positions go, as they must."""

from __future__ import annotations

import sys
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.gauges import Gauges
from bench.peer import Peer, run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports websockets' old interface for a type alone
    from binance import AsyncClient
    from binance.ws.websocket_api import WebsocketAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.peer import About


@asynccontextmanager
async def connect(about: About) -> AsyncIterator[Peer]:
    """Connect with the first poll."""
    client = AsyncClient(about["api_key"], about["secret_key"])
    # The futures WebSocket API's address is a constant there; a client of the bench's own takes its place.
    client.ws_future = WebsocketAPI(url=about["url"], tld="com")
    gauges = Gauges(about, clears="clears" in sys.argv)

    async def poll() -> None:
        status = await client.ws_futures_v2_account_status()
        gauges.set(status, status["assets"], status["positions"])

    yield Peer(poll, gauges.text)
    await client.close_connection()


if __name__ == "__main__":
    run(connect)
