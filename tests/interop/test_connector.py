"""Binance's own TypeScript connector, run by node, against the simulated exchange."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.interop import (
    OWNERS,
    SHAPES,
    answers_of,
    drive,
    figures_held,
    figures_told,
    forger_of,
    missing,
    standing_exchange,
)

if TYPE_CHECKING:
    from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange

DRIVER = Path(__file__).parent / "connector.mjs"
METHODS = {
    "v2/account.status": "accountInformationV2",
    "v2/account.balance": "futuresAccountBalanceV2",
    "v2/account.position": "positionInformationV2",
}


@pytest.fixture(autouse=True)
def _connector() -> None:
    if shutil.which("node") is None:
        missing("node")
    if not (DRIVER.parent / "node_modules" / "@binance").is_dir():
        missing("Binance's connector for node")


async def outcomes(exchange: SimulatedExchange, account: SimulatedAccount, *calls: list[Any]) -> list[Any]:
    """Let the connector make calls in an account's name, and tell what came of each."""
    configuration = {
        "apiKey": account.api_key,
        "apiSecret": account.secret_key,
        "privateKey": account.private_key_pem,
        "wsURL": exchange.url,
    }
    told: list[Any] = await drive("node", DRIVER, {"configuration": configuration, "calls": list(calls)})
    return told


@pytest.mark.parametrize("name", SHAPES)
async def test_connector_reads_every_shape_of_account(name: str) -> None:
    """The connector hands over every answer about every shape of account, equal to the books."""
    async with standing_exchange() as exchange:
        calls = [[method, {"recvWindow": 5000}] for method in METHODS.values()]
        answers = [outcome["answer"] for outcome in await outcomes(exchange, exchange.accounts[name], *calls)]
        told = {method: answer["data"] for method, answer in zip(METHODS, answers, strict=True)}

        assert answers_of(exchange, name) == told
        assert figures_held(exchange, name) == figures_told(told)
        assert [10, 15, 20] == [answer["rateLimits"][0]["count"] for answer in answers]
        # The connector sends numbers as text, too.
        assert "5000" == exchange.received[0].params["recvWindow"]


@pytest.mark.parametrize("key_type", OWNERS)
async def test_connector_is_refused_for_a_wrong_signature(key_type: KeyType) -> None:
    """A signature by another key of the same kind rejects the connector's promise with code -1022."""
    async with standing_exchange() as exchange:
        account = exchange.accounts[OWNERS[key_type]]
        told = await outcomes(exchange, forger_of(account), ["accountInformationV2"])

    assert [{"error": {"code": -1022, "msg": "Signature for this request is not valid."}}] == told


@pytest.mark.parametrize(("skew_seconds", "complaint"), [(60.0, "outside of the recvWindow"), (-60.0, "1000ms ahead")])
async def test_connector_is_refused_for_its_clock(skew_seconds: float, complaint: str) -> None:
    """A clock that is behind or ahead of the exchange's rejects the connector's promise with code -1021."""
    async with standing_exchange() as exchange:
        with exchange.skew_clock(skew_seconds):
            [told] = await outcomes(exchange, exchange.accounts["main"], ["futuresAccountBalanceV2"])

    assert -1021 == told["error"]["code"]
    assert complaint in told["error"]["msg"]


async def test_connector_is_refused_for_an_unknown_method() -> None:
    """A method that does not exist rejects the connector's promise with code -5000, and the connector goes on."""
    async with standing_exchange() as exchange:
        gone, known = await outcomes(
            exchange,
            exchange.accounts["main"],
            ["sendSignedMessage", "v2/account.gone", {}],
            ["accountInformationV2"],
        )

        assert {"error": {"code": -5000, "msg": "Method v2/account.gone is invalid"}} == gone
        assert answers_of(exchange, "main")["v2/account.status"] == known["answer"]["data"]
