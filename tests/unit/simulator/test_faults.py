"""The simulated exchange's faults work at once, are undone, and never keep it from stopping."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.clocks import Clock
from support.simulator_client import client_of, eventually, exchange_of, port_of, refusal_of, sign
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from exporter.simulator import SimulatedAccount, SimulatedExchange

STATUS = "v2/account.status"


@pytest.fixture
def clock() -> Clock:
    """Stop the time."""
    return Clock(1_700_000_010.0)


@pytest.fixture
def account() -> SimulatedAccount:
    """Make an account whose key signs fast."""
    return SimulatedAccount("main")


async def test_skewed_clock_refuses_and_tells_its_time(account: SimulatedAccount, clock: Clock) -> None:
    """An exchange whose clock is behind refuses requests of now, and session.status tells why."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.skew_clock(-2.0):
            refused = await client.signed(account, STATUS)
            status = await client.ask("session.status")
        granted = await client.signed(account, STATUS)

    assert refused["error"]["code"] == -1021
    assert status["result"]["serverTime"] == clock.now_ms - 2000
    assert granted["status"] == 200


async def test_rejected_handshake(account: SimulatedAccount, clock: Clock) -> None:
    """New connections are refused with the status told, while old ones go on."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.reject_handshake(451):
            refused = await refusal_of(exchange)
            granted = await client.signed(account, STATUS)
        async with client_of(exchange, clock) as again:
            opened = await again.ask("session.status")

    assert refused.response.status_code == 451
    assert granted["status"] == opened["status"] == 200


async def test_dropped_connections_end_without_a_word(account: SimulatedAccount, clock: Clock) -> None:
    """A dropped connection has no close frame, and another can be made."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        exchange.drop_connections()
        with pytest.raises(ConnectionClosed) as caught:
            await client.connection.recv()
        async with client_of(exchange, clock) as again:
            answer = await again.ask("session.status")

    assert caught.value.rcvd is None
    assert answer["status"] == 200


@pytest.mark.parametrize("data", ['{"event":{"e":"serverShutdown"}}', b"\x00\xff"])
async def test_raw_frames_reach_every_client(account: SimulatedAccount, clock: Clock, data: str | bytes) -> None:
    """What is sent raw arrives as it is, at every client."""
    async with exchange_of(account, clock=clock) as (exchange, client), client_of(exchange, clock) as other:
        await exchange.send_raw(data)
        frames = [await each.connection.recv() for each in (client, other)]

    assert frames == [data, data]


async def test_lost_answers_never_come(account: SimulatedAccount, clock: Clock) -> None:
    """A request whose answer is lost was still received and weighed; the next one is answered."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.lose_answers():
            await client.connection.send(json.dumps({"id": "lost", "method": STATUS, "params": sign(account, clock)}))
            await eventually(lambda: exchange.received)
        answer = await client.ask("session.status")

    assert answer["id"] == 1


async def test_delayed_answers_hold_back_no_others(account: SimulatedAccount, clock: Clock) -> None:
    """A delayed answer comes in the end, and others overtake it."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.delay_answers(0.01):
            late = await client.ask_raw('{"id": "late", "method": "session.status"}')
        with exchange.delay_answers(3600):
            await client.connection.send('{"id": "too-late", "method": "session.status"}')
            await eventually(lambda: len(exchange.received) == 2)
        early = await client.ask_raw('{"id": "early", "method": "session.status"}')

    assert (late["id"], early["id"]) == ("late", "early")


