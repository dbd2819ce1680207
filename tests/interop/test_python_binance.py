"""python-binance against the simulated exchange; its WebSocket methods of futures sign with HMAC keys only."""

from __future__ import annotations

import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from support.interop import (
    OWNERS,
    SHAPES,
    answers_of,
    forger_of,
    ledger_figures,
    reported_figures,
    rest_answers_of,
    standing_exchange,
    without_times,
)

from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, INCOME, PREMIUM_INDEX

with warnings.catch_warnings():
    # It imports websockets' old interface for a type alone.
    warnings.filterwarnings("ignore", r"websockets\.", DeprecationWarning)
    from binance import AsyncClient
    from binance.exceptions import BinanceAPIException
    from binance.ws.constants import WSListenerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange


@asynccontextmanager
async def python_binance(exchange: SimulatedExchange, account: SimulatedAccount) -> AsyncIterator[Any]:
    """Return a client of an account; it connects with its first request."""
    # `create` would ask REST for the time; the URL is a constant of the class.
    with patch.object(AsyncClient, "WS_FUTURES_URL", exchange.url):
        client = AsyncClient(account.api_key, account.secret_key, private_key=account.private_key_pem)
    client.FUTURES_URL, client.MARGIN_API_URL = f"{exchange.rest_url}/fapi", f"{exchange.rest_url}/sapi"
    try:
        yield client
    finally:
        # Closing waits for its reader, which waits ten seconds for a message unless its connection is gone.
        if client.ws_future.ws is not None:
            client.ws_future.ws_state = WSListenerState.EXITING
            await client.ws_future.ws.close()
            await client.ws_future.close()
        await client.close_connection()


@pytest.mark.parametrize("name", SHAPES)
async def test_python_binance_reads_every_shape_of_account(name: str) -> None:
    """python-binance returns every answer for every shape of account, equal to the ledger."""
    async with standing_exchange("HMAC") as exchange, python_binance(exchange, exchange.accounts[name]) as client:
        results = {
            "v2/account.status": await client.ws_futures_v2_account_status(recvWindow=5000),
            "v2/account.balance": await client.ws_futures_v2_account_balance(),
            "v2/account.position": await client.ws_futures_v2_account_position(),
        }

        assert answers_of(exchange, name) == results
        assert ledger_figures(exchange, name) == reported_figures(results)


async def test_python_binance_asks_for_one_symbol() -> None:
    """python-binance gets the rows of the one symbol that it asks for."""
    async with standing_exchange("HMAC") as exchange, python_binance(exchange, exchange.accounts["hedge"]) as client:
        rows = await client.ws_futures_v2_account_position(symbol="ETHUSDT")

    assert {("ETHUSDT", "LONG"), ("ETHUSDT", "SHORT")} == {(row["symbol"], row["positionSide"]) for row in rows}


async def test_python_binance_is_refused_for_a_wrong_signature() -> None:
    """A signature by another secret raises python-binance's exception with code -1022."""
    async with (
        standing_exchange("HMAC") as exchange,
        python_binance(exchange, forger_of(exchange.accounts["main"])) as client,
    ):
        with pytest.raises(BinanceAPIException) as caught:
            await client.ws_futures_v2_account_status()

    assert (400, -1022) == (caught.value.status_code, caught.value.code)


@pytest.mark.parametrize(("skew_seconds", "complaint"), [(60.0, "outside of the recvWindow"), (-60.0, "1000ms ahead")])
async def test_python_binance_is_refused_for_its_clock(skew_seconds: float, complaint: str) -> None:
    """A clock that is behind or ahead of the exchange's raises python-binance's exception with code -1021."""
    async with standing_exchange("HMAC") as exchange, python_binance(exchange, exchange.accounts["main"]) as client:
        with exchange.skew_clock(skew_seconds), pytest.raises(BinanceAPIException, match=complaint) as caught:
            await client.ws_futures_v2_account_balance()

    assert (400, -1021) == (caught.value.status_code, caught.value.code)


async def test_python_binance_is_refused_for_an_unknown_method() -> None:
    """A method that does not exist raises python-binance's exception with code -5000, and the client continues."""
    async with standing_exchange("HMAC") as exchange, python_binance(exchange, exchange.accounts["main"]) as client:
        with pytest.raises(BinanceAPIException) as caught:
            await client._ws_futures_api_request("v2/account.gone", signed=True, params={})
        status = await client.ws_futures_v2_account_status()

        assert (404, -5000) == (caught.value.status_code, caught.value.code)
        assert answers_of(exchange, "main")["v2/account.status"] == status


@pytest.mark.parametrize("key_type", OWNERS)
async def test_python_binance_reads_rest(key_type: KeyType) -> None:
    """python-binance returns every answer of REST, with a key of each type."""
    async with standing_exchange() as exchange:
        name = OWNERS[key_type]
        async with python_binance(exchange, exchange.accounts[name]) as client:
            results = {
                PREMIUM_INDEX: await client.futures_mark_price(),
                f"{PREMIUM_INDEX}?symbol": await client.futures_mark_price(symbol="币安人生USDT"),
                FUNDING_INFO: await client.futures_v1_get_funding_info(),
                ASSET_INDEX: await client.futures_v1_get_asset_index(),
                INCOME: await client.futures_income_history(),
                f"{INCOME}?symbol": await client.futures_income_history(symbol="币安人生USDT"),
                API_RESTRICTIONS: await client.get_account_api_permissions(),
            }

        assert rest_answers_of(exchange, name) == without_times(results)


async def test_python_binance_is_refused_over_rest_for_a_wrong_signature() -> None:
    """A signature by another secret raises python-binance's exception with code -1022."""
    async with (
        standing_exchange() as exchange,
        python_binance(exchange, forger_of(exchange.accounts["main"])) as client,
    ):
        with pytest.raises(BinanceAPIException) as caught:
            await client.get_account_api_permissions()

    assert (400, -1022) == (caught.value.status_code, caught.value.code)
