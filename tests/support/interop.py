"""The exchange for the tests of other clients, and the figures they should receive; independent of the client."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple
from unittest.mock import patch

from exporter.simulator import KeyType, Scenario, SimulatedAccount, SimulatedExchange, demo_accounts, new_key
from exporter.simulator.answers import account_balance, account_position, account_status
from exporter.simulator.income import IncomeHistory
from exporter.simulator.market import SYMBOLS
from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, INCOME, PREMIUM_INDEX
from exporter.simulator.rest_answers import api_restrictions, asset_index, funding_info, income, premium_index
from exporter.simulator.valuation import statement_of
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from exporter.simulator.ledger import Ledger

SHAPES: Final = ("main", "multi", "hedge", "isolated")
OWNERS: Final[dict[KeyType, str]] = {"HMAC": "main", "RSA": "hedge", "Ed25519": "multi"}
"""An account for each key type."""

# Practically stopped, and without funding for days, so that ledgers do not change between an answer and its comparison.
_STANDSTILL: Final = 1e-9
_FUNDING_HOUR_SECONDS: Final = 86_400 * _STANDSTILL
_FALLEN: Final = Decimal("0.99")


@cache
def _accounts() -> list[SimulatedAccount]:
    return demo_accounts(seed=1)


class _OpenedOnce(Scenario):
    """Funds the demo's accounts once per process, and copies their ledgers after that."""

    _ledgers: ClassVar[dict[str, Ledger]] = {}

    @staticmethod
    def begin(accounts: Mapping[str, SimulatedAccount]) -> None:
        """Set the ledgers of the demo's accounts."""
        ledgers = _OpenedOnce._ledgers
        if not ledgers:
            Scenario.begin(accounts)
            ledgers |= {name: copy.deepcopy(account.ledger) for name, account in accounts.items()}
        for name, account in accounts.items():
            account.ledger = copy.deepcopy(ledgers[name])


@asynccontextmanager
async def standing_exchange(key_type: KeyType | None = None) -> AsyncIterator[SimulatedExchange]:
    """Run the demo's exchange with unrealized profits and losses, and make other hosts unreachable.

    Every account has three rows of income.

    With a key type all four accounts have such a key.
    """
    accounts = [copy.copy(account) for account in _accounts()]
    for account in accounts:
        account.income = IncomeHistory()
    if key_type is not None:
        accounts = [
            SimulatedAccount(account.name, key_type, multi_assets=account.multi_assets, hedge=account.hedge, seed=1)
            for account in accounts
        ]
    exchange = SimulatedExchange(
        accounts, seed=1, speed=_STANDSTILL, scenario=_OpenedOnce(), funding_hour_seconds=_FUNDING_HOUR_SECONDS
    )
    for symbol in SYMBOLS.values():
        exchange.market.pin(symbol.name, exchange.market.mark_price(symbol, 0) * _FALLEN)
    with patch("socket.getaddrinfo", _loopback_alone):
        async with exchange:
            for account in exchange.accounts.values():
                account.record_income("TRANSFER", "USDT", "12.5", transaction=0)
                account.record_income("FUNDING_FEE", "USDT", "-0.25", symbol="币安人生USDT")
                account.record_income("COMMISSION", "BNB", "-0.00012345", symbol="BTCUSDT", trade="77")
            yield exchange


def forger_of(account: SimulatedAccount) -> SimulatedAccount:
    """Return an account with another's API key that signs with its own secret or private key."""
    forger = SimulatedAccount("forger", account.key_type)
    key = new_key(account.key_type)
    forger.api_key, forger.secret_key, forger.private_key_pem = account.api_key, key.secret_key, key.private_key_pem
    return forger


def answers_of(exchange: SimulatedExchange, name: str) -> dict[str, Any]:
    """Return the exchange's results for an account, by method."""
    account = exchange.account(name)
    return {
        "v2/account.status": account_status(account),
        "v2/account.balance": account_balance(account),
        "v2/account.position": account_position(account, None),
    }


def rest_answers_of(exchange: SimulatedExchange, name: str) -> dict[str, Any]:
    """Return the exchange's answers of REST for an account, by path, without their times."""
    account, now_ms = exchange.account(name), int(exchange.server_time() * 1000)
    answers: dict[str, Any] = without_times(
        {
            PREMIUM_INDEX: premium_index(exchange._state, now_ms, None),
            f"{PREMIUM_INDEX}?symbol": premium_index(exchange._state, now_ms, "币安人生USDT"),
            FUNDING_INFO: funding_info(),
            ASSET_INDEX: asset_index(exchange._state, now_ms, None),
            INCOME: income(account, {}, now_ms, 0),
            f"{INCOME}?symbol": income(account, {"symbol": "币安人生USDT"}, now_ms, 0),
            API_RESTRICTIONS: api_restrictions(account),
        }
    )
    return answers


def without_times(answers: Any) -> Any:
    """Return answers without the time at which they were made."""
    if isinstance(answers, dict):
        return {name: without_times(value) for name, value in answers.items() if name != "time"}
    return [without_times(answer) for answer in answers] if isinstance(answers, list) else answers


