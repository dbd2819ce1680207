"""The simulated exchange's ledgers: all sums are exact to the last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from support.simulator_client import funded_account, money

from exporter.simulator import SimulatedAccount
from exporter.simulator.answers import (
    account_balance,
    account_position,
    account_position_v1,
    account_status,
    account_status_v1,
)
from exporter.simulator.brackets import maintenance_margin
from exporter.simulator.market import SYMBOLS

TOTALS = {
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalWalletBalance": "walletBalance",
    "totalUnrealizedProfit": "unrealizedProfit",
    "totalMarginBalance": "marginBalance",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalCrossWalletBalance": "crossWalletBalance",
    "totalCrossUnPnl": "crossUnPnl",
    "availableBalance": "availableBalance",
    "maxWithdrawAmount": "maxWithdrawAmount",
}


def one_way() -> SimulatedAccount:
    """Return an account with cross, isolated and order-only rows in two margin assets, some time after trading."""
    account = funded_account()
    account.open("BTCUSDT", "0.5", leverage=20)
    account.open("SOLUSDT", "-120.5", leverage=7)
    account.open("币安人生USDT", "50001", isolated_wallet="3000.00000001", leverage=3)
    account.open("ETHUSDC", "1.234", leverage=50)
    account.place_order("BTCUSDT", "0.25", "99000.1")
    account.place_order("BTCUSDT", "-3", "120000")
    account.place_order("XRPUSDT", "1000", "2.1")
    account.move_to(77.0, 1_700_000_077_000)
    account.open("BTCUSDT", "0.333")
    account.open("币安人生USDT", "777")
    account.close("SOLUSDT", amount="20.3")
    account.move_to(131.0, 1_700_000_131_000)
    return account


def multi_assets() -> SimulatedAccount:
    """Return a multi-assets account with every kind of collateral."""
    account = funded_account(multi_assets=True)
    account.deposit("BTC", "0.25")
    account.deposit("BFUSD", "100")
    account.open("BTCUSDT", "3", leverage=33)
    account.open("ETHUSDC", "-20")
    account.place_order("DOGEUSDT", "-5000", "0.2")
    account.move_to(200.0, 1_700_000_200_000)
    return account


def hedged() -> SimulatedAccount:
    """Return a hedge-mode account with both sides of one symbol."""
    account = funded_account(hedge=True)
    account.open("BTCUSDT", "1.5", "LONG")
    account.open("BTCUSDT", "-0.5", "SHORT")
    account.place_order("BTCUSDT", "0.5", "99000", "LONG")
    account.place_order("BTCUSDT", "-0.5", "99000", "LONG")
    account.place_order("ETHUSDT", "-2", "4000", "SHORT")
    account.move_to(60.0, 1_700_000_060_000)
    return account


def numbers(row: dict[str, Any]) -> dict[str, Decimal]:
    """Return the decimal strings of a row as numbers."""
    return {
        name: Decimal(value)
        for name, value in row.items()
        if isinstance(value, str) and value.lstrip("-").replace(".", "").isdigit()
    }


@pytest.mark.parametrize("make", [one_way, multi_assets, hedged])
def test_rows_and_assets_add_up(make: Any) -> None:
    """Every figure of a row follows from amount and price, and every asset is the sum of its rows."""
    account = make()
    status = account_status(account)
    risks = account_position(account, None)
    identities = [(row["symbol"], row["positionSide"]) for row in status["positions"]]

    assert identities == [(row["symbol"], row["positionSide"]) for row in risks]
    for row, risk in zip(status["positions"], risks, strict=True):
        r, k = numbers(row), numbers(risk)
        assert r["notional"] == r["positionAmt"] * k["markPrice"] == k["notional"]
        assert r["unrealizedProfit"] == k["unRealizedProfit"]
        assert r["unrealizedProfit"] == r["positionAmt"] * (k["markPrice"] - k["entryPrice"])
        assert r["initialMargin"] == k["initialMargin"] == k["positionInitialMargin"] + k["openOrderInitialMargin"]
        assert r["isolatedMargin"] == (r["isolatedWallet"] and r["isolatedWallet"] + r["unrealizedProfit"])
        assert r["maintMargin"] == maintenance_margin(SYMBOLS[row["symbol"]].bracket, r["notional"])
    for asset in status["assets"]:
        a = numbers(asset)
        rows = [numbers(risk) for risk in risks if risk["marginAsset"] == asset["asset"]]
        cross = [row for row in rows if not row["isolatedWallet"]]
        assert a["marginBalance"] == a["walletBalance"] + a["unrealizedProfit"]
        assert a["walletBalance"] == a["crossWalletBalance"] + sum(row["isolatedWallet"] for row in rows)
        assert a["unrealizedProfit"] == sum(row["unRealizedProfit"] for row in rows)
        assert a["crossUnPnl"] == sum(row["unRealizedProfit"] for row in cross)
        assert a["maintMargin"] == sum(row["maintMargin"] for row in rows)
        assert a["positionInitialMargin"] == sum(row["positionInitialMargin"] for row in rows)
        assert a["openOrderInitialMargin"] == sum(row["openOrderInitialMargin"] for row in rows)
        assert a["initialMargin"] == a["positionInitialMargin"] + a["openOrderInitialMargin"]
        assert (asset["updateTime"] == 0) == (not a["walletBalance"])
    assert status["totalMarginBalance"] == money(status, "totalWalletBalance", "totalUnrealizedProfit")
    assert status["totalInitialMargin"] == money(status, "totalPositionInitialMargin", "totalOpenOrderInitialMargin")


@pytest.mark.parametrize("make", [one_way, hedged])
def test_single_asset_totals_are_the_usdt_row(make: Any) -> None:
    """In single-asset mode the eleven totals are the USDT asset's own figures."""
    status = account_status(make())
    usdt = next(asset for asset in status["assets"] if asset["asset"] == "USDT")

    assert {total: usdt[field] for total, field in TOTALS.items()} == {total: status[total] for total in TOTALS}


