"""Dashboards as JSON files; `make generate` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards.account import account_dashboard
from monitoring.dashboards.accounts import accounts_dashboard
from monitoring.dashboards.exporter import exporter_dashboard
from monitoring.dashboards.results import results_dashboard

GRAFANA: Final = Path(__file__).parents[2] / "grafana"
DASHBOARDS: Final = {
    "accounts": accounts_dashboard,
    "account": account_dashboard,
    "results": results_dashboard,
    "exporter": exporter_dashboard,
}


def dashboard_files() -> dict[str, str]:
    """Return the text of each file in grafana/dashboards by file name."""
    return {
        f"{name}.json": json.dumps(make(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, make in DASHBOARDS.items()
    }
