"""The margin asset of a position: as sent, or found among the account's assets."""

from __future__ import annotations

from typing import Any

import pytest
from support.builders import make_asset, make_position, make_risk, make_snapshot
from support.processor_time import processor_seconds


def margin_asset_of(symbol: str, assets: list[str], **risk: Any) -> str | None:
    """Return the margin asset of a position in an account with these assets."""
    risks = [make_risk(symbol, **risk)] if risk else []
    snapshot = make_snapshot([make_asset(asset) for asset in assets], [make_position(symbol)], risks)
    (position,) = snapshot.held
    return position.margin_asset


@pytest.mark.parametrize(
    ("expected", "symbol", "assets"),
    [
        ("USDT", "BTCUSDT", ["BNB", "USDT", "USDC"]),
        ("USDC", "BTCUSDC", ["BNB", "USDT", "USDC"]),
        ("USDT", "BTCUSDT_260327", ["BNB", "USDT"]),
        ("USDT", "USDTUSDT", ["BNB", "USDT"]),
        ("USD1", "BTCUSD1", ["USDT", "USD1", "D1"]),
        ("DUSDT", "BTCDUSDT", ["USDT", "DUSDT"]),
        ("DUSDT", "BTCDUSDT", ["DUSDT", "USDT"]),
        ("FDUSD", "BNBFDUSD", ["USD", "FDUSD"]),
        ("BTC", "ETHBTC", ["BTC", "USDT"]),
        ("USDT", "币安人生USDT", ["BNB", "USDT"]),
        (None, "BTCUSDT", ["BNB", "USDC"]),
        (None, "BTCUSDT_USDC", ["USDC"]),
        (None, "BTCUSDT", []),
    ],
)
def test_margin_asset_is_inferred_from_the_symbol(expected: str | None, symbol: str, assets: list[str]) -> None:
    """Without marginAsset it is the longest of the account's assets that the symbol, up to any _, ends with."""
    assert expected == margin_asset_of(symbol, assets)
    assert expected == margin_asset_of(symbol, assets, margin_asset=None)
    assert expected == margin_asset_of(symbol, assets, margin_asset="")


def test_margin_asset_is_the_longest_ending() -> None:
    """Of several assets that a symbol ends with the longest is the margin asset, and before it one with margin."""
    assets = [make_asset("USDT", maintenance_margin=1.0), make_asset("LDUSDT"), make_asset("BUSDT")]
    snapshot = make_snapshot(assets, [make_position("WLDUSDT"), make_position("XBUSD"), make_position("DBUSDT_261225")])
    without_margin = make_snapshot([make_asset("USDT"), make_asset("LDUSDT")], [make_position("WLDUSDT")])

    assert ["USDT", None, "USDT"] == [position.margin_asset for position in snapshot.held]
    assert ["LDUSDT"] == [position.margin_asset for position in without_margin.held]


def test_several_assets_may_end_a_symbol() -> None:
    """Of assets that end the symbol the one with maintenance margin counts, though another is longer."""
    assets = [make_asset("USDT", maintenance_margin=5.0), make_asset("LDUSDT", maintenance_margin=0.0)]
    (held,) = make_snapshot(assets, [make_position("WLDUSDT")]).held

    assert "USDT" == held.margin_asset


@pytest.mark.parametrize(
    ("expected", "symbol", "margins"),
    [
        ("BNFCR", "BTCUSDT", {"USDT": 0.0, "BNFCR": 3.6}),
        ("BNFCR", "BTCUSDT", {"USDT": 0.0, "BNFCR": 3.42}),
        (None, "BTCUSDT", {"USDT": 0.0, "BNFCR": 3.41}),
        (None, "BTCUSDT", {"USDT": 0.0, "USDC": 3.6}),
        ("USDT", "BTCUSDT", {"USDT": 3.6, "BNFCR": 3.6}),
        ("USDT", "BTCUSDT", {"USDT": None, "BNFCR": 3.6}),
        ("USDT", "WLDUSDT", {"USDT": 3.6, "LDUSDT": 0.0}),
        ("LDUSDT", "WLDUSDT", {"USDT": 9.0, "LDUSDT": 3.6}),
        (None, "BTCUSDT", {}),
    ],
)
def test_margin_asset_carries_the_margin(expected: str | None, symbol: str, margins: dict[str, float | None]) -> None:
    """An asset that carries less than 95 % of a position's maintenance margin is not what it is margined in."""
    assets = [make_asset(asset, maintenance_margin=margin) for asset, margin in margins.items()]
    snapshot = make_snapshot(assets, [make_position(symbol, maintenance_margin=3.6)])

    assert [expected] == [position.margin_asset for position in snapshot.held]


@pytest.mark.parametrize("sent", ["USDC", "BNFCR"])
def test_margin_asset_as_sent_is_believed(sent: str) -> None:
    """A margin asset that was sent is believed over the symbol, also where the account has no row of it."""
    assert sent == margin_asset_of("BTCUSDT", ["USDT", "USDC"], margin_asset=sent)


def test_many_assets_cost_their_sum_not_their_product() -> None:
    """Positions take no longer to find their margin assets among ten times as many assets than ten times as long."""

    def seconds(assets: int) -> float:
        rows = [make_asset(f"A{number}") for number in range(assets)]
        positions = [make_position(f"S{number}A{assets - 1}") for number in range(2000)]
        return processor_seconds(lambda: make_snapshot(rows, positions))

    assert 5 * seconds(1000) > seconds(10_000)
