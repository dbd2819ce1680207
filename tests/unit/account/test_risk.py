"""Risk levels: each threshold from both sides, the worst of several positions, and unknown levels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import make_asset, make_position, make_risk, make_snapshot

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import CrossPool
from exporter.account.risk import (
    LIQUIDATION_DISTANCE_CRITICAL,
    LIQUIDATION_DISTANCE_WARNING,
    LIQUIDATION_MARGIN_RATIO,
    MARGIN_RATIO_CRITICAL,
    MARGIN_RATIO_WARNING,
    account_sort_key,
    assess,
    risk_level,
)
from exporter.account.risk_level import RiskLevel
from exporter.binance.rows import Position, PositionRisk
from monitoring.thresholds import VALUES

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot

FAR = 0.5


def cross(ratio: float, symbol: str = "BTCUSDT", **fields: Any) -> Position:
    """Return a cross position with a margin ratio at an equity of 100, if it is the only one."""
    return make_position(symbol, maintenance_margin=100 * ratio, **fields)


def isolated(ratio: float, symbol: str = "ETHUSDT", **fields: Any) -> Position:
    """Return an isolated position with a margin ratio over an equity of 100."""
    return make_position(
        symbol,
        **{"isolated_wallet_balance": 100.0, "unrealized_pnl": 0.0, "maintenance_margin": 100 * ratio, **fields},
    )


def risk_of(symbol: str = "BTCUSDT", distance: float = FAR, **fields: Any) -> PositionRisk:
    """Return the risk of a position at a distance to its liquidation."""
    return make_risk(symbol, **{"mark_price": 1000.0, "liquidation_price": 1000 * (1 - distance), **fields})


def account(*rows: Position | PositionRisk, mode: AssetMode = AssetMode.SINGLE, **totals: Any) -> AccountSnapshot:
    """Return an account with 100 USDT."""
    return make_snapshot(
        [make_asset("USDT", cross_wallet_balance=100.0, cross_unrealized_pnl=0.0)],
        [row for row in rows if isinstance(row, Position)],
        [row for row in rows if isinstance(row, PositionRisk)],
        asset_mode=mode,
        **totals,
    )


@pytest.mark.parametrize(
    ("expected", "ratio", "distance"),
    [
        ("normal", 0.0, FAR),
        ("normal", MARGIN_RATIO_WARNING, FAR),
        ("warning", MARGIN_RATIO_WARNING + 1e-9, FAR),
        ("warning", MARGIN_RATIO_CRITICAL, FAR),
        ("critical", MARGIN_RATIO_CRITICAL + 1e-9, FAR),
        ("critical", 5.0, FAR),
        ("normal", 0.1, LIQUIDATION_DISTANCE_WARNING + 1e-9),
        ("warning", 0.1, LIQUIDATION_DISTANCE_WARNING - 1e-9),
        ("warning", 0.1, LIQUIDATION_DISTANCE_CRITICAL + 1e-9),
        ("critical", 0.1, LIQUIDATION_DISTANCE_CRITICAL - 1e-9),
        ("critical", 0.1, 0.0),
        ("warning", LIQUIDATION_MARGIN_RATIO, LIQUIDATION_DISTANCE_WARNING - 1e-9),
        ("critical", LIQUIDATION_MARGIN_RATIO + 1e-9, LIQUIDATION_DISTANCE_WARNING - 1e-9),
        ("normal", LIQUIDATION_MARGIN_RATIO + 1e-9, LIQUIDATION_DISTANCE_WARNING + 1e-9),
        ("warning", 0.75, 0.06),
        ("critical", 0.9, 0.06),
        ("critical", 0.75, 0.01),
    ],
)
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("make", [cross, isolated])
def test_level(expected: str, ratio: float, distance: float, side: float, make: Any) -> None:
    """The worse of margin ratio and distance decides, long and short, cross and isolated."""
    position = make(ratio, amount=side)
    snapshot = account(position, risk_of(position.symbol, side * distance, amount=side))

    assert expected == risk_level(snapshot)


@pytest.mark.parametrize("ratio", [0.1, 0.75, 0.85, math.inf])
@pytest.mark.parametrize("margin_asset", ["USDT", "BNFCR"])
def test_multi_assets(ratio: float, margin_asset: str) -> None:
    """In multi-assets mode the totals decide for every position, also where the margin asset is unknown."""
    position, risk = cross(0.01, "BTCUSDT"), risk_of(margin_asset=margin_asset)
    equity = 0.0 if math.isinf(ratio) else 100 / ratio
    snapshot = account(position, risk, mode=AssetMode.MULTI, maintenance_margin=100.0, margin_balance=equity)

    assert {0.1: "normal", 0.75: "warning"}.get(ratio, "critical") == risk_level(snapshot)


def test_worst_position_decides() -> None:
    """Of several positions the worst gives the level; orders without a position give none."""
    rows: list[Position | PositionRisk] = [
        cross(0.1),
        risk_of(),
        isolated(0.75),
        risk_of("ETHUSDT"),
        make_position("BNBUSDT", amount=0.0),
    ]

    assert RiskLevel.WARNING is risk_level(account(*rows))
    rows += [isolated(0.1, "XRPUSDT"), risk_of("XRPUSDT", 0.01)]
    assert RiskLevel.CRITICAL is risk_level(account(*rows))


@pytest.mark.parametrize("mode", list(AssetMode))
def test_flat_account_is_normal(mode: AssetMode) -> None:
    """An account without a position is not at risk."""
    assert RiskLevel.NORMAL is risk_level(account(mode=mode))


@pytest.mark.parametrize(
    "position",
    [
        pytest.param(make_position("BTCUSDT"), id="no maintenance margin"),
        pytest.param(cross(0.1, "BTCNEW"), id="margin asset unknown"),
        pytest.param(isolated(0.1, "BTCUSDT", unrealized_pnl=None), id="isolated equity unknown"),
    ],
)
@pytest.mark.parametrize("other", [0.1, 0.9])
def test_position_without_ratio_is_unknown(position: Position, other: float) -> None:
    """A held position without a margin ratio makes the account unknown, whatever the others are."""
    snapshot = account(position, risk_of(position.symbol), isolated(other), risk_of("ETHUSDT"))

    assert RiskLevel.UNKNOWN is risk_level(snapshot)
    assert RiskLevel.UNKNOWN is risk_level(replace(snapshot, risks=(), without_risk=None))


def test_multi_assets_without_totals_is_unknown() -> None:
    """In multi-assets mode a missing total makes every position unknown."""
    snapshot = account(cross(0.1), risk_of(), mode=AssetMode.MULTI, maintenance_margin=1.0)

    assert RiskLevel.UNKNOWN is risk_level(snapshot)


@pytest.mark.parametrize(
    "risk",
    [
        pytest.param(None, id="no row"),
        pytest.param(risk_of("BTCUSDC"), id="another symbol"),
        pytest.param(risk_of(side="LONG"), id="another side"),
        pytest.param(risk_of(amount=-1.0), id="opposite sign"),
        pytest.param(risk_of(amount=0.0), id="no amount"),
        pytest.param(risk_of(mark_price=None), id="no mark price"),
        pytest.param(risk_of(mark_price=0.0), id="mark price of 0"),
        pytest.param(risk_of(liquidation_price=None), id="no liquidation price sent"),
    ],
)
@pytest.mark.parametrize("ratio", [0.1, 0.9])
def test_position_without_risk_is_unknown(risk: PositionRisk | None, ratio: float) -> None:
    """Missing risk figures make the level unknown; if they are not requested, the ratio decides."""
    snapshot = account(cross(ratio), *filter(None, [risk]))

    assert RiskLevel.UNKNOWN is risk_level(snapshot)
    assert ("critical" if ratio > 0.8 else "normal") == risk_level(replace(snapshot, risks=(), without_risk=None))


@pytest.mark.parametrize("price", [0.0, -1.0])
def test_no_liquidation_price_is_far(price: float) -> None:
    """A liquidation price of 0, which in Binance's responses means none, has no distance."""
    snapshot = account(cross(0.1), risk_of(liquidation_price=price))

    assert RiskLevel.NORMAL is risk_level(snapshot)