def test_multi_assets_totals_are_usd_values() -> None:
    """In multi-assets mode totals are in USD, and each asset has the account's available balance in its units."""
    account = multi_assets()
    status = account_status(account)
    rates = {asset["asset"]: account.market.usd_rate(asset["asset"], account.at) for asset in status["assets"]}

    for total, field in list(TOTALS.items())[:9]:
        value = sum(Decimal(asset[field]) * rates[asset["asset"]] for asset in status["assets"])
        assert abs(value - Decimal(status[total])) < Decimal("0.0000002")
    for asset in status["assets"]:
        in_usd = Decimal(asset["availableBalance"]) * rates[asset["asset"]]
        assert abs(in_usd - Decimal(status["availableBalance"])) < Decimal("0.01")
        assert asset["marginAvailable"]


def test_single_asset_status_leaves_out_margin_available() -> None:
    """In single-asset mode no asset of a status has marginAvailable."""
    account = one_way()

    for status in (account_status(account), account_status_v1(account, 0)):
        assert [] == [asset for asset in status["assets"] if "marginAvailable" in asset]


def test_balance_has_the_assets_of_the_status() -> None:
    """The balances are the wallets of the account's status."""
    account = one_way()
    by_asset = {row["asset"]: row for row in account_status(account)["assets"]}
    balances = account_balance(account)

    assert {row["asset"] for row in balances} == by_asset.keys()
    for row in balances:
        assert row["balance"] == by_asset[row["asset"]]["walletBalance"]
        assert row["accountAlias"] == account.alias
        assert row["marginAvailable"] == (row["asset"] not in {"BFUSD", "LDUSDT"})


def test_alias_shows_no_part_of_a_key() -> None:
    """The account alias is stable, and shares no run of four characters with the account's keys."""
    account = SimulatedAccount("main")
    parts = {account.alias[start : start + 4] for start in range(len(account.alias) - 3)}

    assert parts
    assert not [part for part in parts if part in account.api_key or part in (account.secret_key or "")]
    assert account.alias == SimulatedAccount("main").alias != SimulatedAccount("hedge").alias


@pytest.mark.parametrize("make", [one_way, multi_assets, hedged])
def test_first_position_lists_all_symbols(make: Any) -> None:
    """Version 1 of account.position lists every symbol, and agrees with version 2 on open ones."""
    account = make()
    rows = {(row["symbol"], row["positionSide"]): row for row in account_position_v1(account, None)}
    shared = ("entryPrice", "breakEvenPrice", "markPrice", "liquidationPrice", "positionAmt", "notional")

    assert len(SYMBOLS) * (2 if account.hedge else 1) == len(rows)
    for row in account_position(account, None):
        twin = rows[row["symbol"], row["positionSide"]]
        assert {name: row[name] for name in shared} == {name: twin[name] for name in shared}
        assert (Decimal(row["isolatedWallet"]) != 0) is (twin["marginType"] == "isolated")
    assert {"BTCUSDT"} == {row["symbol"] for row in account_position_v1(account, "BTCUSDT")}


