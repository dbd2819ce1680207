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
    """A value that alerts compare with; `alerts_when` completes a sentence with the value."""

    name: str
    value: float
    alerts_when: str


THRESHOLDS: Final = (
    Threshold(
        "margin_ratio_warning",
        risk.MARGIN_RATIO_WARNING,
        "the margin ratio of a pool is above",
    ),
    Threshold("margin_ratio_critical", risk.MARGIN_RATIO_CRITICAL, "the margin ratio of a pool is above, critical"),
    Threshold(
        "liquidation_distance_warning",
        risk.LIQUIDATION_DISTANCE_WARNING,
        "the way to the liquidation price, in mark prices, is below",
    ),
    Threshold(
        "liquidation_distance_critical",
        risk.LIQUIDATION_DISTANCE_CRITICAL,
        "the way to the liquidation price is below, critical",
    ),
    Threshold(
        "liquidation_margin_ratio",
        risk.LIQUIDATION_MARGIN_RATIO,
        "the way is below the warning's and the pool's ratio above, critical",
    ),
    Threshold("adl_quantile", 4, "a position's place in the auto-deleveraging queue reaches"),
    Threshold("unrealized_loss", 0.2, "the unrealized loss, as a part of the wallet balance, is above"),
    Threshold("wallet_drop", 0.1, "the wallet balance has lost more than this part of the last hour's highest"),
    # Below these a wallet balance is dust: there is no price to weigh an asset by, but its name.
    Threshold("wallet_floor_usd", 10, "(on money in USD or an asset worth about 1 USD) the wallet balance is above"),
    Threshold("wallet_floor_btc", 0.001, "(on money in BTC or ETH) the wallet balance is above"),
    Threshold("wallet_floor_other", 0.1, "(on money in any other asset) the wallet balance is above"),
    Threshold("withdrawable", 0.01, "what can be withdrawn, as a part of the wallet balance, is below"),
    # Five failed minutes of fifteen stay above it, every second failed poll does not.
    Threshold("success", 0.6, "polls or scrapes that succeed, as a part of a quarter of an hour's, are below"),
    Threshold("refused_polls", 0.5, "polls refused for the key, as a part of a quarter of an hour's, are above"),
    Threshold("request_weight", 0.8, "the IP's request weight, as a part of its limit, is above"),
    Threshold("clock_offset_seconds", 0.5, "the clocks of host and exchange differ by more seconds than"),
    Threshold("connection_losses", 5, "connections that broke within half an hour are more than"),
)

BY_NAME: Final = {threshold.name: threshold.value for threshold in THRESHOLDS}
# As they are written in expressions.
VALUES: Final = {name: f"{value:g}" for name, value in BY_NAME.items()}
