"""Assets without series: those that have been zero since the start, if `zero_assets` is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.builders import make_asset, make_position, make_risk, make_snapshot, samples
from support.polling import Polled, connected

from exporter.account.zero_assets import ZeroAssets
from exporter.binance.rows import FIGURES
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.text import render

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange

ZERO = dict.fromkeys(FIGURES, 0.0)


@pytest.mark.parametrize("figure", FIGURES)
def test_any_figure_of_its_own_shows_an_asset(figure: str) -> None:
    """An asset is shown for any figure that is not 0, except two that may be the whole account's."""
    account_wide = figure in {"available_balance", "max_withdraw_amount"}
    for value in (0.00000001, -5.0, None):
        hidden = ZeroAssets().find(make_snapshot([make_asset("BTC", **ZERO | {figure: value})]))
        assert hidden == ({"BTC"} if account_wide else set())


def test_asset_that_was_used_stays() -> None:
    """An asset that was not zero once is shown from then on, so that its fall to 0 is seen."""
    zero_assets = ZeroAssets()
    unused, used = make_asset("BTC", **ZERO), make_asset("BTC", **ZERO | {"wallet_balance": 1.0})

    assert [{"BTC"}, set(), set()] == [zero_assets.find(make_snapshot([row])) for row in (unused, used, unused)]


def test_asset_of_a_position_is_shown() -> None:
    """An asset in which a position is held is shown although its row has only zeros: its pool is at risk."""
    snapshot = make_snapshot([make_asset("USDT", **ZERO)], [make_position()], [make_risk(margin_asset="USDT")])

    assert set() == ZeroAssets().find(snapshot)


@pytest.mark.parametrize("zero_assets", [True, False])
async def test_series_of_unused_assets(exchange: SimulatedExchange, *, zero_assets: bool) -> None:
    """Without `zero_assets` neither an unused asset nor its empty margin pool has series; a used one keeps them."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, zero_assets=zero_assets)
        exchange.account("alice").deposit("BTC", "1")
        await polled.poll()
        exchange.account("alice").deposit("BTC", "-1")
        await polled.poll()
    exposed = samples(b"".join(render(ACCOUNTS, polled.snapshots[-1], "alice").fragments))

    wallets = {
        name.split('asset="')[1][:-2]: value
        for name, value in exposed.items()
        if name.startswith("binance_futures_asset_wallet_balance")
    }
    pools = {name.split('margin_asset="')[1][:-2] for name in exposed if "cross_margin_ratio" in name}
    assert 0.0 == wallets["BTC"]
    assert pools == set(wallets)
    assert ({"BTC", "USDT"} == set(wallets)) is not zero_assets
    assert {row.asset for row in polled.snapshots[-1].assets} > {"BTC", "USDT"}
