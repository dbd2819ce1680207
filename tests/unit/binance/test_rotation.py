"""Rotation: a connection is replaced before the exchange closes it, without a failed request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from support.polling import FAST, connected, request_status
from support.waiting import until

from exporter.binance.errors import DisconnectReason

if TYPE_CHECKING:
    from exporter.binance.connection import Connection
    from exporter.simulator import SimulatedExchange

NEVER = (3600.0, 3600.0)
# Connections that are replaced again and again, as if hours had passed.
ROTATING = replace(FAST, rotate_between=(0.02, 0.05), stable_after=0.0)
SHUTDOWN = '{"event": {"e": "serverShutdown", "E": 1}}'


async def request_alice(connection: Connection, exchange: SimulatedExchange) -> None:
    """Ask for alice's status, with time enough on any machine."""
    await request_status(
        connection, exchange.accounts["alice"], recv_window_ms=60_000, timeout_seconds=30.0, within=60.0
    )


async def test_rotation_costs_no_request(exchange: SimulatedExchange) -> None:
    """While connections are replaced one after the other, requests go on and none is lost."""
    async with connected(exchange.url, timing=ROTATING) as connection:
        while connection.disconnections[DisconnectReason.ROTATION] < 5:
            await request_alice(connection, exchange)

            assert connection.connected
        assert {DisconnectReason.ROTATION} == set(connection.disconnections)
        await until(lambda: len(exchange.connections) <= 2)


async def test_outstanding_response_survives_the_rotation(exchange: SimulatedExchange) -> None:
    """A link that was replaced stays open until the answers that are awaited over it have come."""
    async with connected(exchange.url, timing=replace(FAST, rotate_between=NEVER)) as connection:
        with exchange.lose_answers():
            request = asyncio.create_task(request_alice(connection, exchange))
            await until(lambda: any(request.method == "v2/account.status" for request in exchange.received))
        (first,) = exchange.connections
        await exchange.send_raw(SHUTDOWN)
        await until(lambda: connection.connections == 2)
        await request_alice(connection, exchange)

        assert not request.done()
        assert first in exchange.connections
        await first.send('{"id": 2, "status": 200, "result": {}}')
        await request
        await until(lambda: first not in exchange.connections)
        assert {DisconnectReason.SHUTDOWN: 1} == connection.disconnections


async def test_refused_rotation_keeps_the_old_link(exchange: SimulatedExchange) -> None:
    """While no successor can be had requests go over the link that is due, and dials back off."""
    async with connected(exchange.url, timing=replace(FAST, rotate_between=NEVER)) as connection:
        with exchange.reject_handshake(503):
            await exchange.send_raw(SHUTDOWN)
            await until(lambda: connection.disconnections[DisconnectReason.REJECTED] >= 3)
            await request_alice(connection, exchange)

            assert connection.connected
        await until(lambda: connection.connections == 2)
        await until(lambda: connection.disconnections[DisconnectReason.SHUTDOWN] == 1)
        await request_alice(connection, exchange)


async def test_shutdown_before_the_successor(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A link that ends after an announced shutdown is counted as a shutdown, and the endpoint is dialled again."""
    async with connected(exchange.url) as connection:
        with exchange.reject_handshake(503):
            await exchange.send_raw(SHUTDOWN)
            await until(lambda: connection.disconnections[DisconnectReason.REJECTED] >= 1)
            exchange.drop_connections()
            await until(lambda: connection.disconnections[DisconnectReason.SHUTDOWN] == 1)

            assert not connection.connected
        await until(lambda: connection.connected)

    assert "shutdown" in {event["reason"] for event in logged if event["event"] == "not connected"}


async def test_link_lost_while_a_rotation_is_refused(exchange: SimulatedExchange) -> None:
    """A link that breaks before its planned successor stands is a loss like any other, not a rotation."""
    async with connected(exchange.url, timing=ROTATING) as connection:
        await until(lambda: connection.disconnections[DisconnectReason.ROTATION] >= 1)
        with exchange.reject_handshake(503):
            await until(lambda: connection.disconnections[DisconnectReason.REJECTED] >= 1)
            rotations = connection.disconnections[DisconnectReason.ROTATION]
            exchange.drop_connections()
            # A dial whose handshake is under way breaks off with it, which is another loss.
            await until(lambda: connection.disconnections[DisconnectReason.RESET] >= 1)
            assert rotations == connection.disconnections[DisconnectReason.ROTATION]
        await until(lambda: connection.connected)


async def test_endless_announcements_back_off(exchange: SimulatedExchange) -> None:
    """An exchange that announces its shutdown on every new connection is dialled with growing delays."""
    async with connected(exchange.url) as connection:
        for lives in (1, 2, 3, 4):
            while connection.connections <= lives:
                await exchange.send_raw(SHUTDOWN)
                await asyncio.sleep(0.01)

        assert connection._backoff._attempts >= 3
        assert connection.connected


async def test_stops_in_the_middle_of_a_rotation(exchange: SimulatedExchange) -> None:
    """A connection that is stopped during a rotation leaves neither link open."""
    async with connected(exchange.url) as connection:
        with exchange.lose_answers():
            request = asyncio.create_task(request_alice(connection, exchange))
            await until(lambda: any(request.method == "v2/account.status" for request in exchange.received))
        await exchange.send_raw(SHUTDOWN)
        await until(lambda: connection.connections == 2)
        await until(lambda: len(exchange.connections) == 2)

    await asyncio.gather(request, return_exceptions=True)
    await until(lambda: not exchange.connections)
    assert set() == connection._tasks
