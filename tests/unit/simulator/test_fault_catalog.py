"""Every fault that has a name does what it says, seen by a client over a real socket, and is undone."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Clock
from support.simulator_client import Client, client_of, refusal_of, sign
from support.waiting import PATIENCE_SECONDS, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from exporter.simulator import SimulatedAccount, SimulatedExchange, fault_catalog
from exporter.simulator.fault_catalog import FAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STATUS = "v2/account.status"
POSITION = "v2/account.position"


@pytest.fixture
def clock() -> Clock:
    """Stop the time."""
    return Clock(1_700_000_010.0)


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
    """Connect to the exchange before anything is wrong."""
    async with client_of(exchange, clock) as connected:
        yield connected


async def is_well(exchange: SimulatedExchange, clock: Clock) -> None:
    """Assert that a new client is served."""
    async with client_of(exchange, clock) as another:
        assert "BTCUSDT" == (await another.result(exchange.accounts["main"], STATUS))["positions"][0]["symbol"]


async def told_time(exchange: SimulatedExchange, seconds: float) -> None:
    """Wait until it is so late at the exchange."""
    await until(lambda: exchange.server_time() == seconds)


REFUSALS = {
    "handshake-403": (403, None),
    "handshake-429": (429, "30"),
    "handshake-451": (451, None),
    "handshake-503": (503, None),
    "banned": (418, "259200"),
    "banned-untold": (418, None),
    "rate-limited": (429, "30"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refused_handshakes(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A new client is refused with the status the name says, and told to wait where it says so."""
    with FAULTS[name].switch(exchange):
        response = (await refusal_of(exchange)).response
    clock.now += 60

    assert REFUSALS[name] == (response.status_code, response.headers.get("Retry-After"))
    await is_well(exchange, clock)


BROKEN_HANDSHAKES = ("handshake-garbage", "handshake-closed")


@pytest.mark.parametrize("name", BROKEN_HANDSHAKES)
async def test_broken_handshakes(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A new client gets no HTTP answer."""
    with FAULTS[name].switch(exchange), pytest.raises((InvalidMessage, ConnectionError)) as caught:
        async with connect(exchange.url):
            pass

    if name == "handshake-garbage":
        assert "invalid HTTP status line: not HTTP" == str(caught.value.__cause__)
    await is_well(exchange, clock)


async def test_silent_handshakes(exchange: SimulatedExchange, clock: Clock) -> None:
    """A new client is accepted and hears nothing until it is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(exchange.url.split(":")[2].split("/")[0]))
    await until(lambda: len(exchange.connections) == 1)
    with FAULTS["handshake-silent"].switch(exchange):
        opening = asyncio.create_task(connect(exchange.url).__aenter__())
        await until(lambda: len(exchange.connections) == 2)
        writer.write(b"GET /elsewhere HTTP/1.1\r\n\r\n")  # of one that was there before
        spared = await reader.readline()
        unanswered = not opening.done()
    connection = await opening
    await connection.close()
    writer.close()

    assert (True, b"HTTP/1.1 ") == (unanswered, spared[:9])
    await is_well(exchange, clock)


LIVES = {"open-and-close": (0, 1001), "short-lived": (10, 1000), "cut-frames": (0, None)}


