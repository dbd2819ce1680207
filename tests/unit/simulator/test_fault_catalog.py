"""The faults of `simulate --fault`: each does what its help says, seen by a client, and can be undone."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.methods import POSITION, STATUS
from support.simulator_client import Client, client_of, port_of, refusal_of, sign
from support.waiting import DEADLINE_SECONDS, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.fault_catalog import FAULTS
from exporter.simulator.fault_catalog_rest import REST_FAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.clocks import Clock


@pytest.fixture
async def exchange(clock: Clock) -> AsyncIterator[SimulatedExchange]:
    """Run an exchange with two accounts, of which the first has a position."""
    async with SimulatedExchange([SimulatedAccount("main"), SimulatedAccount("other")], clock=clock) as running:
        running.account("main").deposit("USDT", "1000")
        running.account("main").open("BTCUSDT", "0.001")
        running.account("main").open("ETHUSDT", "0.01")
        yield running


@pytest.fixture
async def client(exchange: SimulatedExchange, clock: Clock) -> AsyncIterator[Client]:
    """Connect to the exchange before a fault is on."""
    async with client_of(exchange, clock) as connected:
        yield connected


async def assert_serving(exchange: SimulatedExchange, clock: Clock) -> None:
    """Assert that a new client is served."""
    async with client_of(exchange, clock) as another:
        assert "BTCUSDT" == (await another.result(exchange.accounts["main"], STATUS))["positions"][0]["symbol"]


REJECTIONS = {
    "handshake-403": (403, None),
    "handshake-429": (429, "30"),
    "handshake-451": (451, None),
    "handshake-503": (503, None),
    "banned": (418, "259200"),
    "banned-open-end": (418, None),
    "rate-limited": (429, "30"),
}


@pytest.mark.parametrize("name", REJECTIONS)
async def test_rejected_handshakes(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A new client is rejected with the fault's status and Retry-After."""
    with FAULTS[name].switch(exchange):
        response = (await refusal_of(exchange)).response
    clock.now += 60

    assert REJECTIONS[name] == (response.status_code, response.headers.get("Retry-After"))
    await assert_serving(exchange, clock)


BROKEN_HANDSHAKES = ("handshake-garbage", "handshake-closed")


@pytest.mark.parametrize("name", BROKEN_HANDSHAKES)
async def test_broken_handshakes(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A new client gets no HTTP answer."""
    with FAULTS[name].switch(exchange), pytest.raises((InvalidMessage, ConnectionError)) as caught:
        async with connect(exchange.url):
            pass

    if name == "handshake-garbage":
        assert "invalid HTTP status line: not HTTP" == str(caught.value.__cause__)
    await assert_serving(exchange, clock)


async def test_silent_handshakes(exchange: SimulatedExchange, clock: Clock) -> None:
    """A new client is accepted and gets no answer until the fault is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(exchange))
    await until(lambda: len(exchange.connections) == 1)
    with FAULTS["handshake-silent"].switch(exchange):
        opening = asyncio.create_task(connect(exchange.url).__aenter__())
        await until(lambda: len(exchange.connections) == 2)
        writer.write(b"GET /elsewhere HTTP/1.1\r\n\r\n")  # over a connection from before the fault
        spared = await reader.readline()
        unanswered = not opening.done()
    connection = await opening
    await connection.close()
    writer.close()

    assert (True, b"HTTP/1.1 ") == (unanswered, spared[:9])
    await assert_serving(exchange, clock)


LIFETIMES = {"open-and-close": (0, 1001), "short-lived": (10, 1000), "cut-frames": (0, None)}


