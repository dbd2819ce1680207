"""The recording rules: what alerts and dashboards share, one series for each thing whatever exporter shows it.

Two exporters may show an account while it moves from one to the other. What belongs together is joined within one
exporter's figures first, then one of them is taken (max or min), and only then is anything summed. Money of different
assets is never added: sums keep `margin_asset`.
"""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from monitoring.rules.conditions import liquidation_near, margin_ratio_high
from monitoring.rules.rule import ACCOUNT, INSTANCE, KNOWN, POOL, POSITION, REMEMBERED, Group, Recording, promql

if TYPE_CHECKING:
    from collections.abc import Mapping

RISK_LEVEL: Final = "account:binance_futures_risk_level:max"
AT_STAKE: Final = "pool:binance_futures_wallet_at_stake:max"

_ROW: Final = f"{INSTANCE}, account, symbol, position_side"

# Accounts with figures: `up` alone is nothing to judge by.
_POLLED: Final = "(account:binance_futures_open_positions:max or account:binance_futures_margin_ratio:max)"


def _of_pools(aggregate: str, figure: str) -> Recording:
    """Record a figure of what covers losses: each asset in single-asset mode, everything in USD in multi-assets mode.

    In single-asset mode BNB is left out: it covers no position, and falls with every fee that is paid from it.
    """
    return Recording(
        f"pool:binance_futures_{figure}:{aggregate}",
        promql(f"""
            {aggregate} by ({POOL}) (
              label_replace(
                binance_futures_asset_{figure}{{asset!="BNB"}}
                unless on ({INSTANCE}, account) binance_futures_account_info{{asset_mode="multi"}},
                "margin_asset", "$1", "asset", "(.+)"
              )
              or
              label_replace(
                binance_futures_account_{figure}{{currency="USD"}}, "margin_asset", "$1", "currency", "(.+)"
              )
            )
        """),
    )


