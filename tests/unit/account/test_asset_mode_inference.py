"""The asset mode that is inferred from an account's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.builders import make_asset, make_figures, make_position, make_status

from exporter.account.asset_mode import AssetMode, infer_asset_mode
from exporter.account.snapshot import build_snapshot
from exporter.binance.rows import FIGURES

if TYPE_CHECKING:
    from exporter.binance.rows import Position

ETH = make_position("ETHUSDT")
USDT = make_asset("USDT")


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

    assert AssetMode.SINGLE is infer_asset_mode(status)
    assert mode is infer_asset_mode(differing)


def test_equal_totals_mean_single_mode() -> None:
    """Totals that are the USDT row's own figures are those of single-asset mode, whatever other assets hold."""
    status = make_status([make_asset("BNB", **make_figures(50.0)), make_asset(**make_figures())], **make_figures())

    assert AssetMode.SINGLE is infer_asset_mode(status)


@pytest.mark.parametrize("name", FIGURES)
def test_each_total_alone_means_multi_mode(name: str) -> None:
    """One of the eleven totals that is not the USDT row's own is enough for multi-assets mode."""
    own = make_figures()
    status = make_status([make_asset(**own)], **{**own, name: own[name] + 1e-8})

    assert AssetMode.MULTI is infer_asset_mode(status)


@pytest.mark.parametrize("name", FIGURES)
def test_missing_figures_prove_nothing(name: str) -> None:
    """A figure that is missing among the totals or in the USDT row is not a difference."""
    own = make_figures()
    of_totals = make_status([make_asset(**own)], **{**own, name: None})
    of_row = make_status([make_asset(**{**own, name: None})], **own)

    assert AssetMode.SINGLE is infer_asset_mode(of_totals)
    assert AssetMode.SINGLE is infer_asset_mode(of_row)


@pytest.mark.parametrize("name", FIGURES)
def test_without_usdt_row_totals_must_be_zero(name: str) -> None:
    """Without a USDT row, single-asset mode's totals are all zero."""
    zeros: dict[str, Any] = dict.fromkeys(FIGURES, 0.0)
    bnb = make_asset("BNB", **make_figures())

    assert AssetMode.SINGLE is infer_asset_mode(make_status([bnb], **zeros))
    assert AssetMode.MULTI is infer_asset_mode(make_status([bnb], **{**zeros, name: -1.0}))
