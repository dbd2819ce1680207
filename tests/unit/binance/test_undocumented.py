"""What is used of websockets beyond its documented API; redirects are in test_dialing.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from exporter.binance.undocumented import abort

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_abort_ends_a_connection_at_once(exchange: SimulatedExchange) -> None:
    """After an abort a read that waits fails without a close handshake, even if the peer reads nothing."""
    async with connect(exchange.url) as connection:
        reading = asyncio.create_task(connection.recv())
        await asyncio.sleep(0)
        with exchange.stall_connections():
            abort(connection)
            with pytest.raises(ConnectionClosedError):
                await reading

    assert connection.close_code == 1006
