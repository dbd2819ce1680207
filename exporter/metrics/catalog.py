"""The catalog of the accounts' metrics: the name, help, labels, source and value of each family.

To add a metric, add an entry. The families of a group share rows and labels, so that no entry can omit a label. The
exposition, the reference and the tests read this catalog and that of the exporter's own families (`self_catalog`), and
do not name metrics themselves.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from exporter.account.margin import cross_pools, isolated_pools
from exporter.account.snapshot import FIGURES, liquidation_price
from exporter.binance.messages import Method
from exporter.binance.rows import AccountStatus, AssetBalance, Position, PositionRisk, wire_name
from exporter.metrics.family import Family, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    import msgspec

    from exporter.account.margin import IsolatedPool
    from exporter.account.snapshot import AccountSnapshot


def _figure_families(prefix: str, row: type[msgspec.Struct], source: str, names: dict[str, str]) -> tuple[Family, ...]:
    return tuple(
        Family(f"{prefix}_{name}", description, f"{wire_name(row, name)} of {source}", attrgetter(name))
        for name, description in names.items()
    )


def _snapshot_group(family: Family) -> Group:
    """Return the group of a family with a single value for the whole account."""
    return Group((), lambda snapshot: (snapshot,), lambda *_: [()], (family,))


def _update_timestamp(prefix: str, row: type[msgspec.Struct], source: str) -> Family:
    def read(row: AssetBalance | Position) -> float | None:
        # 0 means never; exported as 1970 it would be a false number.
        return row.update_time_ms / 1000 if row.update_time_ms else None

    description = "When the exchange last changed these figures, in Unix seconds; absent where it says 0"
    return Family(
        f"{prefix}_update_timestamp_seconds", description, f"{wire_name(row, 'update_time_ms')} of {source}", read
    )


def _symbol_and_side(
    _snapshot: AccountSnapshot, rows: Sequence[Position | PositionRisk | IsolatedPool]
) -> list[tuple[str, ...]]:
    return [(row.position_side, row.symbol) for row in rows]


def _margin_available(row: AssetBalance) -> float | None:
    return None if row.margin_available is None else float(row.margin_available)


_STATUS: Final = str(Method.ACCOUNT_STATUS)
_DESCRIPTIONS: Final = {
    "wallet_balance": "Wallet balance",
    "unrealized_pnl": "Unrealized profit and loss of all positions",
    "margin_balance": "Margin balance: wallet balance plus unrealized profit and loss",
    "available_balance": "Balance available for new positions",
    "max_withdraw_amount": "Most that can be transferred out",
    "initial_margin": "Initial margin required by positions and open orders",
    "maintenance_margin": "Maintenance margin required by positions",
    "position_initial_margin": "Initial margin required by positions at the mark price",
    "open_order_initial_margin": "Initial margin required by open orders at the mark price",
    "cross_wallet_balance": "Wallet balance of the cross margin pool",
    "cross_unrealized_pnl": "Unrealized profit and loss of cross positions",
}
_RISK: Final = str(Method.ACCOUNT_POSITION)
_ACCOUNT: Final = "binance_futures_account"
_ASSET: Final = "binance_futures_asset"
_POSITION: Final = "binance_futures_position"
_ASSET_ROWS: Final = f"assets[] of {_STATUS}"
_POSITION_ROWS: Final = f"positions[] of {_STATUS}"

GROUPS: Final = (
    Group(
        ("currency",),
        lambda snapshot: (snapshot.totals,),
        lambda snapshot, _: [(snapshot.currency,)],
        _figure_families(
            _ACCOUNT, AccountStatus, _STATUS, {name: f"{_DESCRIPTIONS[name]}, of the whole account" for name in FIGURES}
        ),
    ),
    _snapshot_group(
        Family(
            f"{_ACCOUNT}_open_positions",
            "Symbols and sides with a position, 0 when flat",
            f"rows with a non-zero positionAmt in {_POSITION_ROWS}",
            lambda snapshot: float(snapshot.open_positions),
        )
    ),
    Group(
        ("asset",),
        lambda snapshot: snapshot.assets,
        lambda _, rows: [(row.asset,) for row in rows],
        (
            *_figure_families(
                _ASSET, AssetBalance, _ASSET_ROWS, {name: f"{_DESCRIPTIONS[name]}, in the asset" for name in FIGURES}
            ),
            Family(
                f"{_ASSET}_margin_available",
                "Whether the asset serves as margin in multi-assets mode (0 or 1); absent where not sent",
                f"{wire_name(AssetBalance, 'margin_available')} of {_ASSET_ROWS}",
                _margin_available,
            ),
            _update_timestamp(_ASSET, AssetBalance, _ASSET_ROWS),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        lambda snapshot: snapshot.positions,
        _symbol_and_side,
        (
            *_figure_families(
                _POSITION,
                Position,
                _POSITION_ROWS,
                {
                    "amount": "Size of the position in the base asset, negative when short",
                    "notional": "Value of the position at the mark price, negative when short",
                    "unrealized_pnl": "Unrealized profit and loss of the position",
                    "initial_margin": "Initial margin required by the position and its open orders",
                    "maintenance_margin": "Maintenance margin required by the position",
                    "isolated_margin": "Isolated margin including unrealized profit and loss, 0 when cross",
                    "isolated_wallet_balance": "Wallet balance set apart for the isolated position, 0 when cross",
                },
            ),
            _update_timestamp(_POSITION, Position, _POSITION_ROWS),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        lambda snapshot: snapshot.risks,
        _symbol_and_side,
        (
            *_figure_families(
                _POSITION,
                PositionRisk,
                _RISK,
                {
                    "entry_price": "Average entry price",
                    "break_even_price": "Price at which the position breaks even, fees included",
                    "mark_price": "Mark price",
                },
            ),
            Family(
                f"{_POSITION}_liquidation_price",
                "Binance's own liquidation price, absent where there is none",
                f"{wire_name(PositionRisk, 'liquidation_price')} of {_RISK}",
                liquidation_price,
            ),
            Family(
                f"{_POSITION}_adl_quantile",
                "Place in the auto-deleveraging queue, 0 to 4, higher is deleveraged earlier; absent where not sent",
                f"{wire_name(PositionRisk, 'adl_quantile')} of {_RISK}",
                lambda row: None if row.adl_quantile is None else float(row.adl_quantile),
            ),
            *_figure_families(
                _POSITION,
                PositionRisk,
                _RISK,
                {
                    "open_order_initial_margin": "Initial margin required by the symbol's open orders",
                    "bid_notional": "Value of the open buy orders",
                    "ask_notional": "Value of the open sell orders",
                },
            ),
        ),
    ),
    _snapshot_group(
        Family(
            f"{_POSITION}_risk_missing",
            "Positions without a mark or liquidation price in two answers in a row; absent if not asked for",
            f"markPrice and liquidationPrice of {_RISK}",
            lambda snapshot: None if snapshot.without_risk is None else float(len(snapshot.without_risk)),
        )
    ),
    Group(
        ("margin_asset", "margin_type", "position_side", "symbol"),
        lambda snapshot: [position for position in snapshot.held if position.margin_asset is not None],
        lambda _, positions: [
            (
                position.margin_asset,
                position.margin_type,
                position.row.position_side,
                position.row.symbol,
            )
            for position in positions
        ],
        (
            Family(
                f"{_POSITION}_info",
                "What the position's money is counted in and its kind of margin, always 1",
                f"marginAsset of {_RISK}, else the asset that the symbol ends with; isolatedWallet of {_POSITION_ROWS}",
                lambda _: 1.0,
            ),
        ),
    ),
    Group(
        ("margin_asset",),
        cross_pools,
        lambda _, pools: [(pool.margin_asset,) for pool in pools],
        (
            Family(
                "binance_futures_cross_margin_ratio",
                "Margin ratio of the cross pool: maintenance margin of its positions / (crossWalletBalance + "
                "crossUnPnl), in multi-assets mode totalMaintMargin / totalMarginBalance; high is bad, 1 is "
                "liquidation, 0 is nothing at stake",
                _STATUS,
                attrgetter("ratio"),
            ),
        ),
    ),
    Group(
        ("position_side", "symbol"),
        isolated_pools,
        _symbol_and_side,
        (
            Family(
                "binance_futures_isolated_margin_ratio",
                "Margin ratio of the isolated position: maintMargin / (isolatedWallet + unrealizedProfit); high is "
                "bad, 1 is liquidation, 0 is nothing at stake",
                _STATUS,
                attrgetter("ratio"),
            ),
        ),
    ),
)
