"""Binance's own Python SDK against the simulated exchange.

The signature covers a parameter's raw UTF-8. The SDK percent-encodes before it signs, as Binance's JavaScript client
does, so for a non-ASCII symbol it signs other bytes than the exchange verifies and is rightly refused with -1022, as
the live exchange refuses it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI
from binance_common.errors import BadRequestError
from binance_common.utils import send_request
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
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

from exporter.simulator.answers import account_balance, account_position_v1, account_status_v1
from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, INCOME, PREMIUM_INDEX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange

# The SDK gives aiohttp its timeout in a form that aiohttp is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float' is deprecated:DeprecationWarning")


@asynccontextmanager
async def sdk(exchange: SimulatedExchange, account: SimulatedAccount, **options: Any) -> AsyncIterator[Any]:
    """Connect the SDK as an account."""
    configuration = ConfigurationWebSocketAPI(
        api_key=account.api_key,
        api_secret=account.secret_key,
        private_key=account.private_key_pem,
        stream_url=exchange.url,
        **options,
    )
    api: Any = DerivativesTradingUsdsFutures(config_ws_api=configuration).websocket_api
    await api.create_connection()
    try:
        yield api
    finally:
        await api.close_connection(close_session=True)


def sdk_rest(exchange: SimulatedExchange, account: SimulatedAccount) -> Any:
    """Return the SDK's REST client of an account; it blocks."""
    configuration = ConfigurationRestAPI(
        api_key=account.api_key,
        api_secret=account.secret_key,
        private_key=account.private_key_pem,
        base_path=exchange.rest_url,
        timeout=30_000,
        retries=0,
    )
    return DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api


def get_signed(api: Any, path: str) -> Any:
    """Send a signed REST request for which the SDK has no method; its own function for that fails in version 18."""
    return send_request(api._session, api.configuration, "GET", path, is_signed=True, signer=api._signer)


async def send(api: Any, method: str, **options: Any) -> Any:
    """Send a signed request for which the SDK has no method."""
    return (await api.send_signed_message({"method": method, "params": {}}, signer=api.signer, **options)).data()


def plain(model: Any) -> Any:
    """Convert the SDK's models back to JSON, with None for fields that the answer lacks."""
    if isinstance(model, list):
        return [plain(item) for item in model]
    if not hasattr(model, "model_fields_set"):
        return model
    if hasattr(model, "actual_instance"):
        return plain(model.actual_instance)
    fields = {field.alias or name: getattr(model, name) for name, field in type(model).model_fields.items()}
    assert {} == fields.pop("additional_properties")
    if fields.get("marginAvailable", True) is None:
        del fields["marginAvailable"]  # left out by single-asset answers
    return {name: plain(value) for name, value in fields.items()}


@pytest.mark.parametrize("name", SHAPES)
async def test_sdk_reads_every_shape_of_account(name: str) -> None:
    """The SDK's models of every answer for every shape of account equal the ledger, field by field."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts[name]) as api:
        answers = {
            "v2/account.status": (await api.account_information_v2(recv_window=5000)).data(),
            "v2/account.balance": (await api.futures_account_balance_v2()).data(),
            "v2/account.position": (await api.position_information_v2()).data(),
        }
        results = {method: plain(answer.result) for method, answer in answers.items()}

        assert answers_of(exchange, name) == results
        assert ledger_figures(exchange, name) == reported_figures(results)
        assert [200, 200, 200] == [answer.status for answer in answers.values()]
        assert [10, 15, 20] == [answer.rate_limits[0].count for answer in answers.values()]
        # Every number but the timestamp travels as text.
        assert "5000" == exchange.received[0].params["recvWindow"]


async def test_sdk_asks_for_one_symbol() -> None:
    """The SDK gets the rows of the one symbol that it asks for, with its own request id."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts["hedge"]) as api:
        answer = (await api.position_information_v2(symbol="BTCUSDT", id="of-my-own_1")).data()

        assert "of-my-own_1" == answer.id
        assert {("BTCUSDT", "LONG"), ("BTCUSDT", "SHORT")} == {(row.symbol, row.position_side) for row in answer.result}


async def test_sdk_percent_encodes_what_it_signs() -> None:
    """A request for a non-ASCII symbol is refused with -1022, since the SDK signs its percent-encoded form."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts["isolated"]) as api:
        answer = (await api.position_information_v2(symbol="币安人生USDT")).data()

    assert -1022 == answer["error"]["code"]


async def test_sdk_reads_the_first_methods() -> None:
    """The SDK's models of version 1 of the account methods have exactly the fields of the answers."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts["multi"]) as api:
        account = exchange.account("multi")
        status = (await api.account_information()).data()
        balance = (await api.futures_account_balance()).data()
        position = (await api.position_information()).data()

        assert account_status_v1(account, 0) == plain(status.result)
        assert account_balance(account) == plain(balance.result)
        assert account_position_v1(account, None) == plain(position.result)
        assert [10, 15, 20] == [answer.rate_limits[0].count for answer in (status, balance, position)]


