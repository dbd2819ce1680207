"""The margin pool of multi-assets mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import make_position
from support.margin import cents, crosses, snapshot_of, stakes, wallets

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import margin_ratio

if TYPE_CHECKING:
    from exporter.binance.rows import AssetBalance


@given(wallets(), st.lists(stakes, max_size=4), stakes, cents)
def test_one_pool_by_the_totals(assets: list[AssetBalance], at_stake: list[float], stake: float, equity: float) -> None:
    """There is one pool, in USD, whose ratio is that of the totals, whatever the rows say."""
    positions = [make_position(f"S{n}EUR", maintenance_margin=stake) for n, stake in enumerate(at_stake)]
    totals = {"maintenance_margin": stake, "margin_balance": equity}

    assert {"USD": margin_ratio(stake, equity)} == crosses(snapshot_of(assets, positions, AssetMode.MULTI, **totals))


@pytest.mark.parametrize("missing", ["maintenance_margin", "margin_balance"])
def test_missing_total_is_unknown(missing: str) -> None:
    """Without one of the two totals there is no ratio."""
    totals = {"maintenance_margin": 8.0, "margin_balance": 80.0, missing: None}

    assert {"USD": None} == crosses(snapshot_of([], [], AssetMode.MULTI, **totals))
