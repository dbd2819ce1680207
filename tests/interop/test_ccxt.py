"""ccxt, in an environment of its own, against the simulated exchange."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.interop import OWNERS, SHAPES, drive, forger_of, missing, standing_exchange

from exporter.simulator.figures import Row, statement_of
from exporter.simulator.market import SYMBOLS, Symbol

if TYPE_CHECKING:
    from exporter.simulator import SimulatedAccount, SimulatedExchange

DRIVER = Path(__file__).parent / "ccxt_driver.py"
PYTHON = DRIVER.parent / ".venv" / "bin" / "python"
V2 = {"method": "v2/account.position"}
POSITIONS = ["fetch_positions_ws", None, V2]


@pytest.fixture(autouse=True)
def _ccxt() -> None:
    if not PYTHON.exists():
        missing("ccxt")


async def outcomes(exchange: SimulatedExchange, account: SimulatedAccount, *calls: list[Any]) -> list[Any]:
    """Let ccxt make calls in an account's name, and tell what came of each."""
    [told] = await outcomes_for([(exchange, account)], *calls)
    return told


async def outcomes_for(
    clients_of: list[tuple[SimulatedExchange, SimulatedAccount]], *calls: list[Any]
) -> list[list[Any]]:
    """Let one ccxt for each account make the same calls; together they load ccxt once, which takes it a second."""
    clients = [
        {
            "settings": {
                "apiKey": account.api_key,
                "secret": account.secret_key or account.private_key_pem,
                "urls": {"api": {"ws": {"ws-api": {"linear": exchange.url}}}},
            },
            "calls": list(calls),
        }
        for exchange, account in clients_of
    ]
    markets = [market_of(symbol) for symbol in SYMBOLS.values()]
    told: list[list[Any]] = await drive(PYTHON, DRIVER, {"clients": clients, "markets": markets})
    return told


def market_of(symbol: Symbol) -> dict[str, Any]:
    """Describe a symbol as ccxt would after it had asked for the exchange's symbols."""
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
    """Name a symbol as ccxt does."""
    return f"{symbol.base_asset}/{symbol.margin_asset}:{symbol.margin_asset}"


def figures_of(row: Row) -> dict[str, Any]:
    """Tell what ccxt is to make of a row, from the books."""
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
    """Turn ccxt's numbers, which are floats, back into what they were written as."""
    return {name: Decimal(str(value)) if type(value) in {float, int} else value for name, value in values.items()}


async def test_ccxt_reads_every_shape_of_account() -> None:
    """Every shape of account becomes ccxt's balances and positions, equal to the books."""
    async with standing_exchange() as exchange:
        told = await outcomes_for(
            [(exchange, exchange.accounts[name]) for name in SHAPES],
            ["fetch_balance_ws", {"method": "v2/account.status"}],
            ["fetch_balance_ws", {"method": "v2/account.balance"}],
            POSITIONS,
        )

        for name, answers in zip(SHAPES, told, strict=True):
            assert_equal_to_the_books(exchange, name, *(outcome["answer"] for outcome in answers))


def assert_equal_to_the_books(
    exchange: SimulatedExchange, name: str, status: Any, balance: Any, positions: Any
) -> None:
    """Compare what ccxt made of an account with its books."""
    account = exchange.account(name)
    statement = statement_of(account)
    # An asset that never moved has no balance for ccxt, and a row that only has orders is no position.
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
    assert held == [{each: position[each] for each in held[0]} for position in map(decimals, positions)]


async def test_ccxt_asks_for_one_symbol() -> None:
    """One symbol that ccxt asks for is all it gets, also where the name is no ASCII; it wants no rate limits."""
    async with standing_exchange() as exchange:
        [told] = await outcomes(
            exchange, exchange.accounts["isolated"], ["fetch_positions_ws", ["币安人生/USDT:USDT"], V2]
        )

        assert ["币安人生/USDT:USDT"] == [position["symbol"] for position in told["answer"]]
        assert {"recvWindow": 10000, "returnRateLimits": False, "symbol": "币安人生USDT"}.items() <= (
            exchange.received[0].params.items()
        )


async def test_ccxt_asks_for_its_balance_as_it_likes() -> None:
    """What ccxt asks of its own accord for balances, the first account.status, is granted too."""
    async with standing_exchange() as exchange:
        [told] = await outcomes(exchange, exchange.accounts["main"], ["fetch_balance_ws"])
        margin_balance = statement_of(exchange.account("main")).assets["USDT"].margin_balance

        assert "account.status" == exchange.received[0].method
        assert margin_balance == Decimal(str(told["answer"]["USDT"]["total"]))


async def test_ccxt_is_refused_for_a_wrong_signature() -> None:
    """A signature by another key of the same kind raises ccxt's AuthenticationError with code -1022."""
    async with standing_exchange() as exchange:
        forgers = [(exchange, forger_of(exchange.accounts[name])) for name in OWNERS.values()]
        told = await outcomes_for(forgers, POSITIONS)

    assert 3 == len(told)
    for [refused] in told:
        assert "AuthenticationError" in refused["error"]
        assert '"code":-1022' in refused["text"]


async def test_ccxt_is_refused_for_its_clock() -> None:
    """A clock that is behind or ahead of the exchange's raises ccxt's InvalidNonce with code -1021."""
    async with standing_exchange() as ahead, standing_exchange() as behind:
        with ahead.skew_clock(60.0), behind.skew_clock(-60.0):
            told = await outcomes_for([(each, each.accounts["main"]) for each in (ahead, behind)], POSITIONS)

    for [refused], complaint in zip(told, ("outside of the recvWindow", "1000ms ahead"), strict=True):
        assert "InvalidNonce" in refused["error"]
        assert '"code":-1021' in refused["text"]
        assert complaint in refused["text"]


async def test_ccxt_is_refused_for_an_unknown_method() -> None:
    """A method that does not exist raises ccxt's ExchangeError with code -5000, and ccxt goes on."""
    async with standing_exchange() as exchange:
        gone, known = await outcomes(
            exchange,
            exchange.accounts["main"],
            ["fetch_positions_ws", None, {"method": "v2/account.gone"}],
            POSITIONS,
        )

    assert "ExchangeError" == gone["error"][0]
    assert '"code":-5000' in gone["text"]
    assert "answer" in known
