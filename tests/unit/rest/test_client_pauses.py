"""The pauses and the request weight of the REST client."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from support.rest import Client, client_of, failure, replace_rest

from exporter.binance.errors import (
    ExchangeError,
    OverBudget,
    Paused,
    ProtocolError,
    Reason,
)
from exporter.rest.requests import RestPath
from exporter.simulator.answer_edits import field
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.toggles import REST

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize(("status", "reason"), [(429, Reason.RATE_LIMITED), (418, Reason.BANNED)])
async def test_rate_limit_pauses(
    exchange: SimulatedExchange, client: Client, status: int, reason: Reason, *, dated: bool
) -> None:
    """After 429 or 418 nothing is sent until the time in Retry-After, a number of seconds or a date, is over."""
    retry_after = formatdate(exchange.server_time() + 500, usegmt=True) if dated else "500"
    replace_rest(exchange, status, {"code": -1003, "msg": "Too many requests"}, {"Retry-After": retry_after})
    await failure(client, ExchangeError)
    sent = len(exchange.received)
    error = await failure(client, Paused)

    assert isinstance(error, Paused)
    assert reason is error.reason is client.budget.paused
    assert 490 < error.seconds < 510
    assert sent == len(exchange.received)


@pytest.mark.parametrize("retry_after", ["", "soon", "-5", "nan"])
async def test_rate_limit_without_a_time_pauses(exchange: SimulatedExchange, client: Client, retry_after: str) -> None:
    """After 429 without a usable Retry-After nothing is sent for a minute."""
    replace_rest(exchange, 429, "<html>", {"Retry-After": retry_after})
    await failure(client, ExchangeError)

    assert 50 < client.budget.pause_seconds < 65


@pytest.mark.parametrize(("retry_after", "least"), [("", 170), ("900", 890), ("5", 170)])
@pytest.mark.parametrize(
    ("status", "body"),
    [(403, "<html>"), (403, {"code": 0}), (451, {"code": 0, "msg": "restricted location"}), (451, "")],
)
async def test_firewall_and_region_pause(
    exchange: SimulatedExchange, client: Client, status: int, body: Any, retry_after: str, least: float
) -> None:
    """After a 403 of a firewall or a 451 nothing is sent for 3 minutes, or for longer if the response says so."""
    replace_rest(exchange, status, body, {"Retry-After": retry_after})
    error = await failure(client, ProtocolError)

    assert f"rejected with HTTP status {status}" in str(error)
    assert least < client.budget.pause_seconds < least + 30
    await failure(client, Paused)


async def test_refused_key_does_not_pause(exchange: SimulatedExchange, client: Client) -> None:
    """A 403 with one of Binance's codes is about the key: the host is not paused."""
    replace_rest(exchange, 403, {"code": -2015, "msg": "Invalid API-key, IP, or permissions, request ip: 203.0.113.7"})
    error = await failure(client, ExchangeError)

    assert client.budget.paused is None
    assert "203.0.113.7" not in str(error)


async def test_pause_of_the_websocket_api(exchange: SimulatedExchange) -> None:
    """While the WebSocket API is paused nothing is sent, also if the pause begins while a request waits for weight."""
    slept = asyncio.Event()

    async def sleep(_: float) -> None:
        slept.set()
        budget.share = 0.9  # there is enough weight then, but the pause has begun

    def pause() -> None:
        if slept.is_set():
            raise Paused(Reason.BANNED, 60.0)

    async with client_of(exchange.rest_url, pause=pause, sleep=sleep) as client:
        budget = client.budget
        budget.share = 0.01
        await client.get(RestPath.ASSET_INDEX, 25)
        for _ in range(2):
            assert not budget._in_flight
            await failure(client, Paused)

    assert slept.is_set()
    assert 1 == len(exchange.received)


async def test_503_does_not_pause(exchange: SimulatedExchange, client: Client) -> None:
    """A 503 is an error that reports when to retry, but does not pause the host."""
    replace_rest(exchange, 503, {"code": 0, "msg": "Unknown error"}, {"Retry-After": "120"})
    error = await failure(client, ExchangeError)

    assert isinstance(error, ExchangeError)
    assert error.retry_at_ms is not None
    assert 110 < error.retry_at_ms / 1000 - client.clock.seconds < 125
    assert client.budget.paused is None


@pytest.mark.usefixtures("virtual_time")
async def test_share_of_the_weight(exchange: SimulatedExchange) -> None:
    """No more weight than the share is spent within a minute; what does not fit waits."""
    async with client_of(exchange.rest_url) as client:
        client.budget.share = 0.02  # 48 a minute
        for _ in range(4):
            await client.get(RestPath.ASSET_INDEX, 10)
        began_at = client.clock.monotonic()
        await client.get(RestPath.ASSET_INDEX, 10)
        assert 59 < client.clock.monotonic() - began_at < 66
    assert 50 == client.budget.spent_total


@pytest.mark.usefixtures("virtual_time")
async def test_no_weight_in_time(exchange: SimulatedExchange) -> None:
    """A request for which there is no weight within 90 seconds is not sent."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(1000)

    async with client_of(exchange.rest_url, sleep=sleep) as client:
        client.budget.share = 0.01
        await client.get(RestPath.ASSET_INDEX, 25)
        await failure(client, OverBudget)

    assert 1 == len(exchange.received)


@pytest.mark.usefixtures("virtual_time")
async def test_yields_to_other_programs(exchange: SimulatedExchange, client: Client) -> None:
    """Once all programs behind this IP have spent half of the limit, a request waits for the next minute."""
    await client.get(RestPath.ASSET_INDEX, 10)
    assert (10, 2400) == (client.budget.used, client.budget.limit)
    REST_FAULTS["rest-busy"].switch(exchange)
    await client.get(RestPath.FUNDING_INFO, 0)
    minute = client.clock.seconds // 60
    await client.get(RestPath.ASSET_INDEX, 10)

    assert minute + 1 == client.clock.seconds // 60


@pytest.mark.parametrize("used", ["", "-1", "1e3", "²", "9" * 30, "nonsense"])
async def test_nonsense_used_weight(exchange: SimulatedExchange, client: Client, used: str) -> None:
    """A used weight that is not a number is as if it were not reported; the next request is sent as usual."""
    exchange.replace_answer(REST, None, field("headers.X-MBX-USED-WEIGHT-1M", used.encode().decode("latin-1")))
    for _ in range(2):
        await client.get(RestPath.ASSET_INDEX, 10)

    assert client.budget.used is client.budget.limit is None
