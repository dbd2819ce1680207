"""The simulated exchange over a real socket: methods, envelope, weight, bans and dates."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from support.methods import STATUS
from support.simulator_client import client_of, exchange_of, refusal_of

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.market import SYMBOLS

if TYPE_CHECKING:
    from support.clocks import Clock


async def test_account_methods_answer_from_the_ledger(account: SimulatedAccount, clock: Clock) -> None:
    """All account methods report positions that were just opened."""
    async with exchange_of(account, clock=clock, extra_symbols=3) as (exchange, client):
        exchange.account("main").deposit("USDT", "1000")
        exchange.account("main").open("币安人生USDT", "100")
        exchange.account("main").open("BTCUSDT", "0.001")
        exchange.market.pin("BTCUSDT", "100000.5")
        status = await client.result(account, STATUS)
        balance = await client.result(account, "v2/account.balance")
        positions = await client.result(account, "v2/account.position")
        of_symbol = await client.result(account, "v2/account.position", symbol="币安人生USDT")
        first = await client.result(account, "account.status")
        first_balance = await client.result(account, "account.balance")
        first_positions = await client.result(account, "account.position", symbol="BTCUSDT")
        unknown = await client.signed(account, "v2/account.position", symbol="NOUSDT")

    assert [row["symbol"] for row in status["positions"]] == ["币安人生USDT", "BTCUSDT"]
    assert {row["asset"]: row["balance"] for row in balance}["USDT"] == status["totalWalletBalance"]
    assert of_symbol == positions[:1]
    assert positions[1]["markPrice"] == "100000.50000000"
    assert first["positions"][-1]["symbol"] == "PAD2USDT"
    assert first["canTrade"] is True
    assert first_balance == balance
    assert [("BTCUSDT", "0.001")] == [(row["symbol"], row["positionAmt"]) for row in first_positions]
    assert unknown["error"] == {"code": -1121, "msg": "Invalid symbol."}


@pytest.mark.parametrize("request_id", [7, "605a6d20-6588-4cb9-afa0-b0ab087507ba", None])
async def test_id_is_echoed(account: SimulatedAccount, clock: Clock, request_id: int | str | None) -> None:
    """An answer carries the id of its request."""
    async with exchange_of(account, clock=clock) as (_, client):
        answer = await client.ask_raw(json.dumps({"id": request_id, "method": "session.status"}))

    assert answer["id"] == request_id


async def test_requests_are_kept_without_signatures(account: SimulatedAccount, clock: Clock) -> None:
    """`received` has the requests without their signatures."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        await client.result(account, STATUS, recvWindow=3000)
        (received,) = exchange.received

    assert received == (STATUS, {"apiKey": account.api_key, "timestamp": clock.now_ms, "recvWindow": 3000})


async def test_rate_limits_are_returned_unless_disabled(account: SimulatedAccount, clock: Clock) -> None:
    """Answers contain the weight spent, unless the URL or the signed request disables it."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        with_limits = await client.signed(account, STATUS)
        rejected = await client.ask("no.method")
        without_limits = await client.signed(account, STATUS, returnRateLimits=False)
        async with client_of(exchange, clock, "?returnRateLimits=false") as quiet:
            silent = await quiet.signed(account, STATUS)
            status = await quiet.ask("session.status")
            requested = await quiet.signed(account, STATUS, returnRateLimits=True)

    (limit,) = with_limits["rateLimits"]
    assert limit == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 2400,
        "count": 10,
    }
    assert rejected["rateLimits"][0]["count"] == 11
    assert without_limits["status"] == silent["status"] == 200
    assert "rateLimits" not in without_limits | silent | status
    assert status["result"]["returnRateLimits"] is False
    assert requested["rateLimits"][0]["count"] == 33


async def test_weight_is_counted_by_aligned_minute(account: SimulatedAccount, clock: Clock) -> None:
    """Every method has its weight, other programs' is added, and a new minute starts at 0."""
    async with exchange_of(account, clock=clock) as (exchange, client):
        spent = [exchange.spent_weight()]
        for method in (STATUS, "v2/account.balance", "v2/account.position", "account.status", "session.status"):
            await client.signed(account, method)
            spent.append(exchange.spent_weight())
        await client.ask_raw("garbage")
        exchange.add_other_traffic(100)
        spent.append(exchange.spent_weight())
        clock.now += 60
        spent.append(exchange.spent_weight())

        assert spent == [5, 10, 15, 20, 25, 27, 128, 0]
        assert exchange.weight.total == 128


