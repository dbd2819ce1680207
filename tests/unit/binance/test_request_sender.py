"""Requests over a connection: signed, answered or not, and kept within the weight budget."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.polling import connected, request_status
from support.waiting import until

from exporter.binance.errors import NoResponse, OverBudget, ProtocolError
from exporter.binance.messages import decode_account_status
from exporter.simulator import SimulatedAccount, SimulatedExchange


@pytest.mark.parametrize("key_type", ["HMAC", "RSA", "Ed25519"])
async def test_signs_with_every_type_of_key(key_type: Any) -> None:
    """A query signed by any of the three kinds of key is answered with the account's status."""
    account = SimulatedAccount("one", key_type)
    account.deposit("USDT", "123.45")
    async with SimulatedExchange([account]) as exchange, connected(exchange.url) as connection:
        answer = await request_status(connection, account)

    assert 123.45 == decode_account_status(answer.result).wallet_balance
    assert answer.asked_at <= answer.answered_at


async def test_accounts_share_one_socket(exchange: SimulatedExchange) -> None:
    """Concurrent requests of several accounts go over one socket, and each gets its own answer."""
    exchange.account("bob").deposit("USDT", "5")
    async with connected(exchange.url) as connection:
        answers = await asyncio.gather(
            *(request_status(connection, exchange.accounts[name]) for name in ["alice", "bob"] * 5)
        )

        assert 1 == connection.connections
        assert 1 == len(exchange.connections)
    balances = [decode_account_status(answer.result).wallet_balance for answer in answers]
    assert 2 == len(set(balances))
    assert balances[:2] * 5 == balances


async def test_unanswered_request_fails_alone(exchange: SimulatedExchange) -> None:
    """A request without an answer fails at its own deadline; the next one is served over the same socket."""
    async with connected(exchange.url) as connection:
        with exchange.lose_answers(), pytest.raises(NoResponse, match=r"no response within 0\.05 s"):
            await request_status(connection, exchange.accounts["alice"], timeout_seconds=0.05)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.connections


@pytest.mark.parametrize("body", [{}, {"status": None}, {"rateLimits": []}])
async def test_answer_without_result_or_error(exchange: SimulatedExchange, body: dict[str, Any]) -> None:
    """A response with neither a result nor an error is a protocol error."""
    replaced = exchange.replace_answer("v2/account.status", None, lambda answer: {"id": answer["id"], **body})
    async with connected(exchange.url) as connection:
        with replaced, pytest.raises(ProtocolError):
            await request_status(connection, exchange.accounts["alice"])


@pytest.mark.usefixtures("virtual_time")
async def test_crowded_minute_fails_the_request_by_its_deadline(exchange: SimulatedExchange) -> None:
    """A request that other programs' traffic leaves no room for is not sent, and fails by its deadline."""
    exchange.add_other_traffic(2150)
    async with connected(exchange.url) as connection:
        with pytest.raises(OverBudget):
            await request_status(connection, exchange.accounts["alice"], within=0.05)

        assert "v2/account.status" not in {received.method for received in exchange.received}


async def test_stretched_plan_is_logged_once(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A plan that does not fit the limit stretches the intervals, with one warning."""
    async with connected(exchange.url, wait=False) as connection:
        connection.budget.plan([(5, 1.0)] * 20)
        await until(lambda: connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert connection.budget.stretch > 2
    warnings = [
        event for event in logged if event["event"] == "poll intervals stretched to fit the request-weight budget"
    ]
    assert [round(connection.budget.stretch, 3)] == [event["factor"] for event in warnings]
