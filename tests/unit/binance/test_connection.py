"""Connections: what ends them, how they are dialled again, and what becomes of requests meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.polling import FAST, connected, request_status
from support.waiting import until
from websockets.asyncio.server import ServerConnection, serve

from exporter.binance.errors import ConnectionLost, DisconnectReason, NoResponse, NotConnected, NotSent
from exporter.simulator import SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from exporter.binance.connection import Connection
    from exporter.binance.weight import Reservation


def _lives(connection: Connection, count: int) -> bool:
    return connection.connections == count and connection.connected


@pytest.mark.usefixtures("virtual_time")
async def test_dials_and_clock_are_charged(exchange: SimulatedExchange) -> None:
    """A connection costs a dial and a request for the time, whose response reports the exchange's count and limit."""
    async with connected(exchange.url) as connection:
        assert 7 == connection.budget.spent_total
        assert 7 == connection.budget.used
        assert 2400 == connection.budget.limit


async def test_half_open_link_is_dropped(exchange: SimulatedExchange) -> None:
    """A socket that is silent for long despite requests is dropped and dialled again."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        with exchange.lose_answers():
            monotonic.ahead += 100
            with pytest.raises(NoResponse):
                await request_status(connection, exchange.accounts["alice"], timeout_seconds=0.01)
        await until(lambda: connection.connections == 2 and connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == sum(connection.disconnections.values())


async def test_lost_connection_fails_what_is_under_way(exchange: SimulatedExchange) -> None:
    """When the socket ends its requests fail at once, and a new socket is opened."""
    async with connected(exchange.url) as connection:
        with exchange.lose_answers():
            request = asyncio.create_task(request_status(connection, exchange.accounts["alice"]))
            await until(lambda: any(received.method == "v2/account.status" for received in exchange.received))
            exchange.drop_connections()
            with pytest.raises(ConnectionLost):
                await request
        await until(lambda: connection.connections == 2 and connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.disconnections[DisconnectReason.RESET]


async def test_connection_lost_while_waiting_for_weight(
    exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose connection went away while it waited for its weight is not sent, and leaves nothing in flight."""
    async with connected(exchange.url) as connection:
        acquire = connection.budget.acquire

        async def acquire_late(weight: int) -> Reservation:
            rejection.enter_context(exchange.reject_handshake(503))
            exchange.drop_connections()
            await until(lambda: not connection.connected)
            return await acquire(weight)

        with contextlib.ExitStack() as rejection, monkeypatch.context() as patch:
            patch.setattr(connection.budget, "acquire", acquire_late)
            with pytest.raises(NotSent):
                await request_status(connection, exchange.accounts["alice"])

        assert 0 == connection.budget._in_flight


async def test_unreachable_exchange_says_why() -> None:
    """Without a connection a request fails after a short grace, with the reason of the last dial."""
    async with SimulatedExchange([]) as stopped:
        url = stopped.url
    async with connected(url, wait=False) as connection:
        await connection.first_attempt_finished.wait()
        with pytest.raises(NotConnected, match="not connected to exchange: connection refused"):
            await request_status(connection, SimulatedAccount("one"))

        assert not connection.connected
        assert 0 == connection.connections
        assert 0 < connection.disconnections[DisconnectReason.UNREACHABLE]


@pytest.mark.parametrize("status", [401, 403, 451, 500, 503])
async def test_refused_handshake_is_survived(exchange: SimulatedExchange, status: int) -> None:
    """Whatever HTTP status rejects a handshake, dialling goes on, and succeeds once handshakes are accepted."""
    rejection = exchange.reject_handshake(status)
    async with connected(exchange.url, wait=False) as connection:
        await until(lambda: connection.disconnections[DisconnectReason.REJECTED] >= 2)
        rejection.close()
        await until(lambda: connection.connected)


async def test_link_that_does_not_answer_is_not_used(exchange: SimulatedExchange) -> None:
    """A socket without a response or a pong is never used for a poll."""
    with exchange.stall_after(0):
        timing = replace(FAST, clock_timeout=0.02)
        async with connected(exchange.url, wait=False, timing=timing) as connection:
            await until(lambda: connection.connections >= 2)

            assert not connection.connected
            assert "no response to the first request" == connection._current._message
            assert 1 <= connection.disconnections[DisconnectReason.SILENT]


async def test_accept_then_close_backs_off() -> None:
    """Connections that end before they lived long never reset the backoff."""

    async def close(connection: ServerConnection) -> None:
        await connection.close()

    async with serve(close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connected(f"ws://127.0.0.1:{port}", wait=False) as connection:
            await until(lambda: connection._backoff._attempts >= 4)

            assert connection.disconnections[DisconnectReason.CLOSED] >= 4
            assert not connection.connected


async def test_long_life_resets_the_backoff(exchange: SimulatedExchange) -> None:
    """A connection that responded and lived long enough resets the backoff."""
    async with connected(exchange.url, timing=replace(FAST, stable_after=0.0)) as connection:
        for lives in (2, 3, 4):
            exchange.drop_connections()
            await until(partial(_lives, connection, lives))

        assert 1 == connection._backoff._attempts


async def test_close_while_sending_leaves_no_unretrieved_error(caplog: pytest.LogCaptureFixture) -> None:
    """A socket that ends while a request is being sent leaves no unretrieved exception."""

    async def close(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with serve(close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connected(f"ws://127.0.0.1:{port}", wait=False) as connection:
            await until(lambda: sum(connection.disconnections.values()) >= 20)
    gc.collect()

    assert [] == [record.message for record in caplog.records if "never retrieved" in record.message]


async def test_supervisor_survives_its_own_faults(
    exchange: SimulatedExchange, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected internal error does not end the supervision of the connection."""
    monkeypatch.setattr("exporter.binance.connection.Link", None)
    async with connected(exchange.url, wait=False) as connection:
        await until(lambda: connection.connections >= 2)
    assert "connection failed, internal error" in {event["event"] for event in logged}
