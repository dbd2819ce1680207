"""The faults of `simulate --fault`: each does what its help says, seen by a client, and can be undone."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.methods import POSITION, STATUS
from support.simulator_client import Client, client_of, refusal_of, sign
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


async def until_server_time(exchange: SimulatedExchange, seconds: float) -> None:
    """Wait until the exchange has that time."""
    await until(lambda: exchange.server_time() == seconds)


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
    reader, writer = await asyncio.open_connection("127.0.0.1", int(exchange.url.split(":")[2].split("/")[0]))
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
        for ahead in (30, 0, 30):
            await until_server_time(exchange, clock.now + ahead)

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


# The requested method, and whether the frames for one request are as the fault's help says.
ANSWERS: dict[str, tuple[str, Callable[[list[Any]], bool]]] = {
    "wrong-ids": (STATUS, lambda frames: (frames[0]["id"], frames[0]["status"]) == ("unknown", 200)),
    "null-ids": (STATUS, lambda frames: (frames[0]["id"], frames[0]["status"]) == (None, 200)),
    "double-answers": (STATUS, lambda frames: frames[0] == frames[1] and frames[0]["id"] == 1),
    "unsolicited": (STATUS, lambda frames: "id" not in frames[0] and frames[1]["status"] == 200),
    "garbage": (STATUS, lambda frames: "garbage" in frames[0]),
    "truncated": (STATUS, lambda frames: frames[0].startswith('{"id":1,"status":200,') and frames[0][-1] != "}"),
    "nested": (STATUS, lambda frames: frames[0].startswith('{"id":1,') and "[" * 100_000 in frames[0]),
    "huge": (STATUS, lambda frames: len(frames[0]["padding"]) > 8 * 2**20),
    "binary": (STATUS, lambda frames: json.loads(frames[0])["status"] == 200 and isinstance(frames[0], bytes)),
    "server-errors": (STATUS, lambda frames: (frames[0]["status"], frames[0]["error"]["code"]) == (500, -1000)),
    "maintenance": (STATUS, lambda frames: frames[0].keys() == {"id", "239999"}),
    "maintenance-503": (
        STATUS,
        lambda frames: (
            (frames[0]["status"], list(frames[0]["error"]), "result" in frames[0]) == (503, ["239999"], False)
        ),
    ),
    "no-rate-limits": (STATUS, lambda frames: frames[0].keys() == {"id", "status", "result"}),
    "zero-limit": (STATUS, lambda frames: frames[0]["rateLimits"][0]["limit"] == 0),
    "nonsense-figures": (STATUS, lambda frames: frames[0]["result"]["totalWalletBalance"] == "NaN"),
    "no-assets": (STATUS, lambda frames: "assets" not in frames[0]["result"]),
    "rows-twice": (
        STATUS,
        lambda frames: [row["symbol"] for row in frames[0]["result"]["positions"]][:2] == ["BTCUSDT"] * 2,
    ),
    "hollow-answers": (STATUS, lambda frames: frames[0]["result"] == {"assets": [], "positions": []}),
    "no-rows": (STATUS, lambda frames: len(frames[0]["result"]) == 13 and frames[0]["result"]["assets"] == []),
    "null-totals": (STATUS, lambda frames: list(frames[0]["result"].values()).count(None) == 11),
    "no-positions": (
        STATUS,
        lambda frames: frames[0]["result"]["positions"] == [] and float(frames[0]["result"]["totalMaintMargin"]) > 0,
    ),
    "no-risk-rows": (POSITION, lambda frames: frames[0]["result"] == []),
    "risk-row-missing": (POSITION, lambda frames: [row["symbol"] for row in frames[0]["result"]] == ["ETHUSDT"]),
    "no-margin-assets": (
        POSITION,
        lambda frames: "marginAsset" not in {*frames[0]["result"][0], *frames[0]["result"][1]},
    ),
    "credits-mode": (POSITION, lambda frames: {row["marginAsset"] for row in frames[0]["result"]} == {"BNFCR"}),
    "refused-once": (STATUS, lambda frames: (frames[0]["status"], frames[0]["error"]["code"]) == (401, -2015)),
    "position-gone": (POSITION, lambda frames: (frames[0]["status"], frames[0]["error"]["code"]) == (404, -5000)),
    "clock-ahead": (
        STATUS,
        lambda frames: frames[0]["error"]["code"] == -1021 and "outside" in frames[0]["error"]["msg"],
    ),
    "clock-behind": (
        STATUS,
        lambda frames: frames[0]["error"]["code"] == -1021 and "ahead" in frames[0]["error"]["msg"],
    ),
    "busy-ip": (STATUS, lambda frames: frames[0]["rateLimits"][0]["count"] == 1920 + 5 + 5),
    "rate-limited": (STATUS, lambda frames: (frames[0]["status"], frames[0]["error"]["code"]) == (429, -1003)),
    "banned": (STATUS, lambda frames: frames[0]["error"]["data"]["retryAfter"] == 1_700_259_210_000),
    "banned-open-end": (STATUS, lambda frames: frames[0]["status"] == 418 and "data" not in frames[0]["error"]),
    "key-revoked": (STATUS, lambda frames: (frames[0]["status"], frames[0]["error"]["code"]) == (401, -2015)),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_altered_answers(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A signed request is answered as the fault's help says, and normally when the fault is over."""
    method, expected = ANSWERS[name]
    request = json.dumps({"id": 1, "method": method, "params": sign(exchange.accounts["main"], clock)})
    frames: list[Any] = []
    async with connect(exchange.url, max_size=None) as connection:
        with FAULTS[name].switch(exchange):
            await connection.send(request)
            for _ in range(2 if name in {"double-answers", "unsolicited"} else 1):
                frame = await connection.recv()
                whole = isinstance(frame, str) and name not in {"garbage", "truncated", "nested"}
                frames.append(json.loads(frame) if whole else frame)
        if name == "rate-limited":
            clock.now += 60
            request = json.dumps({"id": 2, "method": method, "params": sign(exchange.accounts["main"], clock)})
        await connection.send(request)
        after = json.loads(await connection.recv())

    assert expected(frames)
    assert (200, {"id", "status", "result", "rateLimits"}) == (after["status"], after.keys())