def reported_figures(answers: dict[str, Any]) -> dict[tuple[str, ...], Decimal]:
    """Return the important figures of three answers."""
    status = answers["v2/account.status"]
    figures: dict[tuple[str, ...], Decimal] = {
        ("total", name): Decimal(status[name]) for name in ("totalWalletBalance", "totalMaintMargin")
    }
    for asset in status["assets"]:
        for name in ("walletBalance", "marginBalance", "initialMargin", "maintMargin", "availableBalance"):
            figures[asset["asset"], name] = Decimal(asset[name])
    for asset in answers["v2/account.balance"]:
        figures[asset["asset"], "balance"] = Decimal(asset["balance"])
    for source, profit in (("v2/account.position", "unRealizedProfit"), ("v2/account.status", "unrealizedProfit")):
        for row in status["positions"] if source == "v2/account.status" else answers[source]:
            key = (source, row["symbol"], row["positionSide"])
            for name in ("positionAmt", "notional", "initialMargin", "maintMargin", "isolatedWallet"):
                figures[*key, name] = Decimal(row[name])
            figures[*key, "profit"] = Decimal(row[profit])
            if "markPrice" in row:
                figures[*key, "markPrice"] = Decimal(row["markPrice"])
                figures[*key, "entryPrice"] = Decimal(row["entryPrice"])
    return figures


def ledger_figures(exchange: SimulatedExchange, name: str) -> dict[tuple[str, ...], Decimal]:
    """Return the same figures from an account's ledger."""
    statement = statement_of(exchange.account(name))
    held: dict[tuple[str, ...], Decimal] = {
        ("total", "totalWalletBalance"): statement.totals.wallet_balance,
        ("total", "totalMaintMargin"): statement.totals.maintenance_margin,
    }
    for asset, figures in statement.assets.items():
        held[asset, "walletBalance"] = held[asset, "balance"] = figures.wallet_balance
        held[asset, "marginBalance"] = figures.margin_balance
        held[asset, "initialMargin"] = figures.initial_margin
        held[asset, "maintMargin"] = figures.maintenance_margin
        held[asset, "availableBalance"] = figures.available_balance
    for row in statement.rows:
        key: tuple[str, ...]
        for source in ("v2/account.position", "v2/account.status"):
            key = (source, row.symbol.name, row.position.side)
            held[*key, "positionAmt"] = row.position.amount
            held[*key, "notional"] = row.notional
            held[*key, "initialMargin"] = row.initial_margin
            held[*key, "maintMargin"] = row.maintenance_margin
            held[*key, "isolatedWallet"] = row.isolated_wallet
            held[*key, "profit"] = row.unrealized_profit
        key = ("v2/account.position", row.symbol.name, row.position.side)
        held[*key, "markPrice"] = row.mark_price
        held[*key, "entryPrice"] = row.position.entry_price
    return {figure: round(amount, 8) for figure, amount in held.items()}


class DriverRun(NamedTuple):
    """The outcomes of a client in another process, and its exchanges, both by case."""

    outcomes: dict[str, list[Any]]
    exchanges: dict[str, SimulatedExchange]


@dataclass(frozen=True, slots=True)
class Case:
    """The calls of one client, as an account of the demo.

    Its key may be `forged`; the clock of its exchange is `exchange_ahead_seconds` ahead.
    """

    account: str
    calls: list[list[Any]]
    forged: bool = False
    exchange_ahead_seconds: float = 0.0


async def run_driver(
    program: str | Path,
    script: Path,
    cases: Mapping[str, Case],
    settings_of: Callable[[SimulatedExchange, SimulatedAccount], dict[str, Any]],
    **more: Any,
) -> DriverRun:
    """Run a client's driver once for all cases, since loading it takes a second; each case has its own exchange."""
    exchanges: dict[str, SimulatedExchange] = {}
    clients = []
    async with AsyncExitStack() as stack:
        for name, case in cases.items():
            exchange = exchanges[name] = await stack.enter_async_context(standing_exchange())
            stack.enter_context(exchange.skew_clock(case.exchange_ahead_seconds))
            account = exchange.accounts[case.account]
            settings = settings_of(exchange, forger_of(account) if case.forged else account)
            clients.append({"settings": settings, "calls": case.calls})
        outcomes = await _drive(program, script, {"clients": clients, **more})
    return DriverRun(dict(zip(cases, outcomes, strict=True)), exchanges)


async def _drive(program: str | Path, script: Path, request: dict[str, Any]) -> Any:
    """Run a driver with the request on its standard input, and return what it writes to standard output."""
    process = await asyncio.create_subprocess_exec(
        program,
        script.name,
        cwd=script.parent,
        env=os.environ | {"LOG_LEVEL": "error"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            output, errors = await process.communicate(json.dumps(request).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert 0 == process.returncode, errors.decode()
    return json.loads(output)


def _loopback_alone(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
    if host not in {"127.0.0.1", "localhost"}:
        raise AssertionError(f"a client looked up {host!r}")
    return _getaddrinfo(host, *args, **kwargs)


_getaddrinfo = socket.getaddrinfo
