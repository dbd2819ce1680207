"""Risk on the status page: levels, margin ratios and distances of accounts, and their tables of positions."""

from __future__ import annotations

import pytest
from support.builders import make_asset, make_position, make_snapshot
from support.status_page import at_risk, attributes, cross_position, isolated_positions, page, state

from exporter.account.asset_mode import AssetMode


def test_risk() -> None:
    """An account shows its level, its nearest liquidation and its highest ratio, and its positions, worst first."""
    shown = page([state("up")], main=at_risk())
    table = shown.rows.index(
        [
            *("Symbol", "Risk", "Side", "Margin", "Margin ratio"),
            *("Mark price", "Liquidation price", "Distance", "Leverage", "ADL quantile"),
        ]
    )

    assert ["critical", "0.25 % away ETHUSDT short", "81.0 %"] == shown.row("main")[1:4]
    assert [
        ["ETHUSDT", "critical", "short", "cross USDT", "10.0 %", "4,000.00", "4,010.00", "0.25 %", "25x", "unknown"],
        ["SOLUSDT", "critical", "long", "isolated", "81.0 %", "150.50", "none", "none", "unknown", "0 of 4"],
        ["BTCUSDT", "normal", "long", "cross USDT", "10.0 %", "100.00", "90.00", "10.00 %", "25x", "2 of 4"],
    ] == shown.rows[table + 1 :]
    assert ("details", {"id": "d1", "open": None}) in shown.tags


@pytest.mark.parametrize(
    ("side", "amount", "word"),
    [("BOTH", 2.0, "long"), ("BOTH", -2.0, "short"), ("LONG", 2.0, "long"), ("SHORT", -2.0, "short")],
)
def test_side(side: str, amount: float, word: str) -> None:
    """In one-way mode the sign of the amount tells long from short; in hedge mode the position's own side does."""
    snapshot = make_snapshot([make_asset()], [make_position("ETHUSDT", side, amount)], asset_mode=AssetMode.SINGLE)

    assert word == page([state("up")], main=snapshot).row("ETHUSDT")[2]


def test_cross_pool_of_a_position() -> None:
    """A cross position names the asset of its pool, which in multi-assets mode is the whole account in USD."""
    snapshot = make_snapshot([make_asset()], [make_position("ETHUSDC")], asset_mode=AssetMode.MULTI)

    assert "cross USD" == page([state("up")], main=snapshot).row("ETHUSDC")[3]


@pytest.mark.parametrize(
    ("wallet", "words", "value"),
    [
        (11.429, ["normal", "69.9 %"], 0.69997),
        (11.428, ["warning", "70.0 %"], 0.70003),
        (10.0, ["warning", "80.0 %"], 0.8),
        (8.0001, ["critical", "99.9 %"], 0.99998),
        (4.0, ["critical", "200.0 %"], 1.0),
        (0.001, ["critical", "over 9,999 %"], 1.0),
        (0.0, ["critical", "infinite"], 1.0),
    ],
)
def test_texts_of_ratios(wallet: float, words: list[str], value: float) -> None:
    """A ratio is a number rounded down and a bar that ends at liquidation; its level is a word."""
    usdt = make_asset("USDT", cross_wallet_balance=wallet, cross_unrealized_pnl=0.0)
    position = make_position(maintenance_margin=8.0)
    shown = page([state("up")], main=make_snapshot([usdt], [position], asset_mode=AssetMode.SINGLE))
    meter = attributes(shown, "meter")

    assert words == shown.row("main")[1:4:2]
    assert value == pytest.approx(float(meter.pop("value") or ""), abs=1e-4)
    assert {"aria-label": "Margin ratio of main", "max": "1", "low": "0.7", "high": "0.8"} == meter


def test_flat_account_has_no_details() -> None:
    """An account without positions has no liquidation and no table of positions."""
    usdt = make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)
    shown = page([state("up")], main=make_snapshot([usdt], asset_mode=AssetMode.SINGLE))

    assert ["normal", "none", "0.0 %"] == shown.row("main")[1:4]
    assert "Symbol" not in shown.texts


def test_many_positions_are_counted() -> None:
    """Of many positions the worst fifty are shown, and the rest are counted."""
    shown = page([state("up")], main=isolated_positions(70))

    assert "20 more positions, none at higher risk." in shown.texts
    assert 50 == len([row for row in shown.rows if row[0].endswith("USDT")])


def test_known_critical_position_is_shown_among_unknown_figures() -> None:
    """An account is critical by what is known, and says that not everything is."""
    assert "critical some data missing" == page([state("up")], main=cross_position(0.9, None)).row("main")[1]


def test_unknown_level_is_explained() -> None:
    """An unknown level says which data is missing: prices of positions, or why a margin ratio is unknown."""
    positions = [make_position(f"S{number}USDT", maintenance_margin=1.0) for number in range(5)]
    no_ratio = make_snapshot([make_asset()], [make_position(maintenance_margin=None)], asset_mode=AssetMode.SINGLE)
    no_prices = make_snapshot(
        [make_asset(cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)], positions, [], asset_mode=AssetMode.SINGLE
    )
    shown = page([state("up", "ratio"), state("up", "prices")], ratio=no_ratio, prices=no_prices)

    assert "unknown margin ratio unknown: BTCUSDT: maintenance margin missing" == shown.row("ratio")[1]
    assert "unknown no mark or liquidation price: S0USDT long, S1USDT long and 3 more" == shown.row("prices")[1]


def test_stale_account_that_was_critical() -> None:
    """A stale account shows its last known level, and is first among those at unknown risk if it was critical."""
    snapshots = {"unknown": cross_position(distance=None), "normal": cross_position(), "critical": cross_position(0.9)}
    states = [state("up", "incomplete"), *(state("stale", level) for level in snapshots)]
    shown = page(states, snapshots=snapshots, incomplete=cross_position(distance=None))

    names = [row[0] for row in shown.rows if row[7:8] == ["localhost:1"]]
    assert ["critical", "incomplete", "unknown", "normal"] == names
    assert ["for 1 minute", "for 1 minute; was normal", "for 1 minute; was critical"] == [
        shown.row(name)[1].removeprefix("unknown ") for name in ("unknown", "normal", "critical")
    ]


def test_stale_account_stays_among_those_at_risk() -> None:
    """A stale account that held positions is listed as unknown with the time; one that held none is not."""
    held, flat = state("stale", "held"), state("stale", "flat")
    flat.open_positions = 0
    shown = page([held, flat])
    risk = shown.texts.index("Margin and positions")

    assert ["held", "unknown", "for 1 minute"] == shown.texts[risk + 1 : risk + 4]
    assert "flat" not in shown.texts[risk:]


@pytest.mark.parametrize("word", ["stale", "down", "waiting"])
def test_no_risk_of_stale_data(word: str) -> None:
    """A snapshot that is not fresh is not shown."""
    shown = page([state(word)], main=at_risk())

    assert shown.row("main")[1].startswith("unknown")
    assert ["unknown", "unknown"] == shown.row("main")[2:4]
    assert "meter" not in [tag for tag, _ in shown.tags]
    assert "Symbol" not in shown.texts
    assert "BTCUSDT" not in shown.texts
