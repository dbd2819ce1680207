"""The faults of `simulate --fault` that concern REST: each does what its help says, and can be undone."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import TYPE_CHECKING

import pytest
from support.methods import STATUS
from support.rest_client import Reply, RestClient
from support.simulator_client import client_of
from support.waiting import until

from exporter.simulator.fault_catalog import FAULTS
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import API_RESTRICTIONS, FUNDING_INFO, INCOME, PREMIUM_INDEX

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.clocks import Clock

    from exporter.simulator import SimulatedExchange

BTC = f"{PREMIUM_INDEX}?symbol=BTCUSDT"


def rates_of(reply: Reply) -> set[object]:
    """Return the funding rates of all symbols."""
    return {row["lastFundingRate"] for row in reply.body}


# The target, and whether its answer is as the fault's help says.
ANSWERS: dict[str, tuple[str, Callable[[Reply], bool]]] = {
    "rest-429": (
        BTC,
        lambda reply: (reply.status, reply.headers["retry-after"], reply.body["code"]) == (429, "30", -1003),
    ),
    "rest-banned": (BTC, lambda reply: (reply.status, reply.headers["retry-after"]) == (418, "259200")),
    "rest-busy": (BTC, lambda reply: (reply.status, reply.headers["x-mbx-used-weight-1m"]) == (200, "1921")),
    "rest-403": (BTC, lambda reply: (reply.status, reply.headers["content-type"]) == (403, "text/html")),
    "rest-451": (BTC, lambda reply: (reply.status, reply.body["code"]) == (451, 0)),
    "rest-503": (BTC, lambda reply: (reply.status, reply.body["code"]) == (503, 0)),
    "rest-html": (BTC, lambda reply: (reply.status, reply.content[:15]) == (200, b"<!DOCTYPE html>")),
    "rest-redirects": (BTC, lambda reply: (reply.status, reply.headers["location"]) == (302, "/fapi/v1/redirected")),
    "rest-truncated": (
        BTC,
        lambda reply: reply.content[:7] == b'{"symbo' and reply.content[-1:] != b"}",
    ),
    "rest-wrong-types": (BTC, lambda reply: (reply.body["markPrice"], type(reply.body["time"])) == (1, list)),
    "rest-huge": (BTC, lambda reply: len(reply.content) > 10 * 2**20 and reply.body["symbol"] == "BTCUSDT"),
    "rest-empty": (PREMIUM_INDEX, lambda reply: reply.body == []),
    "rest-empty-rates": (PREMIUM_INDEX, lambda reply: rates_of(reply) == {""}),
    "rest-null-rates": (BTC, lambda reply: reply.body["lastFundingRate"] is None),
    "rest-no-intervals": (FUNDING_INFO, lambda reply: (reply.status, reply.body["code"]) == (404, -5000)),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_altered_answers(exchange: SimulatedExchange, client: RestClient, clock: Clock, name: str) -> None:
    """A request is answered as the fault's help says, the WebSocket API normally, and REST so, too, after the fault."""
    target, expected = ANSWERS[name]
    with FAULTS[name].switch(exchange):
        reply = await client.get(target)
        async with client_of(exchange, clock) as socket:
            untouched = await socket.signed(exchange.accounts["main"], STATUS)
    after = await client.get(target)

    assert expected(reply), reply.headers
    assert "x-mbx-used-weight-1m" in reply.headers
    assert (200, 200) == (untouched["status"], after.status)
    assert json.loads(after.content)


async def test_requests_that_are_never_answered(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """A request is received and never answered; the next one is, after the fault."""
    with RestClient(exchange, clock) as hung, FAULTS["rest-hanging"].switch(exchange):
        hanging = asyncio.create_task(hung.get(BTC))
        await until(lambda: exchange.received)
        unanswered = not hanging.done()
        exchange.drop_connections()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            await hanging

    assert unanswered
    assert 200 == (await client.get(BTC)).status


async def test_answers_that_are_cut(exchange: SimulatedExchange, client: RestClient) -> None:
    """The connection is reset in the middle of an answer."""
    with FAULTS["rest-cut"].switch(exchange), pytest.raises((http.client.HTTPException, ConnectionError)):
        await client.get(PREMIUM_INDEX)
    client.connection.close()

    assert 200 == (await client.get(BTC)).status


async def test_key_refused_once(exchange: SimulatedExchange, client: RestClient) -> None:
    """Only the first request for the key's permissions is refused."""
    account = exchange.accounts["main"]
    with FAULTS["rest-key-refused"].switch(exchange):
        replies = [await client.signed(account, API_RESTRICTIONS) for _ in range(2)]

    assert [401, 200] == [reply.status for reply in replies]
    assert -2015 == replies[0].body["code"]


async def test_income_is_late_or_descending(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """Rows appear when they are five minutes old, or the latest row comes first."""
    account = exchange.account("main")
    for asset in ("USDT", "BNB"):
        clock.now += 1
        exchange.account("main").deposit(asset, "10")
    with FAULTS["rest-descending"].switch(exchange):
        descending = (await client.signed(account, INCOME)).body
    with FAULTS["rest-late-income"].switch(exchange):
        clock.now += 299
        late = (await client.signed(account, INCOME)).body
        clock.now += 1
        all_rows = (await client.signed(account, INCOME)).body

    assert [["BNB", "USDT"], ["USDT"], ["USDT", "BNB"]] == [
        [row["asset"] for row in rows] for rows in (descending, late, all_rows)
    ]


async def test_faults_of_the_websocket_api_spare_rest(exchange: SimulatedExchange, client: RestClient) -> None:
    """Faults of handshakes and of answers to all methods do not concern REST."""
    for name in ("handshake-403", "no-answers", "swapped-answers", "garbage", "rate-limited", "banned"):
        with FAULTS[name].switch(exchange):
            assert "BTCUSDT" == (await client.body(BTC))["symbol"]


def test_every_fault_is_tested() -> None:
    """The tests above cover every fault of REST."""
    assert set(REST_FAULTS) == {*ANSWERS, "rest-hanging", "rest-cut", "rest-key-refused"} | {
        "rest-late-income",
        "rest-descending",
    }
