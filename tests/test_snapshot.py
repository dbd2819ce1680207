"""Snapshots from answers: what is refused, which mode an account is in, what counts as open; and states of polling."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from builders import make_asset, make_figures, make_position, make_snapshot, make_state, make_status

from exporter.account.snapshot import FIGURES, AssetMode, build_snapshot, tell_asset_mode
from exporter.binance.errors import DecodeError

if TYPE_CHECKING:
    from exporter.binance.messages import AssetBalance, Position

BTC, ETH = make_position("BTCUSDT"), make_position("ETHUSDT")
USDT, BNB = make_asset("USDT"), make_asset("BNB")


def test_snapshot_keeps_the_answer_whole() -> None:
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
        ([USDT, BNB, USDT], [], "result.assets[2]", "result.assets[2]: is the same row as result.assets[0]"),
        ([USDT], [ETH, BTC, BTC], "result.positions[2]", "result.positions[2]: is the same row as result.positions[1]"),
        (
            [],
            [make_position(side="LONG", amount=1.0), make_position(side="LONG", amount=2.0)],
            "result.positions[1]",
            "result.positions[1]: is the same row as result.positions[0]",
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


def test_long_and_short_of_a_symbol_are_two_positions() -> None:
    """In hedge mode a symbol has a row for each side."""
    rows = [make_position(side=side) for side in ("LONG", "SHORT", "BOTH")]

    assert make_snapshot(positions=rows).open_positions == 3


@pytest.mark.parametrize(
    ("amounts", "open_positions"), [([], 0), ([0.0], 0), ([-0.0], 0), ([0.0, -1.5, 5e-324], 2), ([1.0, 0.0], 1)]
)
def test_rows_of_orders_alone_are_not_open(amounts: list[float], open_positions: int) -> None:
    """Only rows with an amount, long or short, count as open positions; the others are kept."""
    snapshot = make_snapshot(positions=[make_position(f"S{i}USDT", amount=amount) for i, amount in enumerate(amounts)])

    assert open_positions == snapshot.open_positions
    assert len(amounts) == len(snapshot.positions)


@pytest.mark.parametrize("total", [1.0, 2.0])
@pytest.mark.parametrize(("mode", "currency"), [(AssetMode.SINGLE, "USDT"), (AssetMode.MULTI, "USD")])
def test_configured_mode_wins(mode: AssetMode, currency: str, total: float) -> None:
    """The configuration decides the mode whatever the figures say, and the mode the currency."""
    isolated = make_position(isolated_margin=1.0)
    status = make_status([make_asset(wallet_balance=1.0)], [isolated], wallet_balance=total)

    snapshot = build_snapshot(status, asset_mode=mode, asked_at=0.0, answered_at=0.0)

    assert mode is snapshot.asset_mode
    assert currency == snapshot.currency


@pytest.mark.parametrize(
    ("position", "mode"),
    [
        (make_position(isolated_margin=0.5), AssetMode.SINGLE),
        (make_position(isolated_wallet_balance=0.5, amount=-1.0), AssetMode.SINGLE),
        (make_position(isolated_margin=-0.5, isolated_wallet_balance=0.0), AssetMode.SINGLE),
        (make_position(isolated_margin=0.0, isolated_wallet_balance=0.0), AssetMode.MULTI),
        (make_position(), AssetMode.MULTI),
        (make_position(isolated_margin=0.5, isolated_wallet_balance=0.5, amount=0.0), AssetMode.MULTI),
    ],
)
def test_isolated_position_proves_single_mode(position: Position, mode: AssetMode) -> None:
    """An isolated position, not mere orders, outweighs totals that differ from the USDT row."""
    status = make_status([USDT], [ETH, position], wallet_balance=1.0)
    differing = make_status([make_asset(wallet_balance=2.0)], [ETH, position], wallet_balance=1.0)

    assert AssetMode.SINGLE is tell_asset_mode(status)
    assert mode is tell_asset_mode(differing)


def test_equal_totals_mean_single_mode() -> None:
    """Totals that are the USDT row's own figures are those of single-asset mode, whatever other assets hold."""
    status = make_status([make_asset("BNB", **make_figures(50.0)), make_asset(**make_figures())], **make_figures())

    assert AssetMode.SINGLE is tell_asset_mode(status)


@pytest.mark.parametrize("name", FIGURES)
def test_each_total_alone_means_multi_mode(name: str) -> None:
    """One of the eleven totals that is not the USDT row's own is enough for multi-assets mode."""
    own = make_figures()
    status = make_status([make_asset(**own)], **{**own, name: own[name] + 1e-8})

    assert AssetMode.MULTI is tell_asset_mode(status)


@pytest.mark.parametrize("name", FIGURES)
def test_missing_figures_prove_nothing(name: str) -> None:
    """A figure that is missing among the totals or in the USDT row is not a difference."""
    own = make_figures()
    of_totals = make_status([make_asset(**own)], **{**own, name: None})
    of_row = make_status([make_asset(**{**own, name: None})], **own)

    assert AssetMode.SINGLE is tell_asset_mode(of_totals)
    assert AssetMode.SINGLE is tell_asset_mode(of_row)


@pytest.mark.parametrize("name", FIGURES)
def test_without_usdt_row_totals_must_be_zero(name: str) -> None:
    """Where there is no USDT row, single-asset mode's totals are all zero."""
    zeros: dict[str, Any] = dict.fromkeys(FIGURES, 0.0)
    bnb = make_asset("BNB", **make_figures())

    assert AssetMode.SINGLE is tell_asset_mode(make_status([bnb], **zeros))
    assert AssetMode.MULTI is tell_asset_mode(make_status([bnb], **{**zeros, name: -1.0}))


def test_nothing_is_fresh_before_the_first_answer() -> None:
    """An account that has never been answered is neither fresh nor up."""
    state = make_state()

    assert float("-inf") == state.stale_at
    assert not state.fresh(0.0)
    assert not state.up(0.0)


@pytest.mark.parametrize(("now", "fresh"), [(1000.0, True), (1059.999, True), (1060.0, False), (2000.0, False)])
@pytest.mark.parametrize("succeeded", [True, False])
def test_figures_are_fresh_until_they_are_stale(*, now: float, fresh: bool, succeeded: bool) -> None:
    """Figures are shown until they are stale_after old, and up is 1 only while they are."""
    state = make_state(answered_at=1000.0, stale_after_seconds=60.0)
    state.last_poll_succeeded = succeeded

    assert fresh is state.fresh(now)
    assert (fresh and succeeded) is state.up(now)


def test_stretch_moves_interval_and_staleness_alike() -> None:
    """The weight plan's factor applies to the settings, not to the last factor's outcome."""
    state = make_state(answered_at=1000.0, interval_seconds=15.0, stale_after_seconds=60.0)

    state.stretch(4.0)
    state.stretch(2.0)

    assert (state.interval_seconds, state.stale_after_seconds) == (30.0, 120.0)
    assert state.stale_at == 1120.0
