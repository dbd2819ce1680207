"""Single-asset and multi-assets mode, and how to infer an account's mode from its figures."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from exporter.binance.rows import FIGURES

if TYPE_CHECKING:
    from exporter.binance.rows import AccountStatus


class AssetMode(StrEnum):
    """What an account's totals mean; v2 responses do not contain it."""

    SINGLE = "single"  # each margin asset is separate; totals are those of USDT
    MULTI = "multi"  # all assets together; totals are in USD


def infer_asset_mode(status: AccountStatus) -> AssetMode:
    """Infer the mode from the figures: isolated positions exist only in single-asset mode, else the totals decide."""
    return AssetMode.SINGLE if proves_single_mode(status) else infer_mode_from_totals(status)


def proves_single_mode(status: AccountStatus) -> bool:
    """Whether an isolated position proves single-asset mode."""
    return any(row.is_isolated for row in status.positions)


def infer_mode_from_totals(status: AccountStatus) -> AssetMode:
    """Infer the mode from the totals, which is the least reliable way.

    The account is in single-asset mode if and only if each total equals the figure of the USDT asset (0 without a USDT
    row). A missing figure proves nothing.
    """
    usdt = next((row for row in status.assets if row.asset == "USDT"), None)
    for name in FIGURES:
        total, usdt_figure = getattr(status, name), getattr(usdt, name) if usdt else 0.0
        if total is not None and usdt_figure is not None and total != usdt_figure:
            return AssetMode.MULTI
    return AssetMode.SINGLE
