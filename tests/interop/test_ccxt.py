"""ccxt, in its own environment, with the simulated exchange."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.interop import (
    OWNERS,
    SHAPES,
    Case,
    DriverRun,
    rest_answers_of,
    run_driver,
    without_times,
)
from support.tools import missing

from exporter.simulator.market import SYMBOLS, Symbol
from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, INCOME, PREMIUM_INDEX
from exporter.simulator.valuation import Row, statement_of

if TYPE_CHECKING:
    from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange

DRIVER = Path(__file__).parent / "ccxt_driver.py"
PYTHON = DRIVER.parent / ".venv" / "bin" / "python"
V2 = {"method": "v2/account.position"}
POSITIONS = ["fetch_positions_ws", None, V2]
BALANCES = [["fetch_balance_ws", {"method": f"v2/account.{name}"}] for name in ("status", "balance")]
REST_METHODS: dict[str, list[Any]] = {
    PREMIUM_INDEX: ["fapiPublicGetPremiumIndex"],
    f"{PREMIUM_INDEX}?symbol": ["fapiPublicGetPremiumIndex", {"symbol": "币安人生USDT"}],
    FUNDING_INFO: ["fapiPublicGetFundingInfo"],
    ASSET_INDEX: ["fapiPublicGetAssetIndex"],
    INCOME: ["fapiPrivateGetIncome"],
    f"{INCOME}?symbol": ["fapiPrivateGetIncome", {"symbol": "币安人生USDT"}],
    API_RESTRICTIONS: ["sapiGetAccountApiRestrictions"],
}
REST_CALLS = list(REST_METHODS.values())
CASES: dict[str, Case] = {
    **{name: Case(name, [*BALANCES, POSITIONS]) for name in SHAPES},
    **{key_type: Case(owner, [POSITIONS], forged=True) for key_type, owner in OWNERS.items()},
    **{f"REST {key_type}": Case(owner, REST_CALLS) for key_type, owner in OWNERS.items()},
    **{f"REST forged {key_type}": Case(owner, REST_CALLS[-1:], forged=True) for key_type, owner in OWNERS.items()},
    "one symbol": Case("isolated", [["fetch_positions_ws", ["币安人生/USDT:USDT"], V2]]),
    "balance": Case("main", [["fetch_balance_ws"]]),
    "behind": Case("main", [POSITIONS], exchange_ahead_seconds=60.0),
    "ahead": Case("main", [POSITIONS], exchange_ahead_seconds=-60.0),
    "unknown method": Case("main", [["fetch_positions_ws", None, {"method": "v2/account.unknown"}], POSITIONS]),
}


@pytest.fixture(scope="module")
def driven() -> DriverRun:
    """The outcomes of ccxt in every case."""
    if not PYTHON.exists():
        missing("ccxt", "interop")
    markets = [market_of(symbol) for symbol in SYMBOLS.values()]
    return asyncio.run(run_driver(PYTHON, DRIVER, CASES, settings_of, markets=markets))


def settings_of(exchange: SimulatedExchange, account: SimulatedAccount) -> dict[str, Any]:
    """Return ccxt's settings for an account."""
    return {
        "apiKey": account.api_key,
        "secret": account.secret_key or account.private_key_pem,
        "urls": {
            "api": {
                "ws": {"ws-api": {"linear": exchange.url}},
                "fapiPublic": f"{exchange.rest_url}/fapi/v1",
                "fapiPrivate": f"{exchange.rest_url}/fapi/v1",
                "sapi": f"{exchange.rest_url}/sapi/v1",
            }
        },
    }


def market_of(symbol: Symbol) -> dict[str, Any]:
    """Return a symbol as ccxt would after fetching the exchange's symbols."""
    asset = symbol.margin_asset
    return {
        "id": symbol.name,
        "symbol": unified(symbol),
        "base": symbol.base_asset,
        "quote": asset,
        "settle": asset,
        "type": "swap",
        "spot": False,
        "swap": True,
        "contract": True,
        "linear": True,
        "inverse": False,
        "contractSize": 1,
        "precision": {},
    }


def unified(symbol: Symbol) -> str:
    """Return ccxt's name of a symbol."""
    return f"{symbol.base_asset}/{symbol.margin_asset}:{symbol.margin_asset}"


def figures_of(row: Row) -> dict[str, Any]:
    """Return what ccxt should return for a row of the ledger."""
    return {
        "symbol": unified(row.symbol),
        "side": "long" if row.position.amount > 0 else "short",
        "contracts": abs(row.position.amount),
        "entryPrice": row.position.entry_price,
        "markPrice": row.mark_price,
        "notional": abs(row.notional),
        "unrealizedPnl": row.unrealized_profit,
        "marginMode": "isolated" if row.isolated else "cross",
        "hedged": row.position.side != "BOTH",
    }


