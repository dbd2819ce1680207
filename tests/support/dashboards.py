"""The committed dashboards, and their expressions as Grafana would send them."""

from __future__ import annotations

import json
from typing import Any, Final

from monitoring.dashboards.build import DASHBOARDS, GRAFANA

NAMES: Final = sorted(DASHBOARDS)


def load(name: str) -> dict[str, Any]:
    """Return a committed dashboard."""
    loaded: dict[str, Any] = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


VARIABLE_VALUES: Final = {
    "$__rate_interval": "1m",
    "$__interval": "15s",
    "$__range:1d": "4d:1d",  # an hour may have no start of a day
    "$__range": "1h",
    "$__from": "0",
    "$job": "binance-futures",
    "$account": ".+",
    "$symbol": ".+",
    "$asset": ".+",
    "$instance": ".+",
}


def filled(expression: str) -> str:
    """Return an expression with Grafana's variables replaced by values."""
    for variable, value in VARIABLE_VALUES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression
