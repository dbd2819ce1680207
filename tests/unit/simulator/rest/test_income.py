"""The income history of the simulated exchange: its rows add up to the wallets, and can be read over REST."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Clock

from exporter.simulator import SimulatedAccount, SimulatedExchange, demo_exchange
from exporter.simulator.answers import account_status
from exporter.simulator.rest import INCOME

if TYPE_CHECKING:
    from support.rest_client import RestClient

DAY_MS = 86_400_000


@pytest.fixture
def clock() -> Clock:
    """Return a stopped clock, ten minutes before midnight UTC."""
    return Clock(1_700_005_800.0)


def wallets(account: SimulatedAccount) -> dict[str, Decimal]:
    """Return the wallet balances that are not 0."""
    balances = {row["asset"]: Decimal(row["walletBalance"]) for row in account_status(account)["assets"]}
    return {asset: balance for asset, balance in balances.items() if balance}


def earned(account: SimulatedAccount) -> dict[str, Decimal]:
    """Return the sums of an account's income by asset that are not 0."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in account.income.rows:
        sums[row.asset] += row.amount
    return {asset: total for asset, total in sums.items() if total}


def types(account: SimulatedAccount) -> Counter[str]:
    """Return how many rows of each income type an account has."""
    return Counter(row.income_type for row in account.income.rows)


@pytest.mark.parametrize("fees_in_bnb", [False, True])
def test_wallets_are_the_sums_of_income(clock: Clock, *, fees_in_bnb: bool) -> None:
    """Transfers, trades and funding of cross and isolated positions are all in the history, to the last digit."""
    exchange = SimulatedExchange([SimulatedAccount("main")], clock=clock, seed=4)
    account = exchange.account("main")
    account.fees_in_bnb = fees_in_bnb
    account.deposit("USDT", "50000")
    account.deposit("USDC", "9000.12345678")
    account.deposit("BNB", "5")
    account.open("BTCUSDT", "0.5")
    account.open("币安人生USDT", "50001", isolated_wallet="3000.00000001", leverage=3)
    account.open("ETHUSDC", "-1.234")
    clock.now += 37
    exchange.account("main").open("BTCUSDT", "0.333")
    account.open("币安人生USDT", "777")
    clock.now += 3600
    exchange.account("main").close("BTCUSDT", amount="0.1")
    account.close("币安人生USDT", amount="20001")
    account.deposit("USDT", "-1000")
    clock.now += 36_000
    exchange.account("main").close("币安人生USDT")

    assert wallets(account) == earned(account)
    assert {"TRANSFER", "REALIZED_PNL", "COMMISSION", "FUNDING_FEE"} == types(account).keys()
    assert 8 == types(account)["COMMISSION"]
    assert ({"BNB"} if fees_in_bnb else {"USDT", "USDC"}) == {
        row.asset for row in account.income.rows if row.income_type == "COMMISSION"
    }


@pytest.mark.parametrize("isolated_wallet", [None, "600"])
def test_liquidation_is_in_the_history(clock: Clock, isolated_wallet: str | None) -> None:
    """A liquidation has its loss as a row, and what the insurance fund takes or pays as another."""
    exchange = SimulatedExchange([SimulatedAccount("main")], clock=clock)
    exchange.market.pin("BTCUSDT", "100000")
    account = exchange.account("main")
    account.deposit("USDT", "1000")
    account.open("BTCUSDT", "0.1", leverage=20, isolated_wallet=isolated_wallet)
    exchange.market.pin("BTCUSDT", "80000")
    account = exchange.account("main")

    assert not account.ledger.positions
    assert wallets(account) == earned(account)
    assert {"TRANSFER": 1, "COMMISSION": 1, "REALIZED_PNL": 1, "INSURANCE_CLEAR": 1} == types(account)
    assert Decimal(-2000) == next(row.amount for row in account.income.rows if row.income_type == "REALIZED_PNL")


@pytest.mark.no_cover
@pytest.mark.parametrize("seconds", [[30, 290, 570, 610, 1190, 1790], [3000]])
def test_demo_adds_up_over_its_rounds(clock: Clock, seconds: list[int]) -> None:
    """In the demo the wallets are the sums of income, too, though every round begins with new ledgers."""
    exchange = demo_exchange(2, clock=clock)
    begin = clock.now
    for second in seconds:
        clock.now = begin + second
        for name in exchange.accounts:
            account = exchange.account(name)
            assert wallets(account) == earned(account)

    for account in exchange.accounts.values():
        since_begin = {row.income_type for row in account.income.rows if row.time_ms >= begin * 1000}
        assert {"TRANSFER", "COMMISSION", "REALIZED_PNL", "FUNDING_FEE"} == since_begin
    assert {"BNB"} == {row.asset for row in exchange.accounts["main"].income.rows if row.income_type == "COMMISSION"}


@pytest.mark.no_cover
def test_demo_adds_up_after_a_liquidation(clock: Clock) -> None:
    """For an hour of a fast scenario, with a liquidation and new rounds, the wallets are the sums of income."""
    exchange = demo_exchange(2, clock=clock, speed=60)
    begin = clock.now
    for at in range(0, 3700, 100):
        clock.now = begin + at / 60
        with exchange.market.pin("BTCUSDT", "40000") if at == 2900 else nullcontext():
            for name in exchange.accounts:
                account = exchange.account(name)
                assert wallets(account) == earned(account)

    rows = exchange.accounts["hedge"].income.rows
    covered = [row.time_ms for row in rows if row.income_type == "INSURANCE_CLEAR"]
    assert [2900] == [round((time_ms / 1000 - begin) * 60) for time_ms in covered]
    assert exchange.accounts["hedge"].ledger.positions


def test_demo_skips_rounds_without_requests(clock: Clock) -> None:
    """A round that a request has reached is finished; the income of rounds without any is left out."""
    exchange = demo_exchange(2, clock=clock)
    begin = clock.now
    exchange.account("hedge")
    clock.now = begin + 86_400 + 1
    rows = [row for row in exchange.account("hedge").income.rows if row.time_ms >= begin * 1000]
    settlements = {round((row.time_ms / 1000 - begin) % 86_400) for row in rows if row.income_type == "FUNDING_FEE"}

    assert {200, 400, 600} == settlements


async def test_rows_of_a_trade(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """Profit and commission of a trade share tranId and tradeId; transfers have neither symbol nor tranId."""
    exchange.market.pin("BTCUSDT", "100000")
    account = exchange.account("main")
    account.deposit("USDT", "5000")
    account.open("BTCUSDT", "0.1")
    exchange.market.pin("BTCUSDT", "100100")
    account.close("BTCUSDT")
    transfer, opening, profit, closing = (await client.signed(account, INCOME)).body

    assert {
        "symbol": "",
        "incomeType": "TRANSFER",
        "income": "5000.00000000",
        "asset": "USDT",
        "info": "TRANSFER",
        "time": clock.now_ms,
        "tranId": 0,
        "tradeId": "",
    } == transfer
    assert ("BTCUSDT", "COMMISSION", "-5.00000000") == (opening["symbol"], opening["incomeType"], opening["income"])
    assert ("REALIZED_PNL", "10.00000000") == (profit["incomeType"], profit["income"])
    assert profit["tranId"] == closing["tranId"] != opening["tranId"]
    assert str(profit["tranId"]) == profit["tradeId"] == profit["info"] == closing["tradeId"]
    assert float(profit["tranId"]) == float(opening["tranId"])


async def read(client: RestClient, account: SimulatedAccount, **params: Any) -> list[str]:
    """Return the amounts of the rows that are answered."""
    reply = await client.signed(account, INCOME, **params)
    assert reply.status == 200, reply
    return [row["income"].partition(".")[0] for row in reply.body]


async def test_filters(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """Rows are selected by times, both inclusive, type and symbol; the earliest come first, up to the limit."""
    account, now = exchange.account("main"), clock.now_ms
    for amount, seconds, symbol in ((3, 3, "BTCUSDT"), (1, 1, ""), (2, 2, "ETHUSDT"), (4, 3, "BTCUSDT")):
        type_ = "FUNDING_FEE" if symbol else "TRANSFER"
        account.record_income(type_, "USDT", str(amount), symbol=symbol, time_ms=now - 10_000 + seconds * 1000)

    assert ["1", "2", "3", "4"] == await read(client, account)
    assert ["1", "2"] == await read(client, account, limit=2)
    assert ["2", "3", "4"] == await read(client, account, startTime=now - 8000)
    assert ["1", "2"] == await read(client, account, endTime=now - 8000)
    assert ["2"] == await read(client, account, startTime=now - 8000, endTime=now - 8000)
    assert ["3", "4"] == await read(client, account, symbol="BTCUSDT")
    assert ["1"] == await read(client, account, incomeType="TRANSFER")
    assert [] == await read(client, account, incomeType="FUNDING_FEE", symbol="SOLUSDT")
    assert "270" == (await client.signed(account, INCOME)).headers["x-mbx-used-weight-1m"]


async def test_history(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """Without times the last 7 days are answered, by default 100 rows, and nothing is older than 90 days."""
    account, now = exchange.account("main"), clock.now_ms
    for days in range(1, 121):
        account.record_income("FUNDING_FEE", "USDT", str(days), time_ms=now - days * DAY_MS)
    for _ in range(150):
        account.record_income("TRANSFER", "USDT", "500", time_ms=now, transaction=0)

    assert [str(day) for day in range(7, 0, -1)] == (await read(client, account))[:7]
    assert 100 == len(await read(client, account))
    assert 157 == len(await read(client, account, limit=1000))
    assert [str(day) for day in range(90, 79, -1)] == await read(
        client, account, startTime=0, endTime=now - 80 * DAY_MS
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": 1001}, -1130),
        ({"limit": 0}, -1130),
        ({"limit": "many"}, -1100),
        ({"startTime": "-1"}, -1100),
        ({"startTime": 2, "endTime": 1}, -1023),
        ({"page": 2}, -1104),
    ],
)
async def test_wrong_parameters_are_rejected(
    exchange: SimulatedExchange, client: RestClient, params: dict[str, Any], code: int
) -> None:
    """A wrong limit or time, and a page number, are rejected."""
    reply = await client.signed(exchange.accounts["main"], INCOME, **params)

    assert (400, code) == (reply.status, reply.body["code"])


async def test_income_needs_a_key(client: RestClient) -> None:
    """Without a key there is no income."""
    assert (401, -2014) == ((reply := await client.get(INCOME)).status, reply.body["code"])
