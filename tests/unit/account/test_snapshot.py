"""Snapshots: what they keep of a response, and the rows that are rejected or not counted."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import pytest
from support.builders import make_asset, make_figures, make_position, make_risk, make_snapshot, make_status

from exporter.account.snapshot import build_snapshot
from exporter.binance.errors import DecodeError

if TYPE_CHECKING:
    from exporter.binance.rows import AssetBalance, Position

BTC, ETH = make_position("BTCUSDT"), make_position("ETHUSDT")
USDT, BNB = make_asset("USDT"), make_asset("BNB")


def test_snapshot_keeps_the_whole_response() -> None:
    """Totals, rows and times of an answer are in its snapshot, in the exchange's order."""
    status = make_status([USDT, BNB], [ETH, BTC], **make_figures())

    snapshot = build_snapshot(status, asked_at=1.5, answered_at=2.5)

    assert status is snapshot.totals
    assert snapshot.assets == (USDT, BNB)
    assert snapshot.positions == (ETH, BTC)
    assert (snapshot.asked_at, snapshot.answered_at) == (1.5, 2.5)


def test_snapshot_is_frozen() -> None:
    """Nobody can change a snapshot that others read."""
    snapshot = make_snapshot()

    with pytest.raises(FrozenInstanceError):
        snapshot.answered_at = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assets", "positions", "path", "text"),
    [
        ([USDT, BNB, USDT], [], "result.assets[2]", "result.assets[2]: duplicates result.assets[0]"),
        ([USDT], [ETH, BTC, BTC], "result.positions[2]", "result.positions[2]: duplicates result.positions[1]"),
        (
            [],
            [make_position(side="LONG", amount=1.0), make_position(side="LONG", amount=2.0)],
            "result.positions[1]",
            "result.positions[1]: duplicates result.positions[0]",
        ),
    ],
)
def test_rows_with_one_identity_are_refused(
    assets: list[AssetBalance], positions: list[Position], path: str, text: str
) -> None:
    """Two rows of one asset, or of one symbol and side, fail with the path of the second."""
    with pytest.raises(DecodeError) as caught:
        make_snapshot(assets, positions)

    assert path == caught.value.path
    assert text == str(caught.value)


def test_risk_rows_with_one_identity_are_refused() -> None:
    """Two risk rows of one symbol and side fail with the path of the second, also where the status has none."""
    with pytest.raises(DecodeError) as caught:
        make_snapshot([USDT], [ETH], [make_risk("BTCUSDT"), make_risk("BTCUSDT", amount=2.0)])

    assert "result[1]" == caught.value.path
    assert "result[1]: duplicates result[0]" == str(caught.value)


def test_long_and_short_of_a_symbol_are_two_positions() -> None:
    """In hedge mode a symbol has a row for each side."""
    rows = [make_position(side=side) for side in ("LONG", "SHORT", "BOTH")]

    assert make_snapshot(positions=rows).open_positions == 3


@pytest.mark.parametrize(
    ("amounts", "open_positions"), [([], 0), ([0.0], 0), ([-0.0], 0), ([0.0, -1.5, 5e-324], 2), ([1.0, 0.0], 1)]
)
def test_rows_with_only_open_orders_are_not_open(amounts: list[float], open_positions: int) -> None:
    """Only rows with an amount, long or short, count as open positions; the others are kept."""
    snapshot = make_snapshot(positions=[make_position(f"S{i}USDT", amount=amount) for i, amount in enumerate(amounts)])

    assert open_positions == snapshot.open_positions
    assert len(amounts) == len(snapshot.positions)
