"""Accounts with margin pools, fixed or random, and the ratios of their pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools, isolated_pools
from support.builders import make_asset, make_position, make_snapshot

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import AssetBalance, Position

ASSETS = ("USDT", "USDC", "BTC")
# Money in hundredths. Integers, since hypothesis draws decimals ten times slower.
cents = st.integers(-(10**8), 10**8).map(lambda hundredths: hundredths / 100)
gains = st.integers(0, 10**8).map(lambda hundredths: hundredths / 100)
stakes = st.just(0.0) | st.integers(1, 10**8).map(lambda hundredths: hundredths / 100)


def crosses(snapshot: AccountSnapshot) -> dict[str, float | None]:
    """Return the ratios of the cross pools by margin asset."""
    return {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}


def isolated(snapshot: AccountSnapshot) -> dict[tuple[str, str], float | None]:
    """Return the ratios of the isolated positions."""
    return {(pool.symbol, pool.position_side): pool.ratio for pool in isolated_pools(snapshot)}


def make_wallet(asset: str = "USDT", wallet: float = 0.0, profit: float = 0.0) -> AssetBalance:
    """Return an asset with a cross wallet."""
    return make_asset(asset, cross_wallet_balance=wallet, cross_unrealized_pnl=profit)


def make_isolated(symbol: str, wallet: float, profit: float, stake: float, **fields: Any) -> Position:
    """Return an isolated position."""
    return make_position(
        symbol, isolated_wallet_balance=wallet, unrealized_pnl=profit, maintenance_margin=stake, **fields
    )


@st.composite
def wallets(draw: st.DrawFn) -> list[AssetBalance]:
    """Draw an account's assets."""
    return [make_wallet(asset, draw(cents), draw(cents)) for asset in ASSETS]


@st.composite
def rows(draw: st.DrawFn) -> list[Position]:
    """Draw positions in any of the assets, cross and isolated, long and short, and rows with only open orders."""
    positions = []
    for number in range(draw(st.integers(0, 6))):
        wallet = draw(st.just(0.0) | gains)
        positions.append(
            make_isolated(
                f"S{number}{draw(st.sampled_from(ASSETS))}",
                wallet,
                draw(cents),
                draw(stakes),
                amount=draw(st.sampled_from([-1.5, 0.0, 0.25])),
                isolated_margin=wallet,
            )
        )
    return positions


def snapshot_of(
    assets: list[AssetBalance], positions: list[Position], mode: AssetMode = AssetMode.SINGLE, **totals: Any
) -> AccountSnapshot:
    """Return a snapshot whose mode is known."""
    return make_snapshot(assets, positions, asset_mode=mode, **totals)
