"""The texts of the dashboards' files; `make generate` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards.account import account
from monitoring.dashboards.accounts import accounts
from monitoring.dashboards.exporter import health

GRAFANA: Final = Path(__file__).parents[2] / "grafana"
DASHBOARDS: Final = {"accounts": accounts, "account": account, "exporter": health}


def dashboard_files() -> dict[str, str]:
    """Return the text of each file in grafana/dashboards by its name."""
    return {
        f"{name}.json": json.dumps(make(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, make in DASHBOARDS.items()
    }
