"""Empty and contradictory responses are rejected on one side of each tolerance and accepted on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.builders import make_asset, make_figures, make_position, make_risk, make_snapshot

from exporter.account.asset_mode import AssetMode
from exporter.account.consistency import ConsistencyCheck
from exporter.binance.errors import DecodeError
from exporter.binance.rows import FIGURES

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import Position, PositionRisk

ZEROS: dict[str, Any] = dict.fromkeys(FIGURES, 0.0)
SINGLE, MULTI = AssetMode.SINGLE, AssetMode.MULTI


def make_held(margin: float | None = 10.0, **fields: Any) -> Any:
    """Return a row that holds a position."""
    return make_position(maintenance_margin=margin, **fields)


def rejection(snapshot: AccountSnapshot, before: AccountSnapshot | None = None) -> str:
    """Return why an answer is refused, empty if it is accepted."""
    try:
        check = ConsistencyCheck()
        if before:
            check.accept(before, (), risk_unavailable=False)
        check.accept(snapshot, (), risk_unavailable=False)
    except DecodeError as error:
        return str(error)
    return ""


HELD = make_snapshot([make_asset("USDT", wallet_balance=5.0)], [make_held()], **make_figures())
EMPTY = make_snapshot(**ZEROS)
TOTAL = "result.totalMaintMargin"


@pytest.mark.parametrize(
    ("snapshot", "before"),
    [
        (EMPTY, None),
        (EMPTY, EMPTY),
        (EMPTY, make_snapshot([make_asset("USDT", wallet_balance=0.0)], **ZEROS)),
        (make_snapshot(wallet_balance=0.0), None),
        (make_snapshot([make_asset("USDC", wallet_balance=100.0)], **ZEROS), None),
        (
            make_snapshot([make_asset("USDT", wallet_balance=-3.0)], asset_mode=MULTI, **ZEROS | {"margin_balance": 9}),
            None,
        ),
        (make_snapshot([make_asset("USDT", wallet_balance=1.0)], asset_mode=MULTI, **ZEROS), None),
        (make_snapshot([make_asset("USDT", maintenance_margin=1e-7)], maintenance_margin=1e-7), None),
        (make_snapshot([make_asset()], maintenance_margin=0.9e-3, margin_balance=1000.0), None),
        (make_snapshot([make_asset()], maintenance_margin=0.9e-3, margin_balance=-1000.0), None),
        (make_snapshot([make_asset()], [make_position(amount=0.0, initial_margin=5.0)], **ZEROS), None),
        (make_snapshot([make_asset()], [make_held(isolated_margin=20.0)], asset_mode=SINGLE, **ZEROS), None),
        (make_snapshot([make_asset()], [make_held(1e-7)], asset_mode=MULTI, **ZEROS), None),
        (make_snapshot([make_asset()], [make_held(None)], asset_mode=MULTI, **ZEROS), None),
        (make_snapshot([make_asset()], [make_held()], asset_mode=MULTI, maintenance_margin=1.1e-7), None),
        (HELD, HELD),
    ],
)
def test_plausible_answer_is_accepted(snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    """A new account, only open orders, other assets, isolated positions and rounding are not contradictions."""
    assert "" == rejection(snapshot, before)


@pytest.mark.parametrize(
    ("expected", "snapshot", "before"),
    [
        ("result: contains no account totals", make_snapshot(), None),
        ("result: contains no account totals", make_snapshot([make_asset()], [make_held()]), None),
        (
            "result.assets: is empty, but result.totalWalletBalance is not 0",
            make_snapshot(**ZEROS | {"wallet_balance": 1e-8}),
            None,
        ),
        ("result.assets: is empty, but the previous response had a position or a wallet balance", EMPTY, HELD),
        (
            "result.assets: is empty, but the previous response had a position or a wallet balance",
            EMPTY,
            make_snapshot([make_asset("BNB", wallet_balance=0.1)], **ZEROS),
        ),
        (
            f"result.positions: contains no position, but {TOTAL} is not 0",
            make_snapshot([make_asset()], maintenance_margin=1.1e-7),
            None,
        ),
        (
            f"result.positions: contains no position, but {TOTAL} is not 0",
            make_snapshot(
                [make_asset()], [make_position(amount=0.0)], maintenance_margin=1.1e-3, margin_balance=1000.0
            ),
            None,
        ),
        (
            "result.positions: contains no position, but result.totalUnrealizedProfit is not 0",
            make_snapshot([make_asset()], **ZEROS | {"unrealized_pnl": -200.0, "maintenance_margin": None}),
            None,
        ),
        (
            "result.positions: contains no position, but result.assets[0].positionInitialMargin is not 0",
            make_snapshot([make_asset(position_initial_margin=700.0)], **ZEROS | {"maintenance_margin": None}),
            None,
        ),
        (
            "result: lacks some totals and the others are 0, unlike in the previous response",
            make_snapshot([make_asset()], wallet_balance=0.0),
            HELD,
        ),
        (
            "result: lacks some totals and the others are 0, unlike in the previous response",
            make_snapshot(wallet_balance=0.0),
            HELD,
        ),
        (
            "result: contains totals of 0, but the wallet balance of USDT is above 1",
            make_snapshot([make_asset("USDT", wallet_balance=1.01)], asset_mode=SINGLE, **ZEROS),
            None,
        ),
        (
            "result.positions: contains no position, but result.assets[1].maintMargin is not 0",
            make_snapshot([make_asset("BNB"), make_asset("USDC", maintenance_margin=640.0)], **ZEROS),
            None,
        ),
        (
            f"{TOTAL}: is 0, but positions in result.positions require margin",
            make_snapshot([make_asset()], [make_held(1.1e-7)], asset_mode=MULTI, maintenance_margin=1e-7),
            None,
        ),
        (
            "result: contains totals of 0, but the wallet balance of USDT is above 1",
            make_snapshot([make_asset("USDT", wallet_balance=1.01)], asset_mode=MULTI, **ZEROS),
            None,
        ),
    ],
)
def test_contradiction_is_refused(expected: str, snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    """An empty or contradictory answer is refused with the paths of what contradicts each other."""
    assert expected == rejection(snapshot, before)


AMOUNTS = (make_risk(mark_price=1.0, liquidation_price=0.5),)
FLAT = make_snapshot([make_asset("USDT", wallet_balance=0.0)], [], AMOUNTS, **ZEROS)


def test_flat_status_contradicting_amounts_is_rejected_at_the_second_poll() -> None:
    """A status without positions that contradicts amounts is a race once, and an error in two polls in a row."""
    check = ConsistencyCheck()
    for _ in range(2):
        check.accept(FLAT, [make_risk(amount=0.0)], risk_unavailable=False)
        check.accept(FLAT, AMOUNTS, risk_unavailable=False)
    check.accept(FLAT, (), risk_unavailable=False)
    check.accept(FLAT, AMOUNTS, risk_unavailable=False)
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"^result\.positions: .*v2/account\.position"):
            check.accept(FLAT, AMOUNTS, risk_unavailable=False)


def test_flat_status_contradicting_amounts_is_rejected_at_the_start() -> None:
    """Without a previous snapshot, a status without positions that contradicts amounts is rejected at once."""
    with pytest.raises(DecodeError):
        ConsistencyCheck().accept(FLAT, AMOUNTS, risk_unavailable=False)


OTHER = make_held(symbol="ETHUSDT")
RISKS = [make_risk(symbol, mark_price=1.0, liquidation_price=0.5) for symbol in ("BTCUSDT", "ETHUSDT")]


@pytest.mark.parametrize("rows", [[make_held()], [make_held(), make_position("ETHUSDT", amount=0.0)]])
def test_position_missing_from_the_status_is_rejected_at_the_second_poll(rows: list[Position]) -> None:
    """A position that is missing from the status keeps the last snapshot once, then fails the poll."""
    check = ConsistencyCheck()
    whole = make_snapshot([make_asset()], [make_held(), OTHER], RISKS, **make_figures())
    lost = make_snapshot([make_asset()], rows, RISKS, **make_figures())

    published = check.accept(whole, RISKS, risk_unavailable=False)
    assert published is check.accept(lost, RISKS, risk_unavailable=False)
    with pytest.raises(DecodeError, match="ETHUSDT"):
        check.accept(lost, RISKS, risk_unavailable=False)
    assert 1 == check.accept(lost, RISKS[:1], risk_unavailable=False).open_positions


def test_isolated_position_without_its_wallet_is_refused() -> None:
    """A position that was isolated and comes without the figures that say so is refused, not taken for cross."""
    check = ConsistencyCheck()
    isolated = make_snapshot(
        [make_asset()], [make_held(isolated_wallet_balance=5.0)], asset_mode=SINGLE, **make_figures()
    )
    check.accept(isolated, (), risk_unavailable=False)

    with pytest.raises(DecodeError, match="BTCUSDT"):
        check.accept(make_snapshot([make_asset()], [make_held()], **make_figures()), (), risk_unavailable=False)
    closed_and_cross = make_held(isolated_wallet_balance=0.0, isolated_margin=0.0)
    check.accept(make_snapshot([make_asset()], [closed_and_cross], **make_figures()), (), risk_unavailable=False)


def test_flat_status_contradicting_amounts_keeps_the_last_positions() -> None:
    """What was published before stays for the one poll that it takes to know better."""
    check = ConsistencyCheck()
    held = check.accept(HELD, AMOUNTS, risk_unavailable=False)

    assert held is check.accept(FLAT, AMOUNTS, risk_unavailable=False)
    assert () == check.accept(FLAT, [make_risk(amount=0.0)], risk_unavailable=False).held


COMPLETE = make_risk(mark_price=1.0, liquidation_price=0.5)


@pytest.mark.parametrize(
    ("missing", "risks"),
    [
        (0, [COMPLETE]),
        (0, [make_risk(mark_price=1.0, liquidation_price=0.0)]),
        (0, [make_risk(amount=0.5, mark_price=1.0, liquidation_price=0.0)]),
        (1, []),
        (1, [make_risk("ETHUSDT", mark_price=1.0, liquidation_price=0.5)]),
        (1, [make_risk(side="LONG", mark_price=1.0, liquidation_price=0.5)]),
        (1, [make_risk(liquidation_price=0.5)]),
        (1, [make_risk(mark_price=0.0, liquidation_price=0.5)]),
        (1, [make_risk(mark_price=1.0)]),
        (1, [make_risk(amount=-1.0, mark_price=1.0, liquidation_price=0.5)]),
        (1, [make_risk(amount=0.0, mark_price=1.0, liquidation_price=0.5)]),
    ],
)
def test_missing_risk_is_counted_at_the_second_poll(missing: int, risks: list[PositionRisk]) -> None:
    """A position of which a row, a price or the same sign is missing counts once two answers in a row lack it."""
    check = ConsistencyCheck()
    whole, lacking = (
        make_snapshot([make_asset()], [make_held()], rows, **make_figures()) for rows in ([COMPLETE], risks)
    )

    counted = [
        check.accept(snapshot, (), risk_unavailable=False).risk_missing
        for snapshot in (whole, lacking, lacking, whole, lacking)
    ]

    assert [0, 0, missing, 0, 0] == [len(names or ()) for names in counted]


def test_missing_risk_of_another_position_does_not_count_as_twice() -> None:
    """Two positions of which one and then the other lacks its risk are two races."""
    check = ConsistencyCheck()
    positions = [make_held(), make_held(symbol="ETHUSDT")]
    rows = [[COMPLETE], [make_risk("ETHUSDT", mark_price=1.0, liquidation_price=0.5)]]
    snapshots = [make_snapshot([make_asset()], positions, risks, **make_figures()) for risks in rows]

    assert [frozenset(), frozenset()] == [
        check.accept(snapshot, (), risk_unavailable=False).risk_missing for snapshot in snapshots
    ]


def test_every_position_lacks_risk_that_is_no_longer_offered() -> None:
    """Where the exchange no longer offers position risk each held position counts at once."""
    snapshot = make_snapshot([make_asset()], [make_held(), make_held(side="LONG")], [], **make_figures())

    assert 2 == len(ConsistencyCheck().accept(snapshot, (), risk_unavailable=True).risk_missing or ())


def test_risk_that_is_not_requested_is_not_missing() -> None:
    """With position risk switched off it is not known what is missing."""
    assert ConsistencyCheck().accept(HELD, (), risk_unavailable=False).risk_missing is None