@pytest.mark.parametrize("make", [one_way, multi_assets, hedged])
def test_first_status_lists_all_symbols(make: Any) -> None:
    """Version 1 of account.status lists every symbol and the extra ones by side, with the same totals."""
    account = make()
    account.ledger.leverages["PAD649USDT"] = 50
    status = account_status_v1(account, 650)
    rows = {(row["symbol"], row["positionSide"]): row for row in status["positions"]}

    assert len(rows) == len(status["positions"]) == (650 + len(SYMBOLS)) * (2 if account.hedge else 1)
    assert {symbol: str(account.leverage_of(symbol)) for symbol, _ in rows} == {
        symbol: row["leverage"] for (symbol, _), row in rows.items()
    }
    assert {"0.00000000"} == {row["initialMargin"] for (symbol, _), row in rows.items() if symbol.startswith("PAD")}
    assert status["multiAssetsMargin"] is account.multi_assets
    assert {name: status[name] for name in TOTALS} == {name: account_status(account)[name] for name in TOTALS}
    break_even = {
        (row["symbol"], row["positionSide"]): row["breakEvenPrice"] for row in account_position(account, None)
    }
    assert break_even == {key: rows[key]["breakEvenPrice"] for key in break_even}
    for row in account_status(account)["positions"]:
        twin = rows[row["symbol"], row["positionSide"]]
        assert twin["isolated"] == (Decimal(row["isolatedWallet"]) != 0)
        assert Decimal(twin["maxNotional"]) > abs(Decimal(row["notional"]))


def test_first_status_has_fee_tier_and_permissions() -> None:
    """Version 1 of account.status reports the account's fee tier and permissions, by default 0 and all."""
    names = ("feeTier", "canTrade", "canDeposit", "canWithdraw")
    account = funded_account()
    default = account_status_v1(account, 0)
    account.fee_tier = 3
    account.can_trade = account.can_deposit = account.can_withdraw = False
    restricted = account_status_v1(account, 0)
    account.can_deposit = True
    deposits_only = account_status_v1(account, 0)

    assert [0, True, True, True] == [default[name] for name in names]
    assert [3, False, False, False] == [restricted[name] for name in names]
    assert [3, False, True, False] == [deposits_only[name] for name in names]


def test_cross_zeros_are_written_in_two_ways() -> None:
    """The zero isolated wallet of a cross row is written with or without digits."""
    rows = account_status(one_way())["positions"]

    assert {row["isolatedWallet"] for row in rows} == {"0", "0.00000000", "3000.00000001"}


def test_order_only_row_has_no_position() -> None:
    """A symbol with open orders only has a row with amount 0 and initial margin, until they are cancelled."""
    account = funded_account()
    account.place_order("XRPUSDT", "1000", "2.1", leverage=10)
    (row,) = account_position(account, "XRPUSDT")

    assert row["positionAmt"] == row["liquidationPrice"] == "0"
    assert row["entryPrice"] == row["breakEvenPrice"] == "0.0"
    assert row["initialMargin"] == row["openOrderInitialMargin"] == "210.00000000"
    assert row["bidNotional"] == "2100.00000000"

    account.cancel_orders("XRPUSDT")
    assert account_position(account, None) == []


def test_closed_position_leaves_its_profit_in_the_wallet() -> None:
    """A closed position has no row; its profit, less the fees of both trades, is in the wallet."""
    account = funded_account()
    with account.market.pin("BTCUSDT", "100000"):
        account.open("BTCUSDT", "-0.5", isolated_wallet="8000")
    with account.market.pin("BTCUSDT", "90000"):
        account.close("BTCUSDT", amount="0.2")
        account.close("BTCUSDT")

    assert account_status(account)["positions"] == []
    assert account_status(account)["totalWalletBalance"] == money({"a": "105000", "b": "-25", "c": "-22.5"}, *"abc")


@pytest.mark.parametrize(
    ("make", "call", "words"),
    [
        (one_way, lambda account: account.open("BTCUSDT", "1", "LONG"), "one-way"),
        (one_way, lambda account: account.open("BTCUSDT", "0"), "enlarge"),
        (one_way, lambda account: account.open("SOLUSDT", "1"), "enlarge"),
        (one_way, lambda account: account.open("BTCUSDT", "0.0001"), "digits"),
        (one_way, lambda account: account.close("SOLUSDT", amount="1000"), "cannot close"),
        (one_way, lambda account: account.add_isolated_margin("SOLUSDT", "1"), "not isolated"),
        (hedged, lambda account: account.open("BTCUSDT", "1"), "hedge"),
        (hedged, lambda account: account.open("ETHUSDT", "-1", "LONG"), "enlarge"),
        (multi_assets, lambda account: account.open("SOLUSDT", "1", isolated_wallet="10"), "multi-assets"),
    ],
)
def test_impossible_trades_are_rejected(make: Any, call: Any, words: str) -> None:
    """A trade that the exchange could not execute, in the account's mode, raises ValueError."""
    account = make()
    with pytest.raises(ValueError, match=words):
        call(account)


def test_repr_of_an_account_hides_its_secret_key() -> None:
    """The repr of an account does not contain its secret key."""
    account = SimulatedAccount("a")

    assert account.secret_key
    assert account.secret_key not in repr(account)
