"""What the chart's objects are called, and that a name is text, whatever it looks like."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from support.helm_chart import HELM_VERSIONS, feature, refused, rendered
from support.helm_render import FOREIGN, NEWEST, OLDEST, complaints_of_the_operator

from tools.pod import exporter_of, only, pod_of

# Each is something other than text where YAML finds it without quotes.
NUMBERS = {
    "a Secret": "7",
    "another Secret": "1e3",
    "a key": "0x1f",
    "another key": "12",
    "a class": "1",
    "an account of the cluster": "017",
    "web": "2",
    "tls": "3",
    "a pull Secret": "4",
    "a namespace": "42",
    "a repository": "99",
    "a tag": "30",
    "an account": "1:30",
    "a label": "1.5",
    "a name": "null",
    "a word": "true",
}


def values_with(names: dict[str, str]) -> dict[str, Any]:
    """Return values in which everything that can have a name has one."""
    keys = {"api_key_file": names["a key"], "secret_key_file": names["another key"]}
    return {
        "nameOverride": names["a word"],
        "fullnameOverride": names["a name"],
        "image": {"repository": names["a repository"], "tag": names["a tag"]},
        "imagePullSecrets": [{"name": names["a pull Secret"]}, names["web"]],
        "statefulSet": {"annotations": {"one": names["a label"]}},
        "envFrom": [{"secretRef": {"name": names["web"]}}],
        "commonLabels": {"one": names["a label"]},
        "accounts": [
            {"name": names["an account"], "secretName": names["a Secret"], **keys},
            {"name": "other", "secretName": names["another Secret"], **keys},
        ],
        "web": {"existingSecret": names["web"], "tls": {"enabled": True, "secretName": names["tls"]}},
        "serviceAccount": {"name": names["an account of the cluster"], "annotations": {"one": names["a label"]}},
        "service": {"labels": {"two": names["a label"]}, "annotations": {"one": names["a label"]}},
        "job": names["a tag"],
        "serviceMonitor": {
            "enabled": True,
            "namespace": names["a namespace"],
            "labels": {"one": names["a label"]},
            "jobLabel": "",
            "targetLabels": [names["a word"]],
            "basicAuth": {
                "username": {"name": names["a Secret"], "key": names["a key"]},
                "password": {"name": names["a Secret"], "key": names["another key"]},
            },
        },
        "prometheusRule": {"enabled": True, "additionalLabels": {"one": names["a label"]}},
        "dashboards": {
            "enabled": True,
            "namespace": names["a namespace"],
            "labels": {"one": names["a label"]},
            "annotations": {"one": names["a label"]},
        },
        "networkPolicy": {"enabled": True},
        "podLabels": {"two": names["a label"]},
        "podAnnotations": {"one": names["a label"]},
        "nodeSelector": {"one": names["a label"]},
        "priorityClassName": names["a class"],
        "extraArgs": ["--web.enable-lifecycle"],
        "extraEnv": [{"name": "ONE", "value": names["a tag"]}],
    }


def shape(value: object) -> object:
    """Return a value with the kind of each scalar in its place."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_names_that_look_like_numbers_are_text(version: str) -> None:
    """Names that YAML would read as numbers, booleans or nothing stay text in every object, as Kubernetes demands."""
    words = {what: f"name{index}" for index, what in enumerate(NUMBERS)}
    objects = rendered(version, "--namespace=42", values=values_with(NUMBERS), release="123")
    plain = rendered(version, "--namespace=space", values=values_with(words), release="release")

    assert shape(plain) == shape(objects)
    for each in objects:
        if each["apiVersion"] not in FOREIGN:
            kubernetes_validate.validate(each, OLDEST, strict=True)
            kubernetes_validate.validate(each, NEWEST, strict=True)
    assert [] == complaints_of_the_operator([each for each in objects if each["apiVersion"] in FOREIGN])["complaints"]
    assert ("null", "42") == (only(objects, "Service")["metadata"]["name"], objects[0]["metadata"]["namespace"])
    assert ("99:30", "1", "017") == (
        exporter_of(objects)["image"],
        pod_of(objects)["priorityClassName"],
        pod_of(objects)["serviceAccountName"],
    )


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize(
    ("release", "name"),
    [("123", "123-binance-futures-exporter"), ("my.desk", "my.desk-binance-futures-exporter")],
)
def test_release_that_no_service_can_be_named_after_wants_a_name(version: str, release: str, name: str) -> None:
    """A release whose name starts with a digit or has a dot is refused, with the value that gives it a name."""
    complaint = refused(version, "--set=demo=true", release=release)
    named = rendered(version, "--set=demo=true,fullnameOverride=desk", release=release)

    assert f'"{name}" cannot be the name of a Service' in complaint
    assert "set fullnameOverride" in complaint
    assert "desk" == only(named, "Service")["metadata"]["name"]
    assert release == only(named, "StatefulSet")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"]


def test_names_stay_short() -> None:
    """A name is cut where a StatefulSet's labels would grow too long, and never ends in a hyphen."""
    objects = [each for each in feature("digest") if each["kind"] != "ConfigMap"]
    names = {each["metadata"]["name"].removesuffix("-test") for each in objects}
    hyphens = rendered("4", f"--set=demo=true,fullnameOverride={'a' * 50}---b")

    assert {"futures-exporter-of-the-whole-desk-with-a-name-too-l"} == names
    assert "a" * 50 == only(hyphens, "Service")["metadata"]["name"]
