"""What is critical and what deserves a warning: the conditions that the alerts and the recorded risk level share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitoring.rules.rule import RECENTLY, REMEMBERED, promql

if TYPE_CHECKING:
    from collections.abc import Mapping

_RATIO: Final = f"pool:binance_futures_margin_ratio:last_over_time{REMEMBERED}"
_POSITION_RATIO: Final = f"position:binance_futures_margin_ratio:last_over_time{REMEMBERED}"
_DISTANCE: Final = f"position:binance_futures_liquidation_distance:last_over_time{REMEMBERED}"


def margin_ratio_high(severity: str, threshold: Mapping[str, str]) -> str:
    """Return the condition of a margin pool; its value is the margin ratio."""
    return _beyond(_RATIO, f"> {threshold[f'margin_ratio_{severity}']}")


def liquidation_near(severity: str, threshold: Mapping[str, str]) -> str:
    """Return the condition of a position; its value is the distance to the liquidation price, as a part."""
    near = _beyond(_DISTANCE, f"< {threshold['liquidation_distance_warning']}")
    if severity == "warning":
        return near
    return promql(f"""
        {_beyond(_DISTANCE, f"< {threshold['liquidation_distance_critical']}")}
        or
        (
          ({near})
          and
          {_POSITION_RATIO} > {threshold["liquidation_margin_ratio"]}
        )
    """)


def _beyond(recorded: str, limit: str) -> str:
    """Compare with a limit (`> 0.8`): what is beyond it, or has recently been on average, and is still there.

    One sample on the safe side neither ends an alert nor makes its `for` start again.
    """
    return f"{recorded} {limit} or (avg_over_time({recorded}[{RECENTLY}]) {limit} and {recorded})"
