"""The catalog of account metrics: the name, help, labels, source and value of each family.

To add a metric, add an entry. The families of a group share rows and labels, so that no entry can omit a label. The
exposition, the reference and the tests read this catalog and `self_catalog`, and do not name metrics themselves.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from exporter.account.margin import cross_pools, isolated_pools
from exporter.account.snapshot import liquidation_price
from exporter.binance.messages import Method
from exporter.binance.rows import FIGURES, AccountStatus, AssetBalance, Position, PositionRisk, wire_name
from exporter.metrics.configuration_catalog import CONFIGURATION_GROUPS
from exporter.metrics.model import Catalog, Family, Group, number, single_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    import msgspec

    from exporter.account.margin import CrossPool, IsolatedPool
    from exporter.account.snapshot import AccountSnapshot


def _figure_families(
    prefix: str, row: type[msgspec.Struct], source: str, descriptions: dict[str, str]
) -> tuple[Family, ...]:
    return tuple(
        Family(f"{prefix}_{name}", description, f"{wire_name(row, name)} of {source}", attrgetter(name))
        for name, description in descriptions.items()
    )


def _update_timestamp(prefix: str, row: type[msgspec.Struct], source: str, subject: str) -> Family:
    def read(row: AssetBalance | Position) -> float | None:
        # 0 means never; exported as 1970 it would be a false number.
        return row.update_time_ms / 1000 if row.update_time_ms else None

    description = f"Unix timestamp of the last update of the {subject} by the exchange; absent if reported as 0"
    return Family(
        f"{prefix}_update_timestamp_seconds", description, f"{wire_name(row, 'update_time_ms')} of {source}", read
    )


def _symbol_and_side(
    _snapshot: AccountSnapshot, rows: Sequence[Position | PositionRisk | IsolatedPool]
) -> list[tuple[str, ...]]:
    return [(row.position_side, row.symbol) for row in rows]


def _shown_assets(snapshot: AccountSnapshot) -> Sequence[AssetBalance]:
    hidden = snapshot.hidden_assets
    return [row for row in snapshot.assets if row.asset not in hidden] if hidden else snapshot.assets


def _shown_cross_pools(snapshot: AccountSnapshot) -> list[CrossPool]:
    return [pool for pool in cross_pools(snapshot) if pool.margin_asset not in snapshot.hidden_assets]


_STATUS: Final = str(Method.ACCOUNT_STATUS)
_DESCRIPTIONS: Final = {
    "wallet_balance": "Wallet balance",
    "unrealized_pnl": "Unrealized profit and loss of all positions",
    "margin_balance": "Margin balance: wallet balance plus unrealized profit and loss",
    "available_balance": "Balance available for new positions",
    "max_withdraw_amount": "Maximum withdrawable amount",
    "initial_margin": "Initial margin required by positions and open orders",
    "maintenance_margin": "Maintenance margin required by positions",
    "position_initial_margin": "Initial margin required by positions at the mark price",
    "open_order_initial_margin": "Initial margin required by open orders at the mark price",
    "cross_wallet_balance": "Wallet balance of the cross margin pool",
    "cross_unrealized_pnl": "Unrealized profit and loss of cross positions",
}
_POSITION_DESCRIPTIONS: Final = {
    "amount": "Position size in the base asset, negative for short positions",
    "notional": "Position value at the mark price in the margin asset, negative for short positions",
    "unrealized_pnl": "Unrealized profit and loss of the position in the margin asset",
    "initial_margin": "Initial margin required by the position and its open orders, in the margin asset",
    "maintenance_margin": "Maintenance margin required by the position, in the margin asset",
    "isolated_margin": "Isolated margin including unrealized profit and loss, in the margin asset; 0 if cross",
    "isolated_wallet_balance": "Wallet balance allocated to the isolated position, in the margin asset; 0 if cross",
}
_OPEN_ORDER_DESCRIPTIONS: Final = {
    "open_order_initial_margin": "Initial margin required by open orders of the symbol, in the margin asset",
    "bid_notional": "Notional value of open buy orders in the margin asset",
    "ask_notional": "Notional value of open sell orders in the margin asset",
}
_RATIO_SCALE: Final = "higher is worse, 1 is liquidation, 0 means that no maintenance margin is required"
_TOTALS: Final = "USDT only in single-asset mode, all assets in USD in multi-assets mode"
_RISK: Final = str(Method.ACCOUNT_POSITION)
_ACCOUNT: Final = "binance_futures_account"
_ASSET: Final = "binance_futures_asset"
_POSITION: Final = "binance_futures_position"
_ASSET_ROWS: Final = f"assets[] of {_STATUS}"
_ASSET_AVAILABLE_BALANCE: Final = (
    f"{_DESCRIPTIONS['available_balance']} per asset, in units of the asset; in multi-assets mode it is that of the "
    "whole account and must not be summed over assets"
)
_POSITION_ROWS: Final = f"positions[] of {_STATUS}"

GROUPS: Final = (
    Group(
        ("currency",),
        lambda snapshot: (snapshot.totals,),
        lambda snapshot, _: [(snapshot.currency,)],
        _figure_families(
            _ACCOUNT, AccountStatus, _STATUS, {name: f"{_DESCRIPTIONS[name]}; {_TOTALS}" for name in FIGURES}
        ),
    ),
    single_row(
        Family(
            f"{_ACCOUNT}_open_positions",
            "Number of open positions, counted by symbol and side; 0 if there are none",
            f"rows with a non-zero positionAmt in {_POSITION_ROWS}",
            number("open_positions"),
        )
    ),
    Group(
        ("asset",),
        _shown_assets,
        lambda _, rows: [(row.asset,) for row in rows],
        (
            *_figure_families(
                _ASSET,
                AssetBalance,
                _ASSET_ROWS,
                {name: f"{_DESCRIPTIONS[name]} per asset, in units of the asset" for name in FIGURES}
                | {"available_balance": _ASSET_AVAILABLE_BALANCE},
            ),
            Family(
                f"{_ASSET}_margin_available",
                "Whether the asset can be used as margin in multi-assets mode (1) or not (0); absent if not reported",
                f"{wire_name(AssetBalance, 'margin_available')} of {_ASSET_ROWS}",
                number("margin_available"),
            ),
            _update_timestamp(_ASSET, AssetBalance, _ASSET_ROWS, "asset"),
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
                _POSITION_DESCRIPTIONS,
            ),
            _update_timestamp(_POSITION, Position, _POSITION_ROWS, "position"),
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
                    "entry_price": "Average entry price of the position",
                    "break_even_price": "Break-even price of the position, including fees",
                    "mark_price": "Mark price of the symbol",
                },
            ),
            Family(
                f"{_POSITION}_liquidation_price",
                "Liquidation price reported by Binance; absent if there is none",
                f"{wire_name(PositionRisk, 'liquidation_price')} of {_RISK}",
                liquidation_price,
            ),
            Family(
                f"{_POSITION}_adl_quantile",
                "Auto-deleveraging (ADL) quantile from 0 to 4, higher is deleveraged earlier; absent if not reported",
                f"{wire_name(PositionRisk, 'adl_quantile')} of {_RISK}",
                number("adl_quantile"),
            ),
            *_figure_families(
                _POSITION,
                PositionRisk,
                _RISK,
                _OPEN_ORDER_DESCRIPTIONS,
            ),
        ),
    ),
    single_row(
        Family(
            f"{_POSITION}_risk_missing",
            "Number of positions without a mark or liquidation price in two consecutive responses; absent if position "
            "risk is not requested",
            f"markPrice and liquidationPrice of {_RISK}",
            lambda snapshot: None if snapshot.risk_missing is None else float(len(snapshot.risk_missing)),
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
                "Margin asset and margin type of the position; always 1",
                f"marginAsset of {_RISK}, or derived from the symbol; isolatedWallet of {_POSITION_ROWS}",
                lambda _: 1.0,
                "info",
            ),
        ),
    ),
    Group(
        ("margin_asset",),
        _shown_cross_pools,
        lambda _, pools: [(pool.margin_asset,) for pool in pools],
        (
            Family(
                "binance_futures_cross_margin_ratio",
                "Margin ratio of the cross margin pool: maintenance margin of its positions / (crossWalletBalance + "
                f"crossUnPnl), or totalMaintMargin / totalMarginBalance in multi-assets mode; {_RATIO_SCALE}",
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
                "Margin ratio of the isolated position: maintMargin / (isolatedWallet + unrealizedProfit); "
                f"{_RATIO_SCALE}",
                _STATUS,
                attrgetter("ratio"),
            ),
        ),
    ),
    *CONFIGURATION_GROUPS,
)

ACCOUNTS: Final = Catalog("account", GROUPS)
