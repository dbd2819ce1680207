"""What the chart takes from elsewhere, and what says the same in several of its files."""

from __future__ import annotations

import json
import re
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml
from support.helm_chart import CHART, HELM_VERSIONS, NAME, every_feature, feature, helm, rendered
from support.paths import ROOT

import exporter
from tools import chart
from tools.pod import only

if TYPE_CHECKING:
    from pathlib import Path

DASHBOARDS = {path.name: path.read_bytes() for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))}


def test_readme_builds_the_image_that_the_chart_runs() -> None:
    """The image that the chart's README builds has the tag that the chart runs by default."""
    facts = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    readme = (CHART / "README.md").read_text(encoding="utf-8")

    assert f"--tag registry.example/{facts['name']}:{facts['appVersion']} ." in readme


def test_every_value_has_one_comment() -> None:
    """Each value is documented by one line."""
    assert [] == [value.path for value in chart.values() if len(value.comments) != 1]


def test_dashboards_are_the_shipped_ones() -> None:
    """Each dashboard reaches Grafana's sidecar byte for byte, in a separate ConfigMap with the sidecar's label."""
    found = [each for each in feature("dashboards") if each["metadata"]["name"].startswith(f"{NAME}-dashboard-")]

    assert DASHBOARDS
    assert {f"binance-futures-{name}": content.decode() for name, content in DASHBOARDS.items()} == {
        key: text for each in found for key, text in each["data"].items()
    }
    assert len(DASHBOARDS) == len(found)
    for each in found:
        assert "grafana" == each["metadata"]["namespace"]
        assert {"grafana_dashboard": "1", "team": "desk"}.items() <= each["metadata"]["labels"].items()
        assert {"grafana_folder": "Binance"} == each["metadata"]["annotations"]
        assert len(json.dumps(each)) < 1024 * 1024  # what a cluster takes


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_package_holds_the_files(version: str, tmp_path: Path) -> None:
    """`helm package` includes the dashboards and the rules, and leaves out the values of tests."""
    done = helm(version, "package", CHART, "--destination", tmp_path)
    assert 0 == done.returncode, done.stderr
    with tarfile.open(tmp_path / f"binance-futures-exporter-{exporter.__version__}.tgz") as package:
        members = {member.name.partition("/")[2]: member for member in package.getmembers()}
        packed = {}
        for name in DASHBOARDS:
            member = members[f"files/dashboards/{name}"]
            assert member.isfile()
            file = package.extractfile(member)
            assert file
            packed[name] = file.read()

    assert DASHBOARDS == packed
    assert not [name for name in members if name.startswith("ci/")]
    assert {"values.schema.json", "README.md", "files/rules.json", "files/ready.py"} <= members.keys()


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_manifest_of_the_readme_keeps_its_templates(version: str) -> None:
    """Templates that another program fills in get past Helm in the form that the README gives them."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(extraManifests:\n.*?)```", readme, re.DOTALL)
    assert block
    spec = only(rendered(version, values={"demo": True, **yaml.safe_load(block[1])}), "ExternalSecret")["spec"]

    assert {"api-key": "{{ .key }}", "secret-key": "{{ .secret }}"} == spec["target"]["template"]["data"]


def test_objects_are_not_published() -> None:
    """No feature makes an Ingress, an autoscaler or a Secret."""
    kinds = {each["kind"] for _, each in every_feature()}

    assert {
        "ConfigMap",
        "ExternalSecret",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    } == kinds
