"""What an upgrade does: which values replace the pods, and what stays."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from support.helm_chart import CHART, HELM_VERSIONS, NAME, documents, feature, helm, rendered

import exporter
from tools.pod import Object, config_map_of, only

if TYPE_CHECKING:
    from pathlib import Path

VALUES = CHART / "ci" / "tls-values.yaml"


def after(version: str, values: dict[str, Any]) -> list[Object]:
    """Return the objects after an upgrade to more values."""
    return rendered(version, f"--values={VALUES}", values=values)


def pods_after(version: str, values: dict[str, Any]) -> Object:
    """Return the template of the pods after an upgrade; where it differs, the pods are replaced."""
    template: Object = only(after(version, values), "StatefulSet")["spec"]["template"]
    return template


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_changed_configuration_replaces_the_pods(version: str) -> None:
    """The ConfigMap keeps its name, so no old one is left; a checksum in the pods' template follows it."""
    plain = config_map_of(after(version, {}))
    changed = config_map_of(after(version, {"config": {"poll": {"interval": "20s"}}}))
    checksums = [
        pods_after(version, values)["metadata"]["annotations"]["checksum/config"]
        for values in (
            {},
            {"log": {"level": "debug"}},
            {"config": {"poll": {"interval": "20s"}}},
            {"web": {"tls": {"clientCertificates": True}}},
        )
    ]

    assert NAME == plain["metadata"]["name"] == changed["metadata"]["name"]
    assert "immutable" not in plain
    assert plain["data"] != changed["data"]
    assert checksums[0] == checksums[1]
    assert 3 == len(set(checksums))


def test_annotations_are_added_to_the_checksum() -> None:
    """Pods have the annotations of the values besides the checksum, and none if there is no ConfigMap."""
    annotations = pods_after("4", {"podAnnotations": {"note": "kept"}})["metadata"]["annotations"]

    assert {"checksum/config", "note"} == annotations.keys()
    assert "annotations" not in only(feature("demo"), "StatefulSet")["spec"]["template"]["metadata"]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_pods_are_not_replaced_for_labels(version: str, tmp_path: Path) -> None:
    """Neither another version of the chart nor labels for all objects replace pods of one image; `podLabels` do."""
    newer = tmp_path / CHART.name
    shutil.copytree(CHART, newer)
    facts = newer / "Chart.yaml"
    facts.write_text(facts.read_text("utf-8").replace(f"version: {exporter.__version__}", "version: 99.0.0"), "utf-8")
    image = {"image": {"tag": exporter.__version__}}
    pods = pods_after(version, image)
    upgraded = helm(version, "template", "desk", newer, "--namespace=trading", f"--values={VALUES}", given="")
    objects = documents(upgraded.stdout)

    assert pods == pods_after(version, {**image, "commonLabels": {"team": "desk"}})
    assert pods == only(objects, "StatefulSet")["spec"]["template"]
    assert "binance-futures-exporter-99.0.0" == only(objects, "StatefulSet")["metadata"]["labels"]["helm.sh/chart"]
    assert pods != pods_after(version, {**image, "podLabels": {"team": "desk"}})


@pytest.mark.parametrize(
    ("tag", "label"),
    [
        ("", exporter.__version__),
        ("v1.2_rc-3", "v1.2_rc-3"),
        ("x-", exporter.__version__),
        ("a" * 64, exporter.__version__),
    ],
)
def test_version_label_is_the_images(tag: str, label: str) -> None:
    """Objects are labelled with the tag of the image, or the chart's version if the tag cannot be a label."""
    labels = only(after("4", {"image": {"tag": tag}}), "StatefulSet")["metadata"]["labels"]

    assert label == labels["app.kubernetes.io/version"]
