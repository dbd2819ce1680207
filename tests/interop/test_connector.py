"""Binance's own TypeScript connector, run by node, against the simulated exchange.

The signature covers a parameter's raw UTF-8, but the connector percent-encodes before it signs: for a non-ASCII symbol
it is rightly refused with -1022, as the live exchange refuses it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.interop import (
    OWNERS,
    SHAPES,
    Case,
    DriverRun,
    answers_of,
    ledger_figures,
    reported_figures,
    rest_answers_of,
    run_driver,
    without_times,
)
from support.tools import missing, needs

from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, INCOME, PREMIUM_INDEX

if TYPE_CHECKING:
    from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange

DRIVER = Path(__file__).parent / "connector.mjs"
METHODS = {
    "v2/account.status": "accountInformationV2",
    "v2/account.balance": "futuresAccountBalanceV2",
    "v2/account.position": "positionInformationV2",
}


CALLS = [[method, {"recvWindow": 5000}] for method in METHODS.values()]
REST_METHODS: dict[str, list[Any]] = {
    PREMIUM_INDEX: ["markPrice"],
    f"{PREMIUM_INDEX}?symbol": ["markPrice", {"symbol": "币安人生USDT"}],
    FUNDING_INFO: ["getFundingRateInfo"],
    ASSET_INDEX: ["assetIndex"],
    INCOME: ["getIncomeHistory"],
    f"{INCOME}?symbol": ["getIncomeHistory", {"symbol": "币安人生USDT"}],
    API_RESTRICTIONS: ["sendSignedRequest", API_RESTRICTIONS, "GET"],
}
REST_CALLS = list(REST_METHODS.values())
CASES: dict[str, Case] = {
    **{name: Case(name, CALLS) for name in SHAPES},
    **{key_type: Case(owner, [["accountInformationV2"]], forged=True) for key_type, owner in OWNERS.items()},
    "behind": Case("main", [["futuresAccountBalanceV2"]], exchange_ahead_seconds=60.0),
    "ahead": Case("main", [["futuresAccountBalanceV2"]], exchange_ahead_seconds=-60.0),
    "non-ASCII symbol": Case("isolated", [["positionInformationV2", {"symbol": "币安人生USDT"}]]),
    **{f"REST {key_type}": Case(owner, REST_CALLS) for key_type, owner in OWNERS.items()},
    **{f"REST forged {key_type}": Case(owner, REST_CALLS[-1:], forged=True) for key_type, owner in OWNERS.items()},
    "unknown method": Case("main", [["sendSignedMessage", "v2/account.unknown", {}], ["accountInformationV2"]]),
}


@pytest.fixture(scope="module")
def driven() -> DriverRun:
    """The outcomes of the connector in every case."""
    needs("node")
    if not (DRIVER.parent / "node_modules" / "@binance").is_dir():
        missing("Binance's connector for node", "interop")
    return asyncio.run(run_driver("node", DRIVER, CASES, settings_of))


def settings_of(exchange: SimulatedExchange, account: SimulatedAccount) -> dict[str, Any]:
    """Return the connector's configuration for an account."""
    return {
        "apiKey": account.api_key,
        "apiSecret": account.secret_key,
        "privateKey": account.private_key_pem,
        "wsURL": exchange.url,
        "rest": {
            "apiKey": account.api_key,
            "apiSecret": account.secret_key,
            "privateKey": account.private_key_pem,
            "basePath": exchange.rest_url,
            "retries": 0,
        },
    }


@pytest.mark.parametrize("name", SHAPES)
def test_connector_reads_every_shape_of_account(name: str, driven: DriverRun) -> None:
    """The connector returns every answer for every shape of account, equal to the ledger."""
    exchange = driven.exchanges[name]
    answers = [outcome["answer"] for outcome in driven.outcomes[name]]
    results = {method: answer["data"] for method, answer in zip(METHODS, answers, strict=True)}

    assert answers_of(exchange, name) == results
    assert ledger_figures(exchange, name) == reported_figures(results)
    assert [10, 15, 20] == [answer["rateLimits"][0]["count"] for answer in answers]
    # The connector sends numbers as text, too.
    assert "5000" == exchange.received[0].params["recvWindow"]


@pytest.mark.parametrize("key_type", OWNERS)
def test_connector_is_refused_for_a_wrong_signature(key_type: str, driven: DriverRun) -> None:
    """A signature by another key of the same type rejects the connector's promise with code -1022."""
    error = {"code": -1022, "msg": "Signature for this request is not valid."}

    assert [{"error": error}] == driven.outcomes[key_type]


@pytest.mark.parametrize(("name", "complaint"), [("behind", "outside of the recvWindow"), ("ahead", "1000ms ahead")])
def test_connector_is_refused_for_its_clock(name: str, complaint: str, driven: DriverRun) -> None:
    """A clock that is behind or ahead of the exchange's rejects the connector's promise with code -1021."""
    [refused] = driven.outcomes[name]

    assert -1021 == refused["error"]["code"]
    assert complaint in refused["error"]["msg"]


def test_connector_percent_encodes_what_it_signs(driven: DriverRun) -> None:
    """A request for a non-ASCII symbol is refused with -1022, since the connector signs its percent-encoded form."""
    [refused] = driven.outcomes["non-ASCII symbol"]

    assert -1022 == refused["error"]["code"]


def test_connector_is_refused_for_an_unknown_method(driven: DriverRun) -> None:
    """A method that does not exist rejects the connector's promise with code -5000, and the connector continues."""
    rejected, answered = driven.outcomes["unknown method"]

    assert {"error": {"code": -5000, "msg": "Method v2/account.unknown is invalid"}} == rejected
    assert answers_of(driven.exchanges["unknown method"], "main")["v2/account.status"] == answered["answer"]["data"]


@pytest.mark.parametrize("key_type", OWNERS)
def test_connector_reads_rest(key_type: KeyType, driven: DriverRun) -> None:
    """The connector returns every answer of REST, with a key of each type; large ids as BigInt, here text."""
    case = f"REST {key_type}"
    answers = [outcome["answer"] for outcome in driven.outcomes[case]]
    results = without_times(dict(zip(REST_METHODS, answers, strict=True)))
    expected = rest_answers_of(driven.exchanges[case], OWNERS[key_type])
    for row in (*expected[INCOME], *expected[f"{INCOME}?symbol"]):
        row["tranId"] = str(row["tranId"]) if row["tranId"] > 2**53 else row["tranId"]

    assert expected == results


@pytest.mark.parametrize("key_type", OWNERS)
def test_connector_is_refused_over_rest_for_a_wrong_signature(key_type: KeyType, driven: DriverRun) -> None:
    """A signature by another key of the same type rejects the connector's promise with code -1022."""
    [refused] = driven.outcomes[f"REST forged {key_type}"]

    assert -1022 == refused["error"]["code"]
