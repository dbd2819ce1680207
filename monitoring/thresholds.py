"""The thresholds of alerts and dashboards; rules, runbooks and summaries do not repeat their values.

Rule files have no variables. The rules are generated from this table, so that Prometheus loads and shows plain
expressions. The Helm chart generates the same rules with placeholders instead of the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.account import risk


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value that alerts compare with; `alerts_when` completes the sentence "Alerts when …"."""

    name: str
    value: float
    alerts_when: str


THRESHOLDS: Final = (
    Threshold(
        "margin_ratio_warning",
        risk.MARGIN_RATIO_WARNING,
        "the margin ratio of a pool is above this value (warning)",
    ),
    Threshold(
        "margin_ratio_critical", risk.MARGIN_RATIO_CRITICAL, "the margin ratio of a pool is above this value (critical)"
    ),
    Threshold(
        "liquidation_distance_warning",
        risk.LIQUIDATION_DISTANCE_WARNING,
        "the distance from mark to liquidation price, divided by the mark price, is below this value (warning)",
    ),
    Threshold(
        "liquidation_distance_critical",
        risk.LIQUIDATION_DISTANCE_CRITICAL,
        "the distance from mark to liquidation price, divided by the mark price, is below this value (critical)",
    ),
    Threshold(
        "liquidation_margin_ratio",
        risk.LIQUIDATION_MARGIN_RATIO,
        "a pool's margin ratio is above this value and the distance is below its warning threshold (critical)",
    ),
    Threshold("adl_quantile", 4, "a position's quantile in the auto-deleveraging queue reaches this value"),
    Threshold("unrealized_loss", 0.2, "the unrealized loss exceeds this fraction of the wallet balance"),
    Threshold("wallet_drop", 0.1, "the wallet balance is more than this fraction below its maximum over the last hour"),
    # Below these a wallet balance is dust, judged by the asset's name, because prices may not be enabled.
    Threshold(
        "wallet_floor_usd",
        10,
        "the wallet balance is above this amount of USD or an asset worth about 1 USD; smaller balances are ignored",
    ),
    Threshold(
        "wallet_floor_btc",
        0.001,
        "the wallet balance is above this amount of BTC or ETH; smaller balances are ignored",
    ),
    Threshold(
        "wallet_floor_other",
        0.1,
        "the wallet balance is above this amount of any other asset; smaller balances are ignored",
    ),
    Threshold(
        "daily_loss_usd",
        0,
        "an account's loss since 00:00 UTC exceeds this amount of USD or an asset worth about 1 USD; 0 turns this off",
    ),
    Threshold(
        "daily_loss_btc", 0, "an account's loss since 00:00 UTC exceeds this amount of BTC or ETH; 0 turns this off"
    ),
    Threshold(
        "daily_loss_other",
        0,
        "an account's loss since 00:00 UTC exceeds this amount of any other asset; 0 turns this off",
    ),
    Threshold("withdrawable", 0.01, "less than this fraction of the wallet balance can be withdrawn"),
    # Five failed minutes of fifteen stay above it, every second failed poll does not.
    Threshold("success", 0.6, "less than this fraction of polls or scrapes succeed over 15 minutes"),
    Threshold("refused_polls", 0.5, "more than this fraction of polls over 15 minutes are refused because of the key"),
    Threshold(
        "income_age_seconds",
        3600,
        "an account's income was last read more than this number of seconds, and more than two of its intervals, ago",
    ),
    Threshold("request_weight", 0.8, "the IP has used more than this fraction of its request weight limit"),
    Threshold(
        "clock_offset_seconds",
        0.5,
        "the clocks of the host and the exchange differ by more than this number of seconds",
    ),
    Threshold("connection_losses", 5, "more than this number of connections break within 30 minutes"),
)

BY_NAME: Final = {threshold.name: threshold.value for threshold in THRESHOLDS}
# As they are written in expressions.
VALUES: Final = {name: f"{value:g}" for name, value in BY_NAME.items()}