def decimals(values: dict[str, Any]) -> dict[str, Any]:
    """Convert ccxt's floats back to the decimals they were parsed from."""
    return {name: Decimal(str(value)) if type(value) in {float, int} else value for name, value in values.items()}


@pytest.mark.parametrize("name", SHAPES)
def test_ccxt_reads_every_shape_of_account(name: str, driven: DriverRun) -> None:
    """Every shape of account becomes ccxt's balances and positions, equal to the ledger."""
    status, balance, positions = (outcome["answer"] for outcome in driven.outcomes[name])
    account = driven.exchanges[name].account(name)
    statement = statement_of(account)
    # An asset that never moved has no balance for ccxt, and a row that only has orders is not a position.
    used = {asset: figures for asset, figures in statement.assets.items() if account.ledger.asset_times_ms[asset]}
    held = [figures_of(row) for row in statement.rows if row.position.amount]

    assert {
        asset: {"free": figures.available_balance, "used": figures.initial_margin, "total": figures.margin_balance}
        for asset, figures in used.items()
    } == {asset: decimals(status[asset]) for asset in status["total"]}
    assert {asset: figures.wallet_balance for asset, figures in used.items()} == {
        asset: decimals(balance["total"])[asset] for asset in balance["total"]
    }
    assert held
    assert held == [{name: position[name] for name in held[0]} for position in map(decimals, positions)]


def test_ccxt_asks_for_one_symbol(driven: DriverRun) -> None:
    """Ccxt gets only the one symbol that it requests, also if it is not ASCII; it requests no rate limits."""
    [outcome] = driven.outcomes["one symbol"]

    assert ["币安人生/USDT:USDT"] == [position["symbol"] for position in outcome["answer"]]
    assert {"recvWindow": 10000, "returnRateLimits": False, "symbol": "币安人生USDT"}.items() <= (
        driven.exchanges["one symbol"].received[0].params.items()
    )


def test_ccxt_requests_its_balance_by_default(driven: DriverRun) -> None:
    """Ccxt's default request for balances, version 1 of account.status, is answered, too."""
    [outcome] = driven.outcomes["balance"]
    exchange = driven.exchanges["balance"]
    margin_balance = statement_of(exchange.account("main")).assets["USDT"].margin_balance

    assert "account.status" == exchange.received[0].method
    assert margin_balance == Decimal(str(outcome["answer"]["USDT"]["total"]))


@pytest.mark.parametrize("key_type", OWNERS)
def test_ccxt_is_refused_for_a_wrong_signature(key_type: str, driven: DriverRun) -> None:
    """A signature by another key of the same type raises ccxt's AuthenticationError with code -1022."""
    [refused] = driven.outcomes[key_type]

    assert "AuthenticationError" in refused["error"]
    assert '"code":-1022' in refused["text"]


@pytest.mark.parametrize(("name", "complaint"), [("behind", "outside of the recvWindow"), ("ahead", "1000ms ahead")])
def test_ccxt_is_refused_for_its_clock(name: str, complaint: str, driven: DriverRun) -> None:
    """A clock that is behind or ahead of the exchange's raises ccxt's InvalidNonce with code -1021."""
    [refused] = driven.outcomes[name]

    assert "InvalidNonce" in refused["error"]
    assert '"code":-1021' in refused["text"]
    assert complaint in refused["text"]


def test_ccxt_is_refused_for_an_unknown_method(driven: DriverRun) -> None:
    """A method that does not exist raises ccxt's ExchangeError with code -5000, and ccxt continues."""
    rejected, answered = driven.outcomes["unknown method"]

    assert "ExchangeError" == rejected["error"][0]
    assert '"code":-5000' in rejected["text"]
    assert "answer" in answered


@pytest.mark.parametrize("key_type", OWNERS)
def test_ccxt_reads_rest(key_type: KeyType, driven: DriverRun) -> None:
    """Ccxt returns every answer of REST, with a key of each type."""
    case = f"REST {key_type}"
    answers = [outcome["answer"] for outcome in driven.outcomes[case]]
    results = without_times(dict(zip(REST_METHODS, answers, strict=True)))

    assert rest_answers_of(driven.exchanges[case], OWNERS[key_type]) == results


@pytest.mark.parametrize("key_type", OWNERS)
def test_ccxt_is_refused_over_rest_for_a_wrong_signature(key_type: KeyType, driven: DriverRun) -> None:
    """A signature by another key of the same type raises ccxt's AuthenticationError with code -1022."""
    [refused] = driven.outcomes[f"REST forged {key_type}"]

    assert "AuthenticationError" in refused["error"]
    assert '"code":-1022' in refused["text"]
