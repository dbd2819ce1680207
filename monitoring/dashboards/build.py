"""Makes the dashboards; run as `python -m monitoring.dashboards.build` it writes dashboards/*.json."""

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
    """Return the text of each file in dashboards/ by its name."""
    return {
        f"{name}.json": json.dumps(make(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, make in DASHBOARDS.items()
    }


def main() -> None:
    """Write dashboards/*.json anew."""
    for name, text in dashboard_files().items():
        (GRAFANA / "dashboards" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