def _remembered(recorded: str, also: str = "") -> Recording:
    """Record what was recorded last, also while the account is not polled or its ratios are not known.

    A position that was closed is forgotten at once: its account is polled, and lacks no ratio. An alert on this neither
    starts anew nor ends because polls fail.
    """
    level, metric, _ = recorded.split(":")
    held = promql(f"""
        {recorded}
        or
        (
          last_over_time({recorded}[{REMEMBERED}])
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
    return Recording(f"{level}:{metric}:last_over_time{REMEMBERED}", f"{held}\n{also}".strip())


_POLLING: Final = (
    # Every target that has ever been an exporter, whatever the name of its job.
    Recording(
        "instance:binance_futures_exporter_up:max",
        promql(f"""
            max by ({INSTANCE}) (up)
            and
            max by ({INSTANCE}) (last_over_time(binance_futures_exporter_build_info[{KNOWN}]))
        """),
    ),
    Recording("account:binance_futures_up:max", f"max by ({ACCOUNT}) (binance_futures_up)"),
    Recording(
        "account:binance_futures_data_age_seconds:min",
        f"time() - max by ({ACCOUNT}) (binance_futures_last_success_timestamp_seconds)",
    ),
)

_MARGIN: Final = (
    Recording(
        "pool:binance_futures_margin_ratio:max",
        promql(f"""
            max by ({POOL}) (binance_futures_cross_margin_ratio)
            or
            max by ({POSITION}) (binance_futures_isolated_margin_ratio)
        """),
    ),
    Recording(
        "account:binance_futures_margin_ratio:max", f"max by ({ACCOUNT}) (pool:binance_futures_margin_ratio:max)"
    ),
    # The ratio of the pool that a position would be liquidated with. In multi-assets mode there is one pool, also for
    # positions whose margin asset is unknown.
    Recording(
        "position:binance_futures_margin_ratio:max",
        promql(f"""
            max by ({POSITION}) (binance_futures_isolated_margin_ratio)
            or
            max by ({POSITION}) (
              binance_futures_position_info{{margin_type="cross"}}
              * on ({INSTANCE}, account, margin_asset) group_left ()
              max by ({INSTANCE}, account, margin_asset) (binance_futures_cross_margin_ratio)
            )
            or
            max by ({POSITION}) (
              (
                binance_futures_position_info{{margin_type="cross"}}
                or on ({_ROW})
                abs(sgn(binance_futures_position_amount != 0))
                unless on ({_ROW}) binance_futures_position_info
              )
              * on ({INSTANCE}, account) group_left ()
              max by ({INSTANCE}, account) (binance_futures_cross_margin_ratio{{margin_asset="USD"}})
            )
        """),
    ),
)

_POSITIONS: Final = (
    Recording(
        "account:binance_futures_open_positions:max", f"max by ({ACCOUNT}) (binance_futures_account_open_positions)"
    ),
    # What is at stake without anybody knowing how much: the exchange did not tell what the position is margined in.
    Recording(
        "account:binance_futures_positions_without_margin_ratio:count",
        promql(f"""
            count by ({ACCOUNT}) (
              max by ({POSITION}) (abs(binance_futures_position_amount)) > 0
              unless
              position:binance_futures_margin_ratio:max
            )
            or
            count by ({ACCOUNT}) (
              max by ({POOL}) (
                label_replace(
                  binance_futures_asset_maintenance_margin > 0, "margin_asset", "$1", "asset", "(.+)"
                )
              )
              unless
              max by ({POOL}) (binance_futures_cross_margin_ratio)
              unless on ({ACCOUNT})
              max by ({ACCOUNT}) (binance_futures_cross_margin_ratio{{margin_asset="USD"}})
            )
        """),
    ),
    Recording(
        "position:binance_futures_liquidation_distance:min",
        promql(f"""
            min by ({POSITION}) (
              abs(binance_futures_position_mark_price - binance_futures_position_liquidation_price)
              / binance_futures_position_mark_price
            )
        """),
    ),
    Recording(
        "account:binance_futures_liquidation_distance:min",
        f"min by ({ACCOUNT}) (position:binance_futures_liquidation_distance:min)",
    ),
    # With the margin asset, which says what the money is counted in; orders without a position have none.
    Recording(
        "position:binance_futures_notional:max",
        promql(f"""
            max by ({POSITION}, margin_asset) (
              binance_futures_position_notional
              * on ({_ROW}) group_left (margin_asset)
              max by ({_ROW}, margin_asset) (binance_futures_position_info)
            )
        """),
    ),
    Recording(
        "account_margin_asset:binance_futures_exposure_gross:sum",
        f"sum by ({ACCOUNT}, margin_asset) (abs(position:binance_futures_notional:max))",
    ),
    Recording(
        "account_margin_asset:binance_futures_exposure_net:sum",
        f"sum by ({ACCOUNT}, margin_asset) (position:binance_futures_notional:max)",
    ),
    # Over the position's own margin: what its open orders require is not the position's.
    Recording(
        "position:binance_futures_leverage:max",
        promql(f"""
            max by ({POSITION}) (
              abs(binance_futures_position_notional)
              / (binance_futures_position_initial_margin - binance_futures_position_open_order_initial_margin > 0)
              and on ({_ROW}) binance_futures_position_info
            )
        """),
    ),
)

_MONEY: Final = (
    _of_pools("max", "wallet_balance"),
    _of_pools("min", "unrealized_pnl"),
    _of_pools("max", "max_withdraw_amount"),
    Recording(
        "pool:binance_futures_unrealized_pnl:wallet_ratio",
        "pool:binance_futures_unrealized_pnl:min / (pool:binance_futures_wallet_balance:max > 0)",
    ),
)

_DISTANCE: Final = "position:binance_futures_liquidation_distance:min"
_REMEMBERED: Final = (
    # A cross pool stays when its positions are closed: it is gone only after a change of the asset mode, and the alert
    # on the pool that replaces it has to wait for its `for`.
    _remembered(
        "pool:binance_futures_margin_ratio:max",
        'or\nlast_over_time(pool:binance_futures_margin_ratio:max{margin_asset!=""}[3m])',
    ),
    _remembered("position:binance_futures_margin_ratio:max"),
    # Also while the prices of a position that is still open are missing. One that has them but no liquidation price
    # cannot be liquidated.
    _remembered(
        _DISTANCE,
        promql(f"""
            or
            (
              last_over_time({_DISTANCE}[{REMEMBERED}])
              and
              max by ({POSITION}) (abs(binance_futures_position_amount)) > 0
              unless
              max by ({POSITION}) (binance_futures_position_mark_price and binance_futures_position_entry_price)
            )
        """),
    ),
)


def _risk_level(threshold: Mapping[str, str]) -> Recording:
    """Record the level of the worst alert on an account's risk (0: none, 1: warning, 2: critical), only while known.

    The conditions are those of the alerts, so that the last level is at least as severe as any of them that fires.
    Of two exporters that poll an account one that has all figures is enough.
    """
    levels = [
        f"group by ({ACCOUNT}) (\n"
        f"  {margin_ratio_high(severity, threshold)}\n"
        f"  or\n"
        f"{indent(liquidation_near(severity, threshold), '  ')}\n"
        f")"
        for severity in ("critical", "warning")
    ]
    known = promql(f"""
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


# Assets worth about a dollar (USDT, USDC, FDUSD, BFUSD, USD1, LDUSDT, RWUSD, and in multi-assets mode USD), and those
# worth thousands. There is no price to compare others by.
_DOLLARS: Final = ".*USD.?|BNFCR"
_COINS: Final = ".*BTC|.*ETH"


def _at_stake(threshold: Mapping[str, str]) -> Recording:
    wallet = "pool:binance_futures_wallet_balance:max"
    return Recording(
        AT_STAKE,
        promql(f"""
            {wallet}{{margin_asset=~"{_DOLLARS}"}} > {threshold["wallet_floor_usd"]}
            or
            {wallet}{{margin_asset=~"{_COINS}"}} > {threshold["wallet_floor_btc"]}
            or
            {wallet}{{margin_asset!~"{_DOLLARS}|{_COINS}"}} > {threshold["wallet_floor_other"]}
        """),
    )


def recordings(threshold: Mapping[str, str]) -> Group:
    """Return the recording rules; `threshold` maps each name of the table to what stands in the expressions."""
    return Group(
        "binance-futures-recordings",
        (*_POLLING, *_MARGIN, *_POSITIONS, *_MONEY, _at_stake(threshold), *_REMEMBERED, _risk_level(threshold)),
    )
