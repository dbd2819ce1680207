"""Conditions by severity, shared by the risk alerts and the recorded risk level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitoring.promql import block
from monitoring.rules.rule import HOLD, RECENT

if TYPE_CHECKING:
    from collections.abc import Mapping

_RATIO: Final = f"pool:binance_futures_margin_ratio:last_over_time{HOLD}"
_POSITION_RATIO: Final = f"position:binance_futures_margin_ratio:last_over_time{HOLD}"
_DISTANCE: Final = f"position:binance_futures_liquidation_distance:last_over_time{HOLD}"


def margin_ratio_high(severity: str, threshold: Mapping[str, str]) -> str:
    """Return the condition for a margin pool; its value is the margin ratio."""
    return _beyond(_RATIO, f"> {threshold[f'margin_ratio_{severity}']}")


def liquidation_near(severity: str, threshold: Mapping[str, str]) -> str:
    """Return the condition for a position; its value is the distance as a fraction of the mark price."""
    near = _beyond(_DISTANCE, f"< {threshold['liquidation_distance_warning']}")
    if severity == "warning":
        return near
    return block(f"""
        {_beyond(_DISTANCE, f"< {threshold['liquidation_distance_critical']}")}
        or
        (
          ({near})
          and
          {_POSITION_RATIO} > {threshold["liquidation_margin_ratio"]}
        )
    """)


def _beyond(recorded: str, limit: str) -> str:
    """Return a comparison with a limit (`> 0.8`): beyond it now, or beyond it on average recently and still present.

    A single sample within the limit neither ends an alert nor restarts its `for`.
    """
    return f"{recorded} {limit} or (avg_over_time({recorded}[{RECENT}]) {limit} and {recorded})"