async def test_too_much_weight_is_rejected_then_banned(account: SimulatedAccount, clock: Clock) -> None:
    """Over the limit requests are rejected until the minute is over; more of them cause a longer ban."""
    now_ms = clock.now_ms
    minute_end_ms = (now_ms // 60_000 + 1) * 60_000
    async with exchange_of(account, clock=clock, weight_limit=100, tolerated_requests=2, ban_seconds=300) as (
        exchange,
        client,
    ):
        exchange.add_other_traffic(91)
        answers = [await client.signed(account, STATUS) for _ in range(4)]
        handshake = await refusal_of(exchange)
        clock.now += 299
        still = await client.signed(account, STATUS)
        clock.now += 1
        after = await client.signed(account, STATUS)

    assert [answer["status"] for answer in answers] == [429, 429, 418, 418]
    assert answers[0]["error"] == {
        "code": -1003,
        "msg": "Too many requests; current limit of IP(127.0.0.1) is 100 requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
        "data": {"serverTime": now_ms, "retryAfter": minute_end_ms},
    }
    assert answers[2]["error"] == {
        "code": -1003,
        "msg": f"Way too many requests; IP(127.0.0.1) banned until {now_ms + 300_000}. "
        "Please use the websocket for live updates to avoid bans.",
        "data": {"serverTime": now_ms, "retryAfter": now_ms + 300_000},
    }
    assert (handshake.response.status_code, handshake.response.headers["Retry-After"]) == (418, "300")
    assert still["status"] == 418
    assert after["status"] == 200


async def test_ban_without_its_end(account: SimulatedAccount, clock: Clock) -> None:
    """The end of a ban can be left out of the data and of the text, and a ban can be lifted."""
    async with exchange_of(account, clock=clock, ban_data=False, ban_text=False) as (exchange, client):
        with exchange.ban(60):
            banned = await client.signed(account, STATUS)
        lifted = await client.signed(account, STATUS)

    assert banned["status"] == 418
    assert "banned for now" in banned["error"]["msg"]
    assert "data" not in banned["error"]
    assert lifted["status"] == 200


async def test_handshake_over_the_limit_is_rejected(account: SimulatedAccount, clock: Clock) -> None:
    """A handshake has a weight, too, and its rejection says when to retry."""
    async with SimulatedExchange([account], clock=clock, weight_limit=100) as exchange:
        exchange.add_other_traffic(96)
        rejected = await refusal_of(exchange)

    assert rejected.response.status_code == 429
    assert rejected.response.headers["Retry-After"] == str(60 - int(clock.now) % 60)


async def test_handshake_has_the_exchange_s_date(account: SimulatedAccount, clock: Clock) -> None:
    """Every answer to a handshake has the exchange's time."""
    async with exchange_of(account, clock=clock) as (exchange, _):
        with exchange.skew_clock(86_400):
            rejected = await refusal_of(exchange, "/elsewhere")
            async with client_of(exchange, clock) as client:
                opened = client.connection.response

    assert opened is not None
    assert rejected.response.status_code == 404
    for response in (opened, rejected.response):
        assert parsedate_to_datetime(response.headers["Date"]).timestamp() == clock.now + 86_400


async def test_hundred_positions_are_answered_whole(clock: Clock) -> None:
    """An account may hold a hundred positions."""
    account = SimulatedAccount("big")
    async with exchange_of(account, clock=clock) as (exchange, client):
        big = exchange.account("big")
        big.deposit("USDT", "1000000")
        big.deposit("USDC", "1000000")
        for symbol in list(SYMBOLS)[:100]:
            big.open(symbol, "10" if SYMBOLS[symbol].base_price < 1000 else "0.01")
        status = await client.result(account, STATUS)
        positions = await client.result(account, "v2/account.position")

    assert len(status["positions"]) == len(positions) == 100