def test_thresholds_are_those_of_the_rules() -> None:
    """The alert rules compare with the same values."""
    assert {
        "margin_ratio_warning": MARGIN_RATIO_WARNING,
        "margin_ratio_critical": MARGIN_RATIO_CRITICAL,
        "liquidation_distance_warning": LIQUIDATION_DISTANCE_WARNING,
        "liquidation_distance_critical": LIQUIDATION_DISTANCE_CRITICAL,
        "liquidation_margin_ratio": LIQUIDATION_MARGIN_RATIO,
    }.items() <= {name: float(value) for name, value in VALUES.items()}.items()


def test_assessment_is_worst_first() -> None:
    """Positions are sorted by level, unknown after critical, then by distance; reached liquidation is the nearest."""
    snapshot = account(
        *(isolated(0.1, symbol) for symbol in ("FAR", "NORMAL", "WARNING", "UNKNOWN", "NEAR")),
        isolated(0.9, "RATIO"),
        isolated(1.0, "REACHED"),
        *(risk_of("FAR", 0.5), risk_of("NORMAL", 0.06), risk_of("WARNING", 0.04), risk_of("NEAR", 0.0037)),
        *(risk_of("RATIO", 0.1), risk_of("REACHED", liquidation_price=0.0)),
    )
    assessment = assess(snapshot)

    assert [
        ("REACHED", "critical"),
        ("NEAR", "critical"),
        ("RATIO", "critical"),
        ("UNKNOWN", "unknown"),
        ("WARNING", "warning"),
        ("NORMAL", "normal"),
        ("FAR", "normal"),
    ] == [(held.position.row.symbol, held.level) for held in assessment.positions]
    assert [1.0, 0.1, 0.9] == [held.margin_ratio for held in assessment.positions[:3]]
    assert (RiskLevel.CRITICAL, False) == (assessment.level, assessment.is_complete)