async def test_swapped_answers(exchange: SimulatedExchange, client: Client, clock: Clock) -> None:
    """The answers to two requests carry each other's id."""
    with FAULTS["swapped-answers"].switch(exchange):
        await client.connection.send('{"id":"time","method":"session.status"}')
        answers = [await client.signed(exchange.accounts["main"], STATUS), json.loads(await client.connection.recv())]
    by_id = {answer["id"]: answer["result"] for answer in answers}

    assert "totalWalletBalance" in by_id["time"]
    assert "serverTime" in by_id[1]
    await assert_serving(exchange, clock)


@pytest.mark.parametrize("mode", ["single", "multi"])
async def test_credits_mode(clock: Clock, mode: str) -> None:
    """BNFCR has the figures of USDT, which has zeros; totals in USD stay, those in USDT are 0."""
    account = SimulatedAccount("main", multi_assets=mode == "multi")
    async with SimulatedExchange([account], clock=clock) as exchange, client_of(exchange, clock) as client:
        exchange.account("main").deposit("USDT", "1000")
        before = await client.result(account, STATUS)
        with FAULTS["credits-mode"].switch(exchange):
            after = await client.result(account, STATUS)

    rows = [{row["asset"]: row for row in result["assets"]} for result in (before, after)]
    assert rows[0]["USDT"] | {"asset": "BNFCR"} == rows[1]["BNFCR"]
    assert (0.0, 0.0) == (float(rows[1]["USDT"]["walletBalance"]), float(rows[1]["USDT"]["maintMargin"]))
    assert (before["totalWalletBalance"] if mode == "multi" else "0.00000000") == after["totalWalletBalance"]


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
