"""What an upgrade does: which values roll the pods, and what those that are not replaced yet go on with."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from support.helm_chart import CHART, HELM_VERSIONS, NAME, documents, helm, rendered

import exporter
from tools.pod import Object, config_map_of, only, pod_of

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
def test_changed_configuration_is_another_config_map(version: str) -> None:
    """With the configuration the ConfigMap's name changes, which the pods go by, and with nothing else; it is fixed."""
    plain = config_map_of(after(version, {}))
    labelled = config_map_of(after(version, {"commonLabels": {"team": "desk"}, "log": {"level": "debug"}}))
    changed = config_map_of(after(version, {"config": {"poll": {"interval": "20s"}}}))
    certificates = config_map_of(after(version, {"web": {"tls": {"clientCertificates": True}}, **CLIENT}))
    names = [each["metadata"]["name"] for each in (plain, labelled, changed, certificates)]

    assert (True, plain["data"]) == (plain["immutable"], labelled["data"])
    assert names[0] == names[1]
    assert 3 == len(set(names))
    assert [] == [name for name in names if not name.startswith(f"{NAME}-") or len(name) > len(NAME) + 11]
    assert pods_after(version, {}) != pods_after(version, {"config": {"poll": {"interval": "20s"}}})


CLIENT = {
    "scrape": {"tlsConfig": {"cert": {"secret": {"name": "a", "key": "b"}}, "keySecret": {"name": "a", "key": "c"}}}
}


def test_renewed_certificates_reach_pods_without_their_config_map() -> None:
    """What has to be followed for as long as a pod runs is in volumes that hold nothing of the ConfigMap."""
    volumes = {volume["name"]: volume for volume in pod_of(after("4", {}))["volumes"]}
    sources = [source for name in ("keys", "web") for source in volumes[name]["projected"]["sources"]]

    assert ["binance-main", "exporter-tls"] == [source["secret"]["name"] for source in sources]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_annotations_of_pods_are_the_operators(version: str) -> None:
    """Pods have the annotations that the values give them, and none of the chart's own."""
    assert {"note": "kept"} == pods_after(version, {"podAnnotations": {"note": "kept"}})["metadata"]["annotations"]
    assert "annotations" not in pods_after(version, {})["metadata"]


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


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize(
    ("tag", "label"),
    [
        ("", exporter.__version__),
        ("v1.2_rc-3", "v1.2_rc-3"),
        ("x-", exporter.__version__),
        ("a" * 64, exporter.__version__),
    ],
)
def test_version_label_is_the_images(version: str, tag: str, label: str) -> None:
    """Objects are labelled with the tag of the image, or the chart's version where no tag can be a label."""
    labels = only(after(version, {"image": {"tag": tag}}), "StatefulSet")["metadata"]["labels"]

    assert label == labels["app.kubernetes.io/version"]