@pytest.mark.parametrize("name", LIFETIMES)
async def test_short_lifetimes(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A connection ends after the fault's number of answers, with its close code or within a frame."""
    answers, code = LIFETIMES[name]
    with FAULTS[name].switch(exchange):
        async with client_of(exchange, clock) as short:
            for _ in range(answers):
                await short.ask("session.status")
            with pytest.raises(ConnectionClosed) as caught:
                await short.ask("session.status")

    assert code == (caught.value.rcvd.code if caught.value.rcvd else None)
    if code is None:
        assert "stream ends after" in str(caught.value.__cause__)
    await assert_serving(exchange, clock)


EVENTS = {"dropped": 1006, "shutdown": 1001}


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize("name", EVENTS)
async def test_events_repeat(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """Connections end repeatedly, after an announcement in the case of a shutdown."""
    frames: list[str | bytes] = []
    codes = []
    with FAULTS[name].switch(exchange):
        for _ in range(2):
            async with asyncio.timeout(DEADLINE_SECONDS), connect(exchange.url) as connection:
                with suppress(ConnectionClosed):
                    while True:
                        frames.append(await connection.recv())
                codes.append(connection.close_code)

    assert [EVENTS[name]] * 2 == codes
    announced = [{"event": {"e": "serverShutdown", "E": clock.now_ms}}] * 2
    assert (announced if name == "shutdown" else []) == [json.loads(frame) for frame in frames]
    await assert_serving(exchange, clock)


@pytest.mark.usefixtures("virtual_time")
async def test_clock_jumps(exchange: SimulatedExchange, clock: Clock) -> None:
    """The exchange's clock jumps ahead and back repeatedly, and is right when the fault is over."""
    with FAULTS["clock-jumps"].switch(exchange):
        for _ in range(2):
            await until(lambda: exchange.server_time() == clock.now + 30)
            await until(lambda: exchange.server_time() == clock.now)

    assert clock.now == exchange.server_time()
    await assert_serving(exchange, clock)


async def test_silent_connection(exchange: SimulatedExchange, clock: Clock) -> None:
    """A connection opens, then neither answers nor pongs until the fault is over."""
    fault = FAULTS["silent"].switch(exchange)
    async with client_of(exchange, clock) as silent:
        (connection,) = exchange.connections
        await until(lambda: connection.stalled)
        pong = asyncio.ensure_future(await silent.connection.ping())
        pending = asyncio.create_task(silent.ask("session.status"))
        await until(lambda: len(connection.unread) > 40)
        early = pong.done() or pending.done()
        fault.close()
        answer = await pending
        await pong

    assert not early
    assert 200 == answer["status"]
    await assert_serving(exchange, clock)


async def test_no_answers(exchange: SimulatedExchange, client: Client, clock: Clock) -> None:
    """Requests are received and pings answered, but requests are not."""
    with FAULTS["no-answers"].switch(exchange):
        await client.connection.send('{"id":"lost","method":"session.status"}')
        await until(lambda: exchange.received)
        await (await client.connection.ping())
    answer = await client.ask("session.status")

    assert 1 == answer["id"]
    await assert_serving(exchange, clock)


@pytest.mark.usefixtures("virtual_time")
async def test_slow_answers(exchange: SimulatedExchange, client: Client, clock: Clock) -> None:
    """Answers are delayed by three seconds."""
    with FAULTS["slow-answers"].switch(exchange):
        sent_at = asyncio.get_running_loop().time()
        await client.ask("session.status")
        answered_at = asyncio.get_running_loop().time()

    assert 3.0 == pytest.approx(answered_at - sent_at, abs=0.1)
    await assert_serving(exchange, clock)


def rejected(status: int, code: int) -> Callable[[Any], bool]:
    """Return a check that an answer is an error with the status and code."""
    return lambda answer: (answer["status"], answer["error"]["code"]) == (status, code)


# Whether the frames that answer one request are as the fault's help says.
STATUS_ANSWERS: dict[str, Callable[..., bool]] = {
    "wrong-ids": lambda frame: (frame["id"], frame["status"]) == ("unknown", 200),
    "null-ids": lambda frame: (frame["id"], frame["status"]) == (None, 200),
    "double-answers": lambda first, second: first == second and first["id"] == 1,
    "unsolicited": lambda event, frame: "id" not in event and frame["status"] == 200,
    "garbage": lambda frame: "garbage" in frame,
    "truncated": lambda frame: frame.startswith('{"id":1,"status":200,') and frame[-1] != "}",
    "nested": lambda frame: frame.startswith('{"id":1,') and "[" * 100_000 in frame,
    "huge": lambda frame: len(frame["padding"]) > 8 * 2**20,
    "binary": lambda frame: json.loads(frame)["status"] == 200 and isinstance(frame, bytes),
    "server-errors": rejected(500, -1000),
    "maintenance": lambda frame: frame.keys() == {"id", "239999"},
    "maintenance-503": lambda frame: ("result" in frame, frame["status"], *frame["error"]) == (False, 503, "239999"),
    "no-rate-limits": lambda frame: frame.keys() == {"id", "status", "result"},
    "zero-limit": lambda frame: frame["rateLimits"][0]["limit"] == 0,
    "nonsense-figures": lambda frame: frame["result"]["totalWalletBalance"] == "NaN",
    "no-assets": lambda frame: "assets" not in frame["result"],
    "rows-twice": lambda frame: [row["symbol"] for row in frame["result"]["positions"]][:2] == ["BTCUSDT"] * 2,
    "hollow-answers": lambda frame: frame["result"] == {"assets": [], "positions": []},
    "no-rows": lambda frame: len(frame["result"]) == 13 and frame["result"]["assets"] == [],
    "null-totals": lambda frame: list(frame["result"].values()).count(None) == 11,
    "no-positions": lambda frame: frame["result"]["positions"] == [] and float(frame["result"]["totalMaintMargin"]) > 0,
    "refused-once": rejected(401, -2015),
    "clock-ahead": lambda frame: frame["error"]["code"] == -1021 and "outside" in frame["error"]["msg"],
    "clock-behind": lambda frame: frame["error"]["code"] == -1021 and "ahead" in frame["error"]["msg"],
    "busy-ip": lambda frame: frame["rateLimits"][0]["count"] == 1920 + 5 + 5,
    "rate-limited": rejected(429, -1003),
    "banned": lambda frame: frame["error"]["data"]["retryAfter"] == 1_700_259_210_000,
    "banned-open-end": lambda frame: frame["status"] == 418 and "data" not in frame["error"],
    "key-revoked": rejected(401, -2015),
}
POSITION_ANSWERS: dict[str, Callable[..., bool]] = {
    "no-risk-rows": lambda frame: frame["result"] == [],
    "risk-row-missing": lambda frame: [row["symbol"] for row in frame["result"]] == ["ETHUSDT"],
    "no-margin-assets": lambda frame: ["marginAsset" in row for row in frame["result"]] == [False, False],
    "credits-mode": lambda frame: {row["marginAsset"] for row in frame["result"]} == {"BNFCR"},
    "position-gone": rejected(404, -5000),
}
ANSWERS = STATUS_ANSWERS | POSITION_ANSWERS


@pytest.mark.parametrize("name", ANSWERS)
async def test_altered_answers(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A signed request is answered as the fault's help says, and normally when the fault is over."""
    account, method = exchange.accounts["main"], STATUS if name in STATUS_ANSWERS else POSITION
    frames: list[Any] = []
    async with connect(exchange.url, max_size=None) as connection:
        with FAULTS[name].switch(exchange):
            await connection.send(json.dumps({"id": 1, "method": method, "params": sign(account, clock)}))
            for _ in range(2 if name in {"double-answers", "unsolicited"} else 1):
                frame = await connection.recv()
                whole = isinstance(frame, str) and name not in {"garbage", "truncated", "nested"}
                frames.append(json.loads(frame) if whole else frame)
        clock.now += 60  # which renews the request weight
        after = await Client(connection, clock).signed(account, method)

    assert ANSWERS[name](*frames)
    assert (200, {"id", "status", "result", "rateLimits"}) == (after["status"], set(after))


async def test_swapped_answers(exchange: SimulatedExchange, client: Client, clock: Clock) -> None:
    """The answers to two requests carry each other's id."""
    with FAULTS["swapped-answers"].switch(exchange):
        await client.connection.send('{"id":"time","method":"session.status"}')
        answers = [await client.signed(exchange.accounts["main"], STATUS), json.loads(await client.connection.recv())]
    by_id = {answer["id"]: answer["result"] for answer in answers}

    assert "totalWalletBalance" in by_id["time"]
    assert "serverTime" in by_id[1]
    await assert_serving(exchange, clock)


async def test_methods_that_are_never_answered(exchange: SimulatedExchange, client: Client) -> None:
    """Requests of the fault's method are never answered, others are."""
    for name, method in (("time-unanswered", "session.status"), ("v1-unanswered", "account.status")):
        with FAULTS[name].switch(exchange):
            await client.connection.send(json.dumps({"id": "lost", "method": method}))
            answer = await client.signed(exchange.accounts["main"], STATUS)

        assert ("lost", 200) != (answer["id"], answer["status"])
        assert 200 == answer["status"]


def test_every_fault_is_tested() -> None:
    """The tests above cover every fault but those of REST."""
    others = {"handshake-silent", "clock-jumps", "silent", "no-answers", "slow-answers", "swapped-answers"}
    others |= {"time-unanswered", "v1-unanswered"}

    assert set(FAULTS) - set(REST_FAULTS) == {*REJECTIONS, *BROKEN_HANDSHAKES, *LIFETIMES, *EVENTS, *ANSWERS} | others
