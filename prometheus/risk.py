"""The alerts on the accounts: margin, liquidation, auto-deleveraging and money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus.rule import POSITION, RECENTLY, REMEMBERED, Alert, Group, promql

if TYPE_CHECKING:
    from collections.abc import Mapping

_POSITION: Final = "{{ $labels.symbol }} ({{ $labels.position_side }}) of account {{ $labels.account }}"
_MONEY: Final = "in {{ $labels.margin_asset }} of account {{ $labels.account }}"


def risk(threshold: Mapping[str, str]) -> Group:
    """Return the alerts; `threshold` maps each name of the table to what stands in the expressions."""
    return Group("binance-futures-risk", (*_of_margin(threshold), *_of_positions(threshold), *_of_money(threshold)))


def _beyond(recorded: str, limit: str) -> str:
    """Compare with a limit (`> 0.8`): what is beyond it, or has recently been on average, and is still there.

    One sample on the safe side neither ends an alert nor makes its `for` start anew.
    """
    return f"{recorded} {limit} or (avg_over_time({recorded}[{RECENTLY}]) {limit} and {recorded})"


def _of_margin(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    ratio = f"pool:binance_futures_margin_ratio:last_over_time{REMEMBERED}"

    def margin_ratio_high(severity: str, lasting: str, summary: str) -> Alert:
        return Alert(
            "BinanceFuturesMarginRatioHigh",
            "critical" if severity == "critical" else "warning",
            _beyond(ratio, f"> {threshold[f'margin_ratio_{severity}']}"),
            lasting,
            summary,
            "The margin ratio of {{ if $labels.symbol }}the isolated position {{ $labels.symbol }} "
            "({{ $labels.position_side }}){{ else }}the {{ $labels.margin_asset }} cross positions{{ end }} of account "
            "{{ $labels.account }} is {{ $value | humanizePercentage }}; liquidation is at 100%.",
        )

    return (
        margin_ratio_high("critical", "1m", "Liquidation is close: a margin ratio is very high"),
        margin_ratio_high("warning", "2m", "A margin ratio is high"),
        Alert(
            "BinanceFuturesMarginRatioUnknown",
            "warning",
            "account:binance_futures_positions_without_margin_ratio:count > 0",
            "5m",
            "The margin ratio of open positions is not known",
            "Open positions of account {{ $labels.account }} whose margin ratio is not known, though it is polled: "
            "{{ $value }}. No alert on their margin can fire.",
        ),
    )


def _of_positions(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    distance = f"position:binance_futures_liquidation_distance:last_over_time{REMEMBERED}"
    ratio = f"position:binance_futures_margin_ratio:last_over_time{REMEMBERED}"
    near = _beyond(distance, f"< {threshold['liquidation_distance_warning']}")
    description = (
        f"The mark price is {{{{ $value | humanizePercentage }}}} away from the liquidation price of {_POSITION}."
    )
    return (
        Alert(
            "BinanceFuturesLiquidationNear",
            "critical",
            promql(f"""
                {_beyond(distance, f"< {threshold['liquidation_distance_critical']}")}
                or
                (
                  ({near})
                  and
                  {ratio} > {threshold["liquidation_margin_ratio"]}
                )
            """),
            "1m",
            "The mark price is very near to a position's liquidation price",
            description,
        ),
        Alert(
            "BinanceFuturesLiquidationNear",
            "warning",
            near,
            "2m",
            "The mark price is near to a position's liquidation price",
            description,
        ),
        Alert(
            "BinanceFuturesAdlQuantileHigh",
            "warning",
            promql(f"""
                max by ({POSITION}) (binance_futures_position_adl_quantile) >= {threshold["adl_quantile"]}
                and
                max by ({POSITION}) (abs(binance_futures_position_amount)) > 0
            """),
            "15m",
            "A position is first in line for auto-deleveraging",
            f"The auto-deleveraging quantile of {_POSITION} is {{{{ $value }}}}: the exchange may close it to cover "
            "another's liquidation.",
        ),
    )


def _of_money(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    wallet = "pool:binance_futures_wallet_balance:max"
    floor = threshold["wallet_floor"]
    return (
        Alert(
            "BinanceFuturesUnrealizedLossHigh",
            "warning",
            f"-pool:binance_futures_unrealized_pnl:wallet_ratio > {threshold['unrealized_loss']}",
            "5m",
            "Open positions lose a large part of the wallet",
            f"The unrealized loss {_MONEY} is {{{{ $value | humanizePercentage }}}} of the wallet balance.",
        ),
        Alert(
            "BinanceFuturesWalletBalanceDrop",
            "warning",
            f"1 - {wallet} / (max_over_time({wallet}[1h]) > {floor}) > {threshold['wallet_drop']}",
            "2m",
            "A wallet balance has fallen fast",
            f"The wallet balance {_MONEY} is {{{{ $value | humanizePercentage }}}} below the highest of the last hour.",
        ),
        Alert(
            "BinanceFuturesWithdrawableGone",
            "warning",
            f"pool:binance_futures_max_withdraw_amount:max / ({wallet} > {floor}) < {threshold['withdrawable']}",
            "15m",
            "Nothing can be withdrawn although the wallet is not empty",
            f"Of the wallet balance {_MONEY} {{{{ $value | humanizePercentage }}}} can be withdrawn.",
        ),
    )