@pytest.mark.parametrize("name", LIVES)
async def test_short_lives(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A connection ends after so many answers, with the close code the name says or in the middle of a frame."""
    answers, code = LIVES[name]
    with FAULTS[name].switch(exchange):
        async with client_of(exchange, clock) as short:
            for _ in range(answers):
                await short.ask("session.status")
            with pytest.raises(ConnectionClosed) as caught:
                await short.ask("session.status")

    assert code == (caught.value.rcvd.code if caught.value.rcvd else None)
    if code is None:
        assert "stream ends after" in str(caught.value.__cause__)
    await is_well(exchange, clock)


# A handshake must fit in between two events.
EVENTS = {"dropped": (0.5, 1006), "shutdown": (0.05, 1001)}


@pytest.mark.parametrize("name", EVENTS)
async def test_events_repeat(
    exchange: SimulatedExchange, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Connections end again and again, after a word where the name says so."""
    seconds, code = EVENTS[name]
    monkeypatch.setattr(fault_catalog, "EVENT_SECONDS", seconds)
    frames: list[str | bytes] = []
    codes = []
    with FAULTS[name].switch(exchange):
        for _ in range(2):
            async with asyncio.timeout(PATIENCE_SECONDS), connect(exchange.url) as connection:
                with suppress(ConnectionClosed):
                    while True:
                        frames.append(await connection.recv())
                codes.append(connection.close_code)

    assert [code, code] == codes
    told = [{"event": {"e": "serverShutdown", "E": clock.now_ms}}] * 2
    assert (told if name == "shutdown" else []) == [json.loads(frame) for frame in frames]
    await is_well(exchange, clock)


async def test_clock_jumps(exchange: SimulatedExchange, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange's clock jumps ahead and back again, and stays right when it is over."""
    monkeypatch.setattr(fault_catalog, "EVENT_SECONDS", 0.01)
    with FAULTS["clock-jumps"].switch(exchange):
        for ahead in (30, 0, 30):
            await told_time(exchange, clock.now + ahead)

    assert clock.now == exchange.server_time()
    await is_well(exchange, clock)


async def test_silence(exchange: SimulatedExchange, clock: Clock) -> None:
    """A connection opens and then neither answers nor pongs, until it is over."""
    fault = FAULTS["silent"].switch(exchange)
    async with client_of(exchange, clock) as silent:
        (connection,) = exchange.connections
        await until(lambda: connection.stalled)
        pong = asyncio.ensure_future(await silent.connection.ping())
        asked = asyncio.create_task(silent.ask("session.status"))
        await until(lambda: len(connection.unread) > 40)
        early = pong.done() or asked.done()
        fault.close()
        answer = await asked
        await pong

    assert not early
    assert 200 == answer["status"]
    await is_well(exchange, clock)


async def test_no_answers(exchange: SimulatedExchange, client: Client, clock: Clock) -> None:
    """Requests are taken, pongs come, and answers do not."""
    with FAULTS["no-answers"].switch(exchange):
        await client.connection.send('{"id":"lost","method":"session.status"}')
        await until(lambda: exchange.received)
        await (await client.connection.ping())
    answer = await client.ask("session.status")

    assert 1 == answer["id"]
    await is_well(exchange, clock)


async def test_slow_answers(
    exchange: SimulatedExchange, client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers come, no earlier than said."""
    monkeypatch.setattr(fault_catalog, "SLOW_SECONDS", 0.2)
    with FAULTS["slow-answers"].switch(exchange):
        asked = asyncio.get_running_loop().time()
        await client.ask("session.status")
        answered = asyncio.get_running_loop().time()

    assert 0.19 < answered - asked
    await is_well(exchange, clock)


# The method asked, and whether the frames that come for one request are what the name says.
ANSWERS: dict[str, tuple[str, Callable[[list[Any]], bool]]] = {
    "wrong-ids": (STATUS, lambda came: (came[0]["id"], came[0]["status"]) == ("nobody", 200)),
    "null-ids": (STATUS, lambda came: (came[0]["id"], came[0]["status"]) == (None, 200)),
    "double-answers": (STATUS, lambda came: came[0] == came[1] and came[0]["id"] == 1),
    "unsolicited": (STATUS, lambda came: "id" not in came[0] and came[1]["status"] == 200),
    "garbage": (STATUS, lambda came: "garbage" in came[0]),
    "truncated": (STATUS, lambda came: came[0].startswith('{"id":1,"status":200,') and came[0][-1] != "}"),
    "nested": (STATUS, lambda came: came[0].startswith('{"id":1,') and "[" * 100_000 in came[0]),
    "huge": (STATUS, lambda came: len(came[0]["padding"]) > 8 * 2**20),
    "binary": (STATUS, lambda came: json.loads(came[0])["status"] == 200 and isinstance(came[0], bytes)),
    "server-errors": (STATUS, lambda came: (came[0]["status"], came[0]["error"]["code"]) == (500, -1000)),
    "maintenance": (STATUS, lambda came: came[0].keys() == {"id", "239999"}),
    "maintenance-503": (
        STATUS,
        lambda came: (came[0]["status"], list(came[0]["error"]), "result" in came[0]) == (503, ["239999"], False),
    ),
    "no-rate-limits": (STATUS, lambda came: came[0].keys() == {"id", "status", "result"}),
    "zero-limit": (STATUS, lambda came: came[0]["rateLimits"][0]["limit"] == 0),
    "nonsense-figures": (STATUS, lambda came: came[0]["result"]["totalWalletBalance"] == "NaN"),
    "no-assets": (STATUS, lambda came: "assets" not in came[0]["result"]),
    "rows-twice": (
        STATUS,
        lambda came: [row["symbol"] for row in came[0]["result"]["positions"]][:2] == ["BTCUSDT"] * 2,
    ),
    "hollow-answers": (STATUS, lambda came: came[0]["result"] == {"assets": [], "positions": []}),
    "no-rows": (STATUS, lambda came: len(came[0]["result"]) == 13 and came[0]["result"]["assets"] == []),
    "null-totals": (STATUS, lambda came: list(came[0]["result"].values()).count(None) == 11),
    "no-positions": (
        STATUS,
        lambda came: came[0]["result"]["positions"] == [] and float(came[0]["result"]["totalMaintMargin"]) > 0,
    ),
    "no-risk-rows": (POSITION, lambda came: came[0]["result"] == []),
    "risk-row-missing": (POSITION, lambda came: [row["symbol"] for row in came[0]["result"]] == ["ETHUSDT"]),
    "no-margin-assets": (POSITION, lambda came: "marginAsset" not in {*came[0]["result"][0], *came[0]["result"][1]}),
    "credits-mode": (POSITION, lambda came: {row["marginAsset"] for row in came[0]["result"]} == {"BNFCR"}),
    "refused-once": (STATUS, lambda came: (came[0]["status"], came[0]["error"]["code"]) == (401, -2015)),
    "position-gone": (POSITION, lambda came: (came[0]["status"], came[0]["error"]["code"]) == (404, -5000)),
    "clock-ahead": (STATUS, lambda came: came[0]["error"]["code"] == -1021 and "outside" in came[0]["error"]["msg"]),
    "clock-behind": (STATUS, lambda came: came[0]["error"]["code"] == -1021 and "ahead" in came[0]["error"]["msg"]),
    "busy-ip": (STATUS, lambda came: came[0]["rateLimits"][0]["count"] == 1920 + 5 + 5),
    "rate-limited": (STATUS, lambda came: (came[0]["status"], came[0]["error"]["code"]) == (429, -1003)),
    "banned": (STATUS, lambda came: came[0]["error"]["data"]["retryAfter"] == 1_700_259_210_000),
    "banned-untold": (STATUS, lambda came: came[0]["status"] == 418 and "data" not in came[0]["error"]),
    "key-revoked": (STATUS, lambda came: (came[0]["status"], came[0]["error"]["code"]) == (401, -2015)),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_altered_answers(exchange: SimulatedExchange, clock: Clock, name: str) -> None:
    """A signed request is answered as the name says, and as ever when it is over."""
    method, holds = ANSWERS[name]
    request = json.dumps({"id": 1, "method": method, "params": sign(exchange.accounts["main"], clock)})
    came: list[Any] = []
    async with connect(exchange.url, max_size=None) as connection:
        with FAULTS[name].switch(exchange):
            await connection.send(request)
            for _ in range(2 if name in {"double-answers", "unsolicited"} else 1):
                frame = await connection.recv()
                whole = isinstance(frame, str) and name not in {"garbage", "truncated", "nested"}
                came.append(json.loads(frame) if whole else frame)
        if name == "rate-limited":
            clock.now += 60
            request = json.dumps({"id": 2, "method": method, "params": sign(exchange.accounts["main"], clock)})
        await connection.send(request)
        after = json.loads(await connection.recv())

    assert holds(came)
    assert (200, {"id", "status", "result", "rateLimits"}) == (after["status"], after.keys())


async def test_swapped_answers(exchange: SimulatedExchange, client: Client, clock: Clock) -> None:
    """The answers to two requests carry each other's id."""
    with FAULTS["swapped-answers"].switch(exchange):
        await client.connection.send('{"id":"time","method":"session.status"}')
        answers = [await client.signed(exchange.accounts["main"], STATUS), json.loads(await client.connection.recv())]
    by_id = {answer["id"]: answer["result"] for answer in answers}

    assert "totalWalletBalance" in by_id["time"]
    assert "serverTime" in by_id[1]
    await is_well(exchange, clock)


@pytest.mark.parametrize("mode", ["single", "multi"])
async def test_credits_mode(clock: Clock, mode: str) -> None:
    """BNFCR takes the place of USDT, which has nothing left; totals in USD stay, those of USDT are 0."""
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
    """Of two requests the one that the name says is never answered, and the other is."""
    for name, method in (("time-unanswered", "session.status"), ("v1-unanswered", "account.status")):
        with FAULTS[name].switch(exchange):
            await client.connection.send(json.dumps({"id": "lost", "method": method}))
            answer = await client.signed(exchange.accounts["main"], STATUS)

        assert ("lost", 200) != (answer["id"], answer["status"])
        assert 200 == answer["status"]


def test_every_name_is_shown() -> None:
    """No name is left out above."""
    others = {"handshake-silent", "clock-jumps", "silent", "no-answers", "slow-answers", "swapped-answers"}
    others |= {"time-unanswered", "v1-unanswered"}

    assert set(FAULTS) == {*REFUSALS, *BROKEN_HANDSHAKES, *LIVES, *EVENTS, *ANSWERS} | others
