"""Alerts on the accounts: margin, liquidation, auto-deleveraging and balances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitoring.promql import block
from monitoring.rules.conditions import liquidation_near, margin_ratio_high
from monitoring.rules.income import loss_alert
from monitoring.rules.recordings import AT_STAKE, RISK_LEVEL
from monitoring.rules.rule import ACCOUNT, EXPECTED, OPEN_POSITION, POSITION, Alert, RuleGroup, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED_POSITION: Final = "{{ $labels.symbol }} ({{ $labels.position_side }}) of account {{ $labels.account }}"
_WALLET: Final = "{{ $labels.margin_asset }} wallet balance"


def risk(threshold: Mapping[str, str]) -> RuleGroup:
    """Return the alerts; `threshold` maps the name of each threshold to its text in the expressions."""
    return RuleGroup(
        "binance-futures-risk",
        (
            *_margin_alerts(threshold),
            *_position_alerts(threshold),
            *_unknown_alerts(threshold),
            *_money_alerts(threshold),
            loss_alert(threshold),
        ),
    )


def _margin_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    def high(severity: Severity, for_: str, summary: str) -> Alert:
        return Alert(
            "BinanceFuturesMarginRatioHigh",
            severity,
            margin_ratio_high(severity, threshold),
            for_,
            summary,
            "The margin ratio of {{ if $labels.symbol }}the isolated position {{ $labels.symbol }} "
            "({{ $labels.position_side }}){{ else }}the {{ $labels.margin_asset }} cross positions{{ end }} of account "
            "{{ $labels.account }} is {{ $value | humanizePercentage }}; liquidation is at 100%.",
        )

    return (
        high("critical", "1m", "A margin ratio is very high: liquidation is near"),
        high("warning", "2m", "A margin ratio is high"),
        Alert(
            "BinanceFuturesMarginRatioUnknown",
            "warning",
            "account:binance_futures_positions_without_margin_ratio:count > 0",
            "5m",
            "The margin ratio of open positions is unknown",
            "Open positions of account {{ $labels.account }} with an unknown margin ratio: {{ $value }}. Alerts on "
            "their margin ratio cannot fire.",
        ),
    )


def _position_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    description = (
        f"The mark price is {{{{ $value | humanizePercentage }}}} away from the liquidation price of {_NAMED_POSITION}."
    )
    return (
        Alert(
            "BinanceFuturesLiquidationPriceUnknown",
            "warning",
            # If two exporters poll the account, one that has all prices is enough.
            f"min by ({ACCOUNT}) (binance_futures_position_risk_missing) > 0",
            "5m",
            "The liquidation price of open positions is unknown",
            "Open positions of account {{ $labels.account }} without a mark or liquidation price: {{ $value }}. Alerts "
            "on their distance to liquidation cannot fire.",
        ),
        Alert(
            "BinanceFuturesLiquidationNear",
            "critical",
            liquidation_near("critical", threshold),
            "1m",
            "The mark price is very close to a position's liquidation price",
            description,
        ),
        Alert(
            "BinanceFuturesLiquidationNear",
            "warning",
            liquidation_near("warning", threshold),
            "2m",
            "The mark price is close to a position's liquidation price",
            description,
        ),
        Alert(
            "BinanceFuturesAdlQuantileHigh",
            "warning",
            block(f"""
                max by ({POSITION}) (binance_futures_position_adl_quantile) >= {threshold["adl_quantile"]}
                and
                {OPEN_POSITION}
            """),
            "15m",
            "A position is first in line for auto-deleveraging",
            f"The auto-deleveraging quantile of {_NAMED_POSITION} is {{{{ $value }}}}: the exchange may close it to "
            "cover another trader's liquidation.",
        ),
    )


def _risk_unknown(severity: Severity, last: str, summary: str, risk: str) -> Alert:
    """Return the alert that replaces those on margin ratio and liquidation when the data they need is missing.

    It fires while their last values are still held. `keep_firing_for` keeps a single successful poll among many
    failures from ending it.
    """
    return Alert(
        "BinanceFuturesRiskUnknown",
        severity,
        block(f"""
            ({last})
            unless
            {RISK_LEVEL}
        """),
        "1m",
        summary,
        f"Account {{{{ $labels.account }}}} {risk} when its risk was last known. It is unknown now because polls fail "
        "or data of its positions is missing.",
        keep_firing_for="5m",
    )


def _unknown_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    last = f"last_over_time({RISK_LEVEL}[{EXPECTED}])"
    # The level is not recorded while prices are missing, so a ratio that became critical meanwhile counts as well.
    ratio = (
        f"last_over_time(account:binance_futures_margin_ratio:max[{EXPECTED}]) > {threshold['margin_ratio_critical']}"
    )
    near, raised = (
        "The risk of an account near liquidation is unknown",
        "The risk of an account was elevated and is now unknown",
    )
    return (
        _risk_unknown("critical", f"{last} == 2 or {ratio}", near, "was near liquidation"),
        _risk_unknown("warning", f"{last} == 1", raised, "was at elevated risk"),
    )


def _money_alerts(threshold: Mapping[str, str]) -> tuple[Alert, ...]:
    wallet = "pool:binance_futures_wallet_balance:max"
    return (
        Alert(
            "BinanceFuturesUnrealizedLossHigh",
            "warning",
            f"-pool:binance_futures_unrealized_pnl:wallet_ratio > {threshold['unrealized_loss']}\nand\n{AT_STAKE}",
            "5m",
            "The unrealized loss is a large part of the wallet balance",
            "The unrealized loss of account {{ $labels.account }} is {{ $value | humanizePercentage }} of its "
            f"{_WALLET}.",
        ),
        Alert(
            "BinanceFuturesWalletBalanceDrop",
            "warning",
            f"1 - {wallet} / max_over_time({AT_STAKE}[1h]) > {threshold['wallet_drop']}",
            "2m",
            "A wallet balance has dropped sharply",
            f"The {_WALLET} of account {{{{ $labels.account }}}} is {{{{ $value | humanizePercentage }}}} below its "
            "highest value in the last hour.",
        ),
        Alert(
            "BinanceFuturesWithdrawableGone",
            "warning",
            f"pool:binance_futures_max_withdraw_amount:max / {AT_STAKE} < {threshold['withdrawable']}",
            "15m",
            "Almost none of a wallet balance can be withdrawn",
            f"{{{{ $value | humanizePercentage }}}} of the {_WALLET} of account {{{{ $labels.account }}}} can be "
            "withdrawn.",
        ),
    )
