"""Refusals with 429 and 418, of requests and of handshakes: nothing is sent until they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.polling import connected, request_status
from support.waiting import until

from exporter.binance.errors import DisconnectReason, ExchangeError, Paused, Reason

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_refusal_for_weight_stops_the_endpoint(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """After a 418 nothing more is sent until the time that the exchange reported."""
    async with connected(exchange.url) as connection:
        with exchange.ban(600):
            with pytest.raises(ExchangeError) as refusal:
                await request_status(connection, exchange.accounts["alice"])
            sent = len(exchange.received)
            with pytest.raises(Paused, match="banned this IP"):
                await request_status(connection, exchange.accounts["bob"])

        assert 418 == refusal.value.status
        assert sent == len(exchange.received)
        assert connection.budget.paused is Reason.BANNED
        assert 500 < connection.budget.pause_seconds <= 610
    assert ["banned"] == [event["reason"] for event in logged if event["event"] == "requests paused"]


async def test_status_418_stops_whatever_the_code(exchange: SimulatedExchange) -> None:
    """A status of 418 pauses the endpoint even if its code means something else."""
    refuse = {"status": 418, "error": {"code": -1000, "msg": "An unknown error occurred."}}
    with exchange.replace_answer("v2/account.status", None, lambda answer: {"id": answer["id"], **refuse}):
        async with connected(exchange.url) as connection:
            with pytest.raises(ExchangeError):
                await request_status(connection, exchange.accounts["alice"])

            assert connection.budget.paused is Reason.BANNED


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("status", "reason"), [(418, Reason.BANNED), (429, Reason.RATE_LIMITED)])
async def test_refused_handshake_stops_dialling(exchange: SimulatedExchange, status: int, reason: Reason) -> None:
    """A handshake refused with 418 or 429 pauses the endpoint, dials included."""
    with exchange.reject_handshake(status):
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.budget.paused)
            spent = connection.budget.spent_total
            await asyncio.sleep(50)  # a pause takes at least a minute

            assert connection.budget.paused is reason
            assert 1 == connection.disconnections[DisconnectReason.REJECTED]
            assert spent == connection.budget.spent_total


@pytest.mark.parametrize("retry_after", ["1e308", "inf", "9" * 5000, "345601", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_ban_of_absurd_length_is_capped(exchange: SimulatedExchange, retry_after: str) -> None:
    """A ban at the handshake holds whatever end it reports, for at most four days."""
    with exchange.reject_handshake(418, {"Retry-After": retry_after}):
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.disconnections[DisconnectReason.REJECTED])

            assert 3.9 * 86400 < connection.budget.pause_seconds <= 4 * 86400