async def test_sdk_without_rate_limits() -> None:
    """Answers have no rate limits if the SDK disables them, with a parameter that it signs as text."""
    async with (
        standing_exchange() as exchange,
        sdk(exchange, exchange.accounts["main"], return_rate_limits=False) as api,
    ):
        response = await api.account_information_v2()

        assert "false" == exchange.received[0].params["returnRateLimits"]
        assert [] == response.rate_limits
        assert response.data().rate_limits is None
        assert 200 == response.data().status


@pytest.mark.parametrize("key_type", OWNERS)
async def test_sdk_is_refused_for_a_wrong_signature(key_type: KeyType) -> None:
    """A signature by another key of the same type raises the SDK's error with code -1022."""
    async with standing_exchange() as exchange:
        account = exchange.accounts[OWNERS[key_type]]
        async with sdk(exchange, forger_of(account)) as api:
            answer = (await api.account_information_v2()).data()

    assert {"error": {"code": -1022, "msg": "Signature for this request is not valid."}} == answer


@pytest.mark.parametrize(("skew_seconds", "complaint"), [(60.0, "outside of the recvWindow"), (-60.0, "1000ms ahead")])
async def test_sdk_is_refused_for_its_clock(skew_seconds: float, complaint: str) -> None:
    """A clock that is behind or ahead of the exchange's raises the SDK's error with code -1021."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts["main"]) as api:
        with exchange.skew_clock(skew_seconds):
            answer = (await api.futures_account_balance_v2()).data()

    assert -1021 == answer["error"]["code"]
    assert complaint in answer["error"]["msg"]


async def test_sdk_is_refused_for_an_unknown_method() -> None:
    """A method that does not exist raises the SDK's error with code -5000."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts["main"]) as api:
        answer = await send(api, "v2/account.gone")

    assert {"error": {"code": -5000, "msg": "Method v2/account.gone is invalid"}} == answer


async def test_sdk_logs_its_session_on() -> None:
    """After logging on with an Ed25519 key the SDK's requests have neither key nor signature, and succeed."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts["multi"]) as api:
        logon = await send(api, "session.logon", session_logon=True)
        answer = (await api.account_information_v2()).data()

        assert exchange.accounts["multi"].api_key == logon["result"]["apiKey"]
        assert {"timestamp"} == set(exchange.received[-1].params)
        assert answers_of(exchange, "multi")["v2/account.status"] == plain(answer.result)


@pytest.mark.parametrize("key_type", ["HMAC", "RSA"])
async def test_sdk_cannot_log_on_with_other_keys(key_type: KeyType) -> None:
    """Logging on with a key that is not Ed25519 raises the SDK's error with code -4056."""
    async with standing_exchange() as exchange, sdk(exchange, exchange.accounts[OWNERS[key_type]]) as api:
        answer = await send(api, "session.logon", session_logon=True)

    assert -4056 == answer["error"]["code"]


async def test_sdk_reads_prices_and_funding() -> None:
    """The SDK's models of funding and of asset prices equal the market, for one symbol and for all."""
    async with standing_exchange() as exchange:
        api = sdk_rest(exchange, exchange.accounts["main"])
        responses = {
            PREMIUM_INDEX: await asyncio.to_thread(api.mark_price),
            f"{PREMIUM_INDEX}?symbol": await asyncio.to_thread(api.mark_price, "币安人生USDT"),
            FUNDING_INFO: await asyncio.to_thread(api.get_funding_rate_info),
            ASSET_INDEX: await asyncio.to_thread(api.asset_index),
        }
        results = {path: without_times(plain(response.data())) for path, response in responses.items()}

        assert rest_answers_of(exchange, "main") | results == rest_answers_of(exchange, "main")
        assert [10, 11, 11, 21] == [response.rate_limits[0].count for response in responses.values()]


@pytest.mark.parametrize("key_type", OWNERS)
async def test_sdk_signs_rest_requests(key_type: KeyType) -> None:
    """The SDK reads income with a key of each type, also for a non-ASCII symbol, and key permissions."""
    async with standing_exchange() as exchange:
        name = OWNERS[key_type]
        api = sdk_rest(exchange, exchange.accounts[name])
        income = (await asyncio.to_thread(api.get_income_history, recv_window=5000)).data()
        of_symbol = (await asyncio.to_thread(api.get_income_history, "币安人生USDT")).data()
        restrictions = (await asyncio.to_thread(get_signed, api, API_RESTRICTIONS)).data()
        results = {INCOME: income, f"{INCOME}?symbol": of_symbol, API_RESTRICTIONS: restrictions}
        expected = rest_answers_of(exchange, name)

    assert expected | {path: without_times(plain(result)) for path, result in results.items()} == expected
    assert 3 == len(income)


@pytest.mark.parametrize("key_type", OWNERS)
async def test_sdk_is_refused_over_rest_for_a_wrong_signature(key_type: KeyType) -> None:
    """A signature by another key of the same type raises the SDK's error with code -1022."""
    async with standing_exchange() as exchange:
        api = sdk_rest(exchange, forger_of(exchange.accounts[OWNERS[key_type]]))
        with pytest.raises(BadRequestError) as caught:
            await asyncio.to_thread(api.get_income_history)

    assert -1022 == caught.value.status_code