async def test_delayed_answer_to_nobody_is_dropped(account: SimulatedAccount, clock: Clock) -> None:
    """An answer that is due after its client has gone harms nobody."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        exchange.delay_answers(0.02)
        async with client_of(exchange, clock) as other:
            await other.connection.send('{"id": 1, "method": "session.status"}')
            await eventually(lambda: exchange.received)
        answer = await client.ask("session.status")

    assert answer["status"] == 200


@pytest.mark.parametrize(
    ("replacement", "frame"),
    [
        (lambda answer: answer | {"status": 500}, None),
        (lambda answer: "{" + str(answer["status"]), "{200"),
        (lambda _: b"\x00", b"\x00"),
    ],
)
async def test_answers_are_replaced_by_method_and_account(
    account: SimulatedAccount, clock: Clock, replacement: Any, frame: str | bytes | None
) -> None:
    """A replacement alters the answers to one method and account alone, until it is undone."""
    other = SimulatedAccount("other")
    async with exchange_of(account, other, clock=clock) as (exchange, client):
        with exchange.replace_answer(STATUS, "main", replacement):
            request = {"id": 1, "method": STATUS, "params": sign(account, clock)}
            await client.connection.send(json.dumps(request))
            replaced = await client.connection.recv()
            spared = [await client.signed(other, STATUS), await client.signed(account, "v2/account.balance")]
        restored = await client.signed(account, STATUS)

    assert replaced == frame if frame else json.loads(replaced)["status"] == 500
    assert [answer["status"] for answer in (*spared, restored)] == [200, 200, 200]


async def test_answers_to_all_accounts_are_replaced(account: SimulatedAccount, clock: Clock) -> None:
    """A replacement without an account holds for requests of nobody, too."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        exchange.replace_answer("session.status", None, lambda answer: {"id": answer["id"], "239999": "maintenance"})
        answer = await client.ask("session.status")

    assert answer == {"id": 1, "239999": "maintenance"}


async def test_switches_are_undone_in_any_order(account: SimulatedAccount, clock: Clock) -> None:
    """The last of several settings holds, and closing an earlier one changes nothing."""
    async with SimulatedExchange([account], clock=clock) as exchange:
        first, second = exchange.skew_clock(5), exchange.skew_clock(7)
        told = [exchange.server_time() - clock.now]
        first.close()
        told.append(exchange.server_time() - clock.now)
        second.close()
        told.append(exchange.server_time() - clock.now)

    assert told == [7, 7, 0]


async def test_shared_weight_is_spent_every_minute(account: SimulatedAccount, clock: Clock) -> None:
    """Another program's weight counts from the begin of every minute, and the limit can change."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.share_weight(1000), exchange.change_weight_limit(1200):
            spent = [exchange.spent_weight()]
            clock.now += 60
            (limit,) = (await client.ask("session.status"))["rateLimits"]
            spent.append(exchange.spent_weight())
        clock.now += 60
        spent.append(exchange.spent_weight())

    assert spent == [1005, 1002, 0]
    assert (limit["limit"], limit["count"]) == (1200, 1002)
    assert exchange.weight.limit == 2400


@pytest.mark.parametrize(("data", "text"), [(True, False), (False, True), (None, None)])
async def test_ban_is_told_as_wanted(
    account: SimulatedAccount, clock: Clock, *, data: bool | None, text: bool | None
) -> None:
    """The end of a ban is in the data or in the text, or as the exchange tells it otherwise."""
    async with exchange_of(account, clock=clock, ban_text=False) as (exchange, client):
        with exchange.ban(60, data=data, text=text):
            refused = (await client.ask("session.status"))["error"]

    assert ("data" in refused) is (data is not False)
    assert ("banned until" in refused["msg"]) is (text is True)


async def test_revoked_key_is_restored(account: SimulatedAccount, clock: Clock) -> None:
    """A key is refused for as long as it is revoked."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.revoke("main"):
            refused = await client.signed(account, STATUS)
        granted = await client.signed(account, STATUS)

    assert (refused["error"]["code"], granted["status"]) == (-2015, 200)


async def test_stopping_leaves_nothing_behind(account: SimulatedAccount, clock: Clock) -> None:
    """Stopping waits for no delayed answer, no silent client and no handshake, and ends every task."""
    before = asyncio.all_tasks()
    exchange = SimulatedExchange([account], clock=clock)
    await exchange.stop()
    await exchange.start()
    exchange.delay_answers(3600)
    exchange.repeat(3600, exchange.drop_connections)
    port = port_of(exchange)
    _, silent = await asyncio.open_connection("127.0.0.1", port)
    async with connect(exchange.url) as connection:
        await connection.send('{"id": 1, "method": "session.status"}')
        await eventually(lambda: exchange.received and len(exchange.connections) == 2)
        await exchange.send_raw("to those who are open")
        await asyncio.wait_for(exchange.stop(), 5)
        await connection.wait_closed()
    silent.close()

    assert asyncio.all_tasks() == before
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)