def test_critical_figure_counts_although_others_are_missing() -> None:
    """A position is critical by its ratio or distance alone; the recorded level is unknown all the same."""
    by_ratio = account(cross(0.9), risk_of(mark_price=None))
    by_distance = account(make_position("BTCUSDT"), risk_of(distance=0.01))

    assert ["critical", "critical"] == [assess(snapshot).level for snapshot in (by_ratio, by_distance)]
    assert ["unknown", "unknown"] == [risk_level(snapshot) for snapshot in (by_ratio, by_distance)]


def test_pool_has_the_worst_level_of_its_positions() -> None:
    """A pool is as bad as its ratio and its worst position; pools are sorted by level, then by ratio."""
    snapshot = account(
        cross(0.1), cross(0.1, "XRPUSDT"), isolated(0.75), isolated(0.1, "SOLUSDT"), isolated(0.2, "BNBUSDT"),
        risk_of(), risk_of("XRPUSDT", 0.0037), risk_of("ETHUSDT"), risk_of("SOLUSDT"), risk_of("BNBUSDT"),
    )  # fmt: skip
    names = [
        (pool.pool.margin_asset if isinstance(pool.pool, CrossPool) else pool.pool.symbol, pool.level)
        for pool in assess(snapshot).pools
    ]

    assert [
        ("USDT", "critical"),
        ("ETHUSDT", "warning"),
        ("BNBUSDT", "normal"),
        ("SOLUSDT", "normal"),
    ] == names


def test_accounts_are_sorted_by_level_then_nearest() -> None:
    """An account without data is unknown: after critical accounts, before those at warning; flat accounts are last."""
    accounts = {
        "flat": assess(account()),
        "far": assess(account(cross(0.1), risk_of(distance=0.4))),
        "warning": assess(account(cross(0.1), risk_of(distance=0.03))),
        "no data": None,
        "critical": assess(account(cross(0.1), risk_of(distance=0.01))),
        "most critical": assess(account(cross(0.1), risk_of(distance=0.0037))),
    }

    assert ["most critical", "critical", "no data", "warning", "far", "flat"] == sorted(
        accounts, key=lambda name: account_sort_key(accounts[name])
    )
