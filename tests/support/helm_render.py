"""What the rendered chart is checked with."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import kubernetes_validate

from support.paths import ROOT
from support.tools import missing

OLDEST = "1.27"
NEWEST = kubernetes_validate.latest_version()

FOREIGN = ("monitoring.coreos.com/v1", "external-secrets.io/v1")


def complaints_of_the_operator(objects: list[Any]) -> Any:
    """Return what Prometheus Operator's types say of objects."""
    if not (ROOT / "tools" / "node_modules").exists():
        missing("Prometheus Operator's types", "chart-tools")
    done = subprocess.run(
        ["node", ROOT / "tools" / "operator_types.mjs"],  # noqa: S607 - from PATH
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)
