"""Scans the rendered chart and the Dockerfile with trivy: `make scan`; fails on high and critical findings.

Only trivy's built-in checks are used; nothing is downloaded. Findings of lower severity are listed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tools.paths import CHART, HELM, ROOT

TRIVY: Final = ROOT / "tools" / ".venv" / "bin" / "trivy"
_SEVERE: Final = {"HIGH", "CRITICAL"}
_OFFLINE: Final = ("--skip-check-update", "--skip-version-check", "--disable-telemetry", "--quiet", "--format=json")


def render(folder: Path, name: str, *arguments: str) -> None:
    """Render the chart with ci/NAME-values.yaml into a folder."""
    values = CHART / "ci" / f"{name}-values.yaml"
    command: list[str | Path] = [HELM, "template", "desk", CHART, "--namespace=trading", "--values", values, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    (folder / f"{name}.yaml").write_text(done.stdout, encoding="utf-8")


def scan(folder: Path) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the names of the files in a folder that trivy has checked, and its findings."""
    with tempfile.TemporaryDirectory(prefix="trivy-") as cache:
        command: list[str | Path] = [TRIVY, "config", *_OFFLINE, "--cache-dir", cache, folder]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    results = [each for each in report.get("Results", ()) if each["MisconfSummary"]["Successes"]]
    return {each["Target"] for each in results}, [
        {"Target": each["Target"], **found} for each in results for found in each.get("Misconfigurations", ())
    ]


def severe(findings: list[dict[str, Any]]) -> list[str]:
    """Return the high and critical findings as text."""
    return [
        f"{each['Target']}: {each['Severity']} {each['ID']}: {each['Message']}"
        for each in findings
        if each["Severity"] in _SEVERE
    ]


def main() -> None:
    """Scan everything, after checking that trivy detects a violation."""
    with tempfile.TemporaryDirectory(prefix="scan-") as temporary:
        wrong, good = Path(temporary, "wrong"), Path(temporary, "good")
        wrong.mkdir()
        render(wrong, "demo", "--set=securityContext.readOnlyRootFilesystem=false,securityContext.privileged=true")
        if not severe(scan(wrong)[1]):
            sys.exit("trivy reports nothing for a privileged container: its checks are missing")
        good.mkdir()
        names = {path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir()}
        for name in names:
            render(good, name)
        shutil.copy(ROOT / "Dockerfile", good)
        scanned, findings = scan(good)
        if scanned != {"Dockerfile", *(f"{name}.yaml" for name in names)}:
            sys.exit(f"trivy has checked only {sorted(scanned)}")
    for (severity, check, title), times in sorted(
        Counter((f["Severity"], f["ID"], f["Title"]) for f in findings).items()
    ):
        print(f"{severity:8} {check} {title} ({times} times)")
    if bad := severe(findings):
        sys.exit("\n".join(bad))
    print(f"no high or critical findings in {len(scanned)} files")


if __name__ == "__main__":
    main()
