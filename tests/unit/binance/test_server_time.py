"""The exchange's time: requested, kept fresh, and taken from the handshake or an error where that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.polling import FAST, connected, count_requests, request_status
from support.waiting import until

from exporter.binance.errors import ExchangeError

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_synchronizes_with_the_exchanges_clock(exchange: SimulatedExchange) -> None:
    """Requests are signed with the exchange's time, however wrong this host's clock is."""
    with exchange.skew_clock(30.0):
        async with connected(exchange.url) as connection:
            await request_status(connection, exchange.accounts["alice"])

            assert 30.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_impossible_server_time_is_ignored(exchange: SimulatedExchange) -> None:
    """A server time of 1970 is ignored: the handshake's Date is used."""
    impossible = {"status": 200, "result": {"serverTime": 0}}
    with exchange.replace_answer("session.status", None, lambda answer: {"id": answer["id"], **impossible}):
        async with connected(exchange.url) as connection:
            await request_status(connection, exchange.accounts["alice"])

            assert 0.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_clock_from_the_handshake_when_the_method_is_unknown(exchange: SimulatedExchange) -> None:
    """If session.status is rejected, the handshake's Date is accurate enough."""
    unknown_method = {"status": 404, "error": {"code": -5000, "msg": "Method v1/session.status is invalid"}}
    with (
        exchange.skew_clock(30.0),
        exchange.replace_answer("session.status", None, lambda answer: {"id": answer["id"], **unknown_method}),
    ):
        async with connected(exchange.url) as connection:
            await request_status(connection, exchange.accounts["alice"])

            assert 30.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_clock_from_an_error_that_reports_it(exchange: SimulatedExchange) -> None:
    """An error that carries the exchange's time teaches it, where nothing else has."""

    def refuse(answer: dict[str, Any]) -> dict[str, Any]:
        data = {"serverTime": int((exchange.server_time() + 40) * 1000)}
        return {"id": answer["id"], "status": 500, "error": {"code": -1000, "msg": "no", "data": data}}

    with exchange.replace_answer("session.status", None, refuse):
        async with connected(exchange.url) as connection:
            assert 40.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_resyncs_the_clock_once_for_all(exchange: SimulatedExchange) -> None:
    """If the timestamps of many accounts are rejected, the time is requested once."""
    async with connected(exchange.url) as connection:
        began = connection.clock.monotonic()
        with exchange.skew_clock(-30.0):
            with pytest.raises(ExchangeError) as refusal:
                await request_status(connection, exchange.accounts["alice"])
            await asyncio.gather(*(connection.resync_clock(began) for _ in range(5)))
            await request_status(connection, exchange.accounts["alice"])

        assert -1021 == refusal.value.code
        assert 2 == count_requests(exchange, "session.status")


async def test_clock_is_kept_fresh(exchange: SimulatedExchange) -> None:
    """The exchange's time is requested at regular intervals while connected."""
    async with connected(exchange.url, timing=replace(FAST, clock_interval=0.01)):
        await until(lambda: count_requests(exchange, "session.status") >= 3)


async def test_clock_keeper_that_fails_ends_the_link(
    exchange: SimulatedExchange, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error while reading the time does not leave an unused link: the endpoint is dialled again."""
    with monkeypatch.context() as patch:
        patch.setattr("exporter.binance.server_time.decode_session_status", None)
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.connections >= 2)
            patch.undo()
            await until(lambda: connection.connected)
    assert "connection failed, internal error" in {event["event"] for event in logged}
    assert connection.connections - 1 <= sum(connection.disconnections.values())
