"""Funding of the simulated exchange: settlements on the hour move wallets, exactly and once."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from support.clocks import Clock

from exporter.simulator import SimulatedAccount, SimulatedExchange, demo_exchange
from exporter.simulator.answers import account_status
from exporter.simulator.market import ROUND_SECONDS, SYMBOLS, Market

if TYPE_CHECKING:
    from exporter.simulator import SimulatedAccount as Account

PRICES = {"BTCUSDT": "100000", "XRPUSDT": "2.5", "币安人生USDT": "0.2", "BTCUSDT_270326": "105000"}
RATES = {"BTCUSDT": "0.0001", "XRPUSDT": "0.0002", "币安人生USDT": "-0.0003"}


@pytest.fixture
def clock() -> Clock:
    """Return a stopped clock, ten minutes before midnight UTC."""
    return Clock(1_700_005_800.0)


def exchange_of(clock: Clock, *accounts: Account) -> SimulatedExchange:
    """Return an exchange, not started, whose accounts have 100,000 USDT, with pinned prices and rates."""
    exchange = SimulatedExchange(accounts, clock=clock)
    for symbol, price in PRICES.items():
        exchange.market.pin(symbol, price)
    for symbol, rate in RATES.items():
        exchange.market.pin_funding_rate(symbol, rate)
    for account in accounts:
        account.deposit("USDT", "100000")
    return exchange


def wallet(exchange: SimulatedExchange, name: str = "main") -> Decimal:
    """Return an account's USDT wallet, now, with its isolated wallets."""
    return Decimal(account_status(exchange.account(name))["totalWalletBalance"])


@pytest.mark.parametrize(
    ("symbol", "amount", "paid"),
    [
        ("BTCUSDT", "2", "20"),
        ("BTCUSDT", "-2", "-20"),
        ("币安人生USDT", "1000", "-0.06"),
        ("BTCUSDT_270326", "2", "0"),
    ],
)
def test_longs_pay_where_the_rate_is_positive(clock: Clock, symbol: str, amount: str, paid: str) -> None:
    """A settlement charges amount x price x rate: a short receives what a long pays, a dated contract nothing."""
    exchange = exchange_of(clock, SimulatedAccount("main"))
    exchange.account("main").open(symbol, amount)
    before = wallet(exchange)
    clock.now += 599
    unchanged = wallet(exchange)
    clock.now += 2

    assert before == unchanged
    assert Decimal(paid) == before - wallet(exchange)
    assert before - Decimal(paid) == wallet(exchange)


def test_isolated_position_pays_from_its_own_wallet(clock: Clock) -> None:
    """The funding of an isolated position changes its isolated wallet only."""
    exchange = exchange_of(clock, SimulatedAccount("main"))
    exchange.account("main").open("BTCUSDT", "0.5", isolated_wallet="5000")
    cross = exchange.account("main").ledger.cross_wallets["USDT"]
    clock.now += 601
    ledger = exchange.account("main").ledger

    assert Decimal(4995) == ledger.positions["BTCUSDT", "BOTH"].isolated_wallet
    assert cross == ledger.cross_wallets["USDT"]


def test_both_sides_of_a_hedge_settle(clock: Clock) -> None:
    """In hedge mode each side is charged, so that equal sides cancel out."""
    exchange = exchange_of(clock, SimulatedAccount("main", hedge=True))
    exchange.account("main").open("BTCUSDT", "1", "LONG")
    exchange.account("main").open("BTCUSDT", "-1", "SHORT")
    before = wallet(exchange)
    clock.now += 601
    even = wallet(exchange)
    exchange.account("main").close("BTCUSDT", "SHORT")
    closed = wallet(exchange)
    clock.now += 8 * 3600

    assert before == even
    assert Decimal(10) == closed - wallet(exchange)


def test_missed_settlements_are_made_up_for(clock: Clock) -> None:
    """However long no request came, each interval is settled at its own hours."""
    exchange = exchange_of(clock, SimulatedAccount("main"))
    exchange.account("main").open("BTCUSDT", "1")
    exchange.account("main").open("XRPUSDT", "1000")
    exchange.account("main").open("币安人生USDT", "10000")
    before = wallet(exchange)
    clock.now += 601 + 16 * 3600

    paid = 3 * Decimal(10) + 5 * Decimal("0.5") - 17 * Decimal("0.6")
    assert paid == before - wallet(exchange)


def test_funding_is_settled_at_the_rate_and_price_of_its_time(clock: Clock) -> None:
    """A settlement uses the market of its own moment, not of the request that comes later."""
    exchange = SimulatedExchange([SimulatedAccount("main")], clock=clock, seed=3)
    account = exchange.account("main")
    account.deposit("USDT", "100000")
    account.open("ETHUSDT", "3")
    before = wallet(exchange)
    clock.now += 700
    symbol = SYMBOLS["ETHUSDT"]
    market = Market(3)

    paid = 3 * market.mark_price(symbol, 600.0) * market.funding_rate(symbol, 600.0)
    assert paid
    assert round(paid, 8) == before - wallet(exchange)


def test_demo_settles_within_a_round(clock: Clock) -> None:
    """In the demo eight hours of funding last 200 seconds, at any speed, and wallets change by themselves."""
    exchange = demo_exchange(7, clock=clock, speed=2)
    begin = clock.now
    hedge = []
    for second in (1, 99, 101, 199, 201):
        clock.now = begin + second
        account = exchange.account("hedge")
        hedge.append((account.ledger.positions["BTCUSDT", "SHORT"].amount, account.ledger.cross_wallets["USDT"]))

    assert ROUND_SECONDS % 200 == 0
    assert hedge[0][1] == hedge[1][1] != hedge[2][1]
    assert hedge[3][1] != hedge[4][1]


def test_rates_change_their_sign_and_depend_on_the_seed() -> None:
    """Rates are a function of seed, symbol and time, and small; those of shorter intervals are smaller."""
    symbol = SYMBOLS["BTCUSDT"]
    rates = [Market(3).funding_rate(symbol, at) for at in range(ROUND_SECONDS)]

    assert rates == [Market(3).funding_rate(symbol, at) for at in range(ROUND_SECONDS)]
    assert rates != [Market(4).funding_rate(symbol, at) for at in range(ROUND_SECONDS)]
    assert min(rates) < 0 < max(rates) <= Decimal("0.0001")
    assert max(abs(Market(3).funding_rate(SYMBOLS["币安人生USDT"], at)) for at in range(ROUND_SECONDS)) < max(rates) / 7
