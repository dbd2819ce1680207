"""Recording rules: one series for each account, pool or position, regardless of which exporter polls it.

Only such series are added up, and amounts in different assets are never added: sums keep `margin_asset`.
"""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from monitoring import promql
from monitoring.promql import block
from monitoring.rules.conditions import liquidation_near, margin_ratio_high
from monitoring.rules.income import INCOME
from monitoring.rules.rule import (
    ACCOUNT,
    COINS,
    DOLLARS,
    EXPECTED,
    HOLD,
    INSTANCE,
    LABELS,
    OPEN_POSITION,
    POOL,
    POSITION,
    Recording,
    RuleGroup,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

RISK_LEVEL: Final = "account:binance_futures_risk_level:max"
AT_STAKE: Final = "pool:binance_futures_wallet_at_stake:max"

# Accounts with data: `up` alone says nothing about their risk.
_POLLED: Final = "(account:binance_futures_open_positions:max or account:binance_futures_margin_ratio:max)"


def _pool_recording(aggregate: str, metric: str) -> Recording:
    """Record an amount of the funds that cover losses: per asset in single-asset mode, in USD in multi-assets mode.

    In single-asset mode BNB is left out: it covers no position and falls with every fee that is paid from it.
    """
    return Recording(
        f"pool:binance_futures_{metric}:{aggregate}",
        block(f"""
            {aggregate} by ({POOL}) (
              label_replace(
                binance_futures_asset_{metric}{{asset!="BNB"}}
                unless on ({INSTANCE}, account) binance_futures_account_info{{asset_mode="multi"}},
                "margin_asset", "$1", "asset", "(.+)"
              )
              or
              label_replace(
                binance_futures_account_{metric}{{currency="USD"}}, "margin_asset", "$1", "currency", "(.+)"
              )
            )
        """),
    )


def _held(recorded: str, or_else: str = "") -> Recording:
    """Record the current value, or the last one while the account is not polled or its ratios are unknown.

    The value of a closed position is dropped at once, since its account is polled and no ratio is missing. An alert on
    this series neither restarts nor resolves because polls fail.
    """
    level, metric, _ = recorded.split(":")
    held = block(f"""
        {recorded}
        or
        (
          last_over_time({recorded}[{HOLD}])
          unless on ({ACCOUNT})
          (
            {_POLLED}
            and
            account:binance_futures_up:max == 1
            unless
            account:binance_futures_positions_without_margin_ratio:count
          )
        )
    """)
    return Recording(f"{level}:{metric}:last_over_time{HOLD}", f"{held}\n{or_else}".strip())


_POLLING: Final = (
    # Every target that was an exporter within the last day, regardless of its job name.
    Recording(
        "instance:binance_futures_exporter_up:max",
        block(f"""
            max by ({INSTANCE}) (up)
            and
            max by ({INSTANCE}) (last_over_time(binance_futures_exporter_build_info[{EXPECTED}]))
        """),
    ),
    Recording("account:binance_futures_up:max", f"max by ({ACCOUNT}) (binance_futures_up)"),
    Recording(
        "account:binance_futures_data_age_seconds:min",
        promql.data_age(ACCOUNT),
    ),
)

_MARGIN: Final = (
    Recording(
        "pool:binance_futures_margin_ratio:max",
        promql.pool_margin_ratio(LABELS),
    ),
    Recording(
        "account:binance_futures_margin_ratio:max", f"max by ({ACCOUNT}) (pool:binance_futures_margin_ratio:max)"
    ),
    Recording("position:binance_futures_margin_ratio:max", promql.position_margin_ratio(LABELS)),
)

_POSITIONS: Final = (
    Recording(
        "account:binance_futures_open_positions:max", f"max by ({ACCOUNT}) (binance_futures_account_open_positions)"
    ),
    # Positions and maintenance margin without a ratio, because the exchange did not report a position's margin asset.
    Recording(
        "account:binance_futures_positions_without_margin_ratio:count",
        f"count by ({ACCOUNT}) (\n"
        f"  {OPEN_POSITION}\n"
        f"  unless\n"
        f"  position:binance_futures_margin_ratio:max\n"
        f")\n"
        f"or\n"
        f"count by ({ACCOUNT}) (\n{indent(promql.assets_without_margin_ratio(LABELS), '  ')}\n)",
    ),
    Recording(
        "position:binance_futures_liquidation_distance:min",
        promql.liquidation_distance(POSITION),
    ),
    Recording(
        "account:binance_futures_liquidation_distance:min",
        f"min by ({ACCOUNT}) (position:binance_futures_liquidation_distance:min)",
    ),
    Recording("position:binance_futures_notional:max", promql.in_margin_asset("position_notional", LABELS)),
    Recording(
        "account_margin_asset:binance_futures_exposure_gross:sum",
        f"sum by ({ACCOUNT}, margin_asset) (abs(position:binance_futures_notional:max))",
    ),
    Recording(
        "account_margin_asset:binance_futures_exposure_net:sum",
        f"sum by ({ACCOUNT}, margin_asset) (position:binance_futures_notional:max)",
    ),
    Recording("position:binance_futures_leverage:max", promql.leverage(LABELS)),
)

_MONEY: Final = (
    _pool_recording("max", "wallet_balance"),
    _pool_recording("min", "unrealized_pnl"),
    _pool_recording("max", "max_withdraw_amount"),
    Recording(
        "pool:binance_futures_unrealized_pnl:wallet_ratio",
        "pool:binance_futures_unrealized_pnl:min / (pool:binance_futures_wallet_balance:max > 0)",
    ),
)

_DISTANCE: Final = "position:binance_futures_liquidation_distance:min"
_HELD: Final = (
    # A cross pool remains when its positions are closed. It disappears only when the asset mode changes; the held value
    # bridges the `for` of the alert on the pool that replaces it.
    _held(
        "pool:binance_futures_margin_ratio:max",
        'or\nlast_over_time(pool:binance_futures_margin_ratio:max{margin_asset!=""}[3m])',
    ),
    _held("position:binance_futures_margin_ratio:max"),
    # Also held while the prices of an open position are missing. A position with prices but without a liquidation price
    # cannot be liquidated.
    _held(
        _DISTANCE,
        block(f"""
            or
            (
              last_over_time({_DISTANCE}[{HOLD}])
              and
              {OPEN_POSITION}
              unless
              max by ({POSITION}) (binance_futures_position_mark_price and binance_futures_position_entry_price)
            )
        """),
    ),
)


def _risk_level(threshold: Mapping[str, str]) -> Recording:
    """Record the highest severity among the alerts on an account's risk (0 none, 1 warning, 2 critical), while known.

    The conditions are those of the alerts, so that the last level is at least as severe as any of them that fires.
    If two exporters poll an account, it is sufficient that one of them has all data.
    """
    levels = [
        f"group by ({ACCOUNT}) (\n"
        f"  {margin_ratio_high(severity, threshold)}\n"
        f"  or\n"
        f"{indent(liquidation_near(severity, threshold), '  ')}\n"
        f")"
        for severity in ("critical", "warning")
    ]
    known = block(f"""
        and
        {_POLLED}
        and
        account:binance_futures_up:max == 1
        unless
        account:binance_futures_positions_without_margin_ratio:count > 0
        unless
        min by ({ACCOUNT}) (binance_futures_position_risk_missing) > 0
    """)
    level = indent(f"{levels[0]} + 1\nor\n{levels[1]}\nor\n0 * account:binance_futures_up:max", "  ")
    return Recording(RISK_LEVEL, f"(\n{level}\n)\n{known}")


def _at_stake(threshold: Mapping[str, str]) -> Recording:
    wallet = "pool:binance_futures_wallet_balance:max"
    return Recording(
        AT_STAKE,
        block(f"""
            {wallet}{{margin_asset=~"{DOLLARS}"}} > {threshold["wallet_floor_usd"]}
            or
            {wallet}{{margin_asset=~"{COINS}"}} > {threshold["wallet_floor_btc"]}
            or
            {wallet}{{margin_asset!~"{DOLLARS}|{COINS}"}} > {threshold["wallet_floor_other"]}
        """),
    )


def recordings(threshold: Mapping[str, str]) -> RuleGroup:
    """Return the recording rules; `threshold` maps each threshold's name to its text in the expressions."""
    return RuleGroup(
        "binance-futures-recordings",
        (*_POLLING, *_MARGIN, *_POSITIONS, *_MONEY, _at_stake(threshold), *_HELD, _risk_level(threshold), *INCOME),
    )
