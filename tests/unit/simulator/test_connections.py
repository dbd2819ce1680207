"""Faults of connections to the simulated exchange: they fail to open, break off, close and stall."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from support.methods import STATUS
from support.simulator_client import client_of, exchange_of, port_of
from support.waiting import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from exporter.simulator import SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from support.clocks import Clock


async def http_answer(exchange: SimulatedExchange) -> str:
    """Send a handshake request, and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(exchange))
    writer.write(b"GET /ws-fapi/v1 HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode()


@pytest.mark.parametrize(("status", "headers"), [(599, {}), (429, {"Retry-After": "soon"}), (307, {"Location": ""})])
async def test_handshake_is_rejected_with_any_status(
    account: SimulatedAccount, clock: Clock, status: int, headers: dict[str, str]
) -> None:
    """A handshake can be rejected with any status and any header."""
    async with SimulatedExchange([account], clock=clock) as exchange:
        with exchange.reject_handshake(status, headers):
            response = await http_answer(exchange)

    assert response.startswith(f"HTTP/1.1 {status} Refused\r\n")
    assert all(f"\r\n{name}: {value}\r\n" in response for name, value in headers.items())


async def test_connection_is_closed_at_accept(account: SimulatedAccount, clock: Clock) -> None:
    """A connection is closed before the client has sent anything."""
    async with SimulatedExchange([account], clock=clock) as exchange:
        with exchange.close_at_accept():
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(exchange))
            received = await reader.read()
            writer.close()

    assert received == b""


async def test_connections_are_closed_with_a_code(account: SimulatedAccount, clock: Clock) -> None:
    """Every client gets the code and the reason."""
    async with exchange_of(account, clock=clock) as (exchange, client), client_of(exchange, clock) as other:
        await exchange.close_connections(4001, "because")
        closes = []
        for each_client in (client, other):
            await each_client.connection.wait_closed()
            closes.append((each_client.connection.close_code, each_client.connection.close_reason))

    assert closes == [(4001, "because")] * 2


@pytest.mark.parametrize("code", [1012, None])
async def test_connections_end_after_requests(account: SimulatedAccount, clock: Clock, code: int | None) -> None:
    """A connection ends after its requests, an older one after its next, with a close code or by a reset."""
    async with exchange_of(account, clock=clock) as (exchange, old):
        for _ in range(3):
            await old.ask("session.status")
        with exchange.close_after(2, code, "enough"):
            async with client_of(exchange, clock) as new:
                answers = [await new.ask("session.status"), await new.ask("session.status")]
                await old.ask("session.status")
                for client in (old, new):
                    await client.connection.wait_closed()

        assert [answer["status"] for answer in answers] == [200, 200]
        assert (old.connection.close_code, new.connection.close_code) == ((code or 1006),) * 2


async def test_connections_stall(account: SimulatedAccount, clock: Clock) -> None:
    """Present connections stall and new ones work; pending answers follow at the end, unless the client has left."""
    async with exchange_of(account, clock=clock) as (exchange, old), connect(exchange.url, close_timeout=0.01) as left:
        stall = exchange.stall_connections()
        with exchange.stall_connections():
            await left.close()
            pending = asyncio.create_task(old.ask("session.status"))
            await until(lambda: any(connection.unread for connection in exchange.connections))
            async with client_of(exchange, clock) as new:
                answer = await new.ask("session.status")
        early = pending.done()
        stall.close()
        late = await pending

    assert (early, answer["status"], late["status"]) == (False, 200, 200)


async def test_cut_answers_by_method(account: SimulatedAccount, clock: Clock) -> None:
    """Answers to one method are cut off within their frame, those to others are not."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.cut_answers(STATUS):
            spared = await client.ask("session.status")
            with pytest.raises(ConnectionClosed) as caught:
                await client.signed(account, STATUS)

    assert spared["status"] == 200
    assert "stream ends after" in str(caught.value.__cause__)


async def test_shutdown_is_announced(account: SimulatedAccount, clock: Clock) -> None:
    """Every client gets the event before its connection is closed; later connections stay open."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        announcing = asyncio.create_task(exchange.announce_shutdown(0.2))
        event = json.loads(await client.connection.recv())
        async with client_of(exchange, clock) as later:
            await client.connection.wait_closed()
            await announcing
            stays = await later.ask("session.status")

    assert event["event"] == {"e": "serverShutdown", "E": clock.now_ms}
    assert (client.connection.close_code, client.connection.close_reason) == (1001, "server shutdown")
    assert stays["status"] == 200


async def test_stalled_connection_holds_frames_back(account: SimulatedAccount, clock: Clock) -> None:
    """A frame sent to a stalled connection arrives when it resumes, and no earlier."""
    async with exchange_of(account, clock=clock) as (exchange, old):
        receiving = asyncio.create_task(old.connection.recv())
        with exchange.stall_connections():
            await exchange.send_raw("held back")
            async with client_of(exchange, clock) as new:
                await new.ask("session.status")
            early = receiving.done()
        late = await receiving

    assert (early, late) == (False, "held back")
