"""The simulated exchange's faults take effect at once, can be undone, and never keep it from stopping."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.methods import STATUS
from support.simulator_client import client_of, exchange_of, port_of, refusal_of, sign
from support.waiting import DEADLINE_SECONDS, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from exporter.simulator import SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from support.clocks import Clock


async def test_skewed_clock_rejects_and_reports_its_time(account: SimulatedAccount, clock: Clock) -> None:
    """An exchange whose clock is behind rejects current requests, and session.status reports its time."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.skew_clock(-2.0):
            rejected = await client.signed(account, STATUS)
            status = await client.ask("session.status")
        granted = await client.signed(account, STATUS)

    assert rejected["error"]["code"] == -1021
    assert status["result"]["serverTime"] == clock.now_ms - 2000
    assert granted["status"] == 200


async def test_rejected_handshake(account: SimulatedAccount, clock: Clock) -> None:
    """New connections are rejected with the given status, while old ones continue."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.reject_handshake(451):
            rejected = await refusal_of(exchange)
            granted = await client.signed(account, STATUS)
        async with client_of(exchange, clock) as again:
            opened = await again.ask("session.status")

    assert rejected.response.status_code == 451
    assert granted["status"] == opened["status"] == 200


async def test_dropped_connections_end_without_a_close_frame(account: SimulatedAccount, clock: Clock) -> None:
    """A dropped connection gets no close frame, and another can be opened."""
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
    """A raw frame arrives unchanged at every client."""
    async with exchange_of(account, clock=clock) as (exchange, client), client_of(exchange, clock) as other:
        await exchange.send_raw(data)
        frames = [await receiver.connection.recv() for receiver in (client, other)]

    assert frames == [data, data]


async def test_lost_answers_never_come(account: SimulatedAccount, clock: Clock) -> None:
    """A request whose answer is lost is received; the next one is answered."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.lose_answers():
            await client.connection.send(json.dumps({"id": "lost", "method": STATUS, "params": sign(account, clock)}))
            await until(lambda: exchange.received)
        answer = await client.ask("session.status")

    assert answer["id"] == 1


async def test_delayed_answers_do_not_delay_others(account: SimulatedAccount, clock: Clock) -> None:
    """A delayed answer arrives eventually, and others overtake it."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.delay_answers(0.01):
            late = await client.ask_raw('{"id": "late", "method": "session.status"}')
        with exchange.delay_answers(3600):
            await client.connection.send('{"id": "too-late", "method": "session.status"}')
            await until(lambda: len(exchange.received) == 2)
        early = await client.ask_raw('{"id": "early", "method": "session.status"}')

    assert (late["id"], early["id"]) == ("late", "early")


async def test_delayed_answer_to_a_closed_connection_is_dropped(account: SimulatedAccount, clock: Clock) -> None:
    """An answer due after its client has left does not affect other clients."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        exchange.delay_answers(0.02)
        async with client_of(exchange, clock) as other:
            await other.connection.send('{"id": 1, "method": "session.status"}')
            await until(lambda: exchange.received)
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
    """A replacement applies to one method and account only, until it is undone."""
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
    """A replacement without an account applies also to requests without one."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        exchange.replace_answer("session.status", None, lambda answer: {"id": answer["id"], "239999": "maintenance"})
        answer = await client.ask("session.status")

    assert answer == {"id": 1, "239999": "maintenance"}


async def test_switches_are_undone_in_any_order(account: SimulatedAccount, clock: Clock) -> None:
    """The latest of several settings applies, and closing an earlier one changes nothing."""
    async with SimulatedExchange([account], clock=clock) as exchange:
        first, second = exchange.skew_clock(5), exchange.skew_clock(7)
        skews = [exchange.server_time() - clock.now]
        first.close()
        skews.append(exchange.server_time() - clock.now)
        second.close()
        skews.append(exchange.server_time() - clock.now)

    assert skews == [7, 7, 0]


async def test_shared_weight_is_spent_every_minute(account: SimulatedAccount, clock: Clock) -> None:
    """Another program's weight counts from the start of every minute, and the limit can change."""
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
async def test_end_of_a_ban_is_reported_as_selected(
    account: SimulatedAccount, clock: Clock, *, data: bool | None, text: bool | None
) -> None:
    """The end of a ban is in the data or in the text, as selected for the ban or else for the exchange."""
    async with exchange_of(account, clock=clock, ban_text=False) as (exchange, client):
        with exchange.ban(60, data=data, text=text):
            rejected = (await client.ask("session.status"))["error"]

    assert ("data" in rejected) is (data is not False)
    assert ("banned until" in rejected["msg"]) is (text is True)


async def test_revoked_key_is_restored(account: SimulatedAccount, clock: Clock) -> None:
    """A key is rejected for as long as it is revoked."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with exchange.revoke("main"):
            rejected = await client.signed(account, STATUS)
        granted = await client.signed(account, STATUS)

    assert (rejected["error"]["code"], granted["status"]) == (-2015, 200)


@pytest.mark.usefixtures("virtual_time")
async def test_stopping_leaves_nothing_behind(account: SimulatedAccount, clock: Clock) -> None:
    """Stopping does not wait for delayed answers, idle clients or handshakes, and ends every task."""
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
        await until(lambda: exchange.received and len(exchange.connections) == 2)
        await exchange.send_raw("to open connections")
        await asyncio.wait_for(exchange.stop(), DEADLINE_SECONDS)
        await connection.wait_closed()
    silent.close()

    assert asyncio.all_tasks() == before
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)
