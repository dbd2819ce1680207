"""The generator of derived files: what it writes, and what its check reports."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest
from support.paths import ROOT

from monitoring.rules.build import ALERTS
from tools.generate import TABLES, main, with_table

if TYPE_CHECKING:
    from pathlib import Path

FLAGS: Final = "docs/configuration.md"
DASHBOARD: Final = "grafana/dashboards/account.json"
RULES: Final = "prometheus/rules/risk.yml"
LEFTOVER: Final = "prometheus/rules/former.yml"
CHART: Final = "helm/binance-futures-exporter"
CHART_YAML: Final = f"{CHART}/Chart.yaml"
VALUES: Final = "helm/binance-futures-exporter/values.yaml"
GOLDEN: Final = "tests/data/golden/shape_multi.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the project's derived files."""
    for folder in (
        "grafana/dashboards",
        "prometheus/rules",
        "tests/data/golden",
        "helm/binance-futures-exporter/files",
    ):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path in (CHART_YAML, VALUES, *TABLES):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_outdated_files_are_reported_then_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check names each changed, missing and leftover file and changes nothing; the generator restores them all."""
    wanted = contents(root)
    (root / FLAGS).write_bytes(wanted[FLAGS].replace(b"| `--shard` |", b"| `--piece` |"))
    (root / RULES).write_bytes(wanted[RULES].replace(b"severity: warning", b"severity: info"))
    (root / LEFTOVER).write_text("groups: []")
    (root / DASHBOARD).unlink()
    (root / GOLDEN).unlink()
    (root / CHART_YAML).write_bytes(wanted[CHART_YAML].replace(b"version: ", b"version: 9."))
    (root / VALUES).write_bytes(wanted[VALUES].replace(b"    success: 0.6", b"    failure: 0.4"))
    changed = contents(root)
    outdated = {FLAGS, RULES, LEFTOVER, DASHBOARD, GOLDEN, CHART_YAML, VALUES}

    assert 1 == main(["--check"], root)
    assert {f"out of date: {path}" for path in outdated} | {"To update: make generate"} == set(
        capsys.readouterr().out.splitlines()
    )
    assert changed == contents(root)
    assert 0 == main([], root)
    assert wanted == contents(root)


def test_rules_with_other_runbooks(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another address of the runbooks changes the links in the alert rules, and nothing else."""
    before = contents(root)

    assert 0 == main(["--runbooks", "https://wiki.example.org/runbooks/"], root)
    rules = {f"{CHART}/files/rules.json", "prometheus/rules/health.yml", "prometheus/rules/risk.yml"}
    assert {f"written: {path}" for path in rules} == set(capsys.readouterr().out.splitlines())
    changed = [
        (old, new)
        for path, content in contents(root).items()
        for old, new in zip(before[path].splitlines(), content.splitlines(), strict=True)
        if old != new
    ]
    assert 2 * len(ALERTS) == len(changed)  # once for Prometheus, once for the chart
    for old, new in changed:
        assert b"runbook_url" in old
        assert new.rpartition(b"/")[0].endswith(
            (b" https://wiki.example.org/runbooks", b'"https://wiki.example.org/runbooks')
        )
        assert old.rpartition(b"/")[2] == new.rpartition(b"/")[2]


@pytest.mark.parametrize("text", ["no marker", "<!-- a: begin -->\n<!-- a: end -->\n" * 2, "<!-- a: begin -->\n"])
def test_markers_must_be_there_once(text: str) -> None:
    """A table without its markers, or with several, is an error."""
    with pytest.raises(ValueError, match="'a'"):
        with_table(text, "a", "| table |")
