"""The one table of what the alerts compare with; no rule, runbook or summary spells a value again.

Rule files know no variables. Rules are made by Python from this table, and committed: what Prometheus loads and shows
is a plain expression, and whoever wants other values, like a Helm chart, makes the same rules from other texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.words import LEVELS

# The page and `check` call a margin ratio high and critical from the same parts on.
_LEVELS: Final = {word: part for part, word in LEVELS}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value that alerts compare with; `what` completes "fires when"."""

    name: str
    value: float
    what: str


THRESHOLDS: Final = (
    Threshold("margin_ratio_warning", _LEVELS["high"], "the margin ratio of a pool is above; also before going blind"),
    Threshold("margin_ratio_critical", _LEVELS["critical"], "the margin ratio of a pool is above, critical"),
    Threshold("liquidation_distance_warning", 0.05, "the way to the liquidation price, in mark prices, is below"),
    # 20x isolated sits at 4.6 % from the fill on: near, but critical only when its margin is used up as well.
    Threshold("liquidation_distance_critical", 0.02, "the way to the liquidation price is below, critical"),
    Threshold("liquidation_margin_ratio", 0.5, "the way is below the warning's and the pool's ratio above, critical"),
    Threshold("adl_quantile", 4, "a position's place in the auto-deleveraging queue reaches"),
    Threshold("unrealized_loss", 0.2, "the unrealized loss, as a part of the wallet balance, is above"),
    Threshold("wallet_drop", 0.1, "the wallet balance has lost more than this part of the last hour's highest"),
    # What rounding leaves over is below it in any asset, and what anybody would miss above.
    Threshold("wallet_floor", 0.001, "(the two before and after this) the wallet balance was, in its asset, above"),
    Threshold("withdrawable", 0.01, "what can be withdrawn, as a part of the wallet balance, is below"),
    # A loss of five minutes in the quarter of an hour stays above it, every second one lost does not.
    Threshold("success", 0.6, "polls or scrapes that succeed, as a part of a quarter of an hour's, are below"),
    Threshold("refused_polls", 0.5, "polls refused for the key, as a part of a quarter of an hour's, are above"),
    Threshold("request_weight", 0.8, "the IP's request weight, as a part of its limit, is above"),
    Threshold("clock_offset_seconds", 0.5, "the clocks of host and exchange differ by more seconds than"),
    Threshold("connection_losses", 5, "connections that broke within half an hour are more than"),
)

VALUES: Final = {threshold.name: f"{threshold.value:g}" for threshold in THRESHOLDS}
