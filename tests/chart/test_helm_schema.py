"""The schema of the values knows the chart's own keys, and leaves the rest to Kubernetes and the exporter."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from support.helm_chart import CHART, HELM_VERSIONS, rendered
from support.helm_refusals import schema_complaint
from support.helm_render import FOREIGN, NEWEST

from tools.pod import exporter_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def objects_of(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every place of a schema that describes the keys of an object."""
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict):
            yield path, schema
        for key, value in schema.items():
            yield from objects_of(value, f"{path}.{key}" if path else key)


def test_schema_is_strict() -> None:
    """Every object with keys of the chart's own refuses others; those that others define are open."""
    assert {
        *("properties.global", "properties.config.properties.binance", "definitions.keyOf", "definitions.tlsConfig")
    } == {path for path, each in objects_of(SCHEMA) if each.get("additionalProperties") is not False}


def keys_of(values: Any, schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield the keys of each object of the values, and those that the schema lists for it."""
    if isinstance(values, dict) and "properties" in schema:
        yield path, set(values), set(schema["properties"])
        for key, value in values.items():
            yield from keys_of(value, schema["properties"].get(key, {}), f"{path}.{key}")


def test_schema_knows_the_values() -> None:
    """Schema and values.yaml list the same keys, except for a synonym and for what Kubernetes defines."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    assert {".podMonitor": {"podTargetLabels"}} == {
        path: known ^ given
        for path, given, known in keys_of(values, SCHEMA)
        if known != given and path not in {".config.binance", ".podDisruptionBudget"}
    }


# Everything at once that a hardened or an odd cluster may need.
UNUSUAL: dict[str, Any] = {
    "demo": True,
    "podSecurityContext": {
        "runAsUser": None,
        "fsGroup": 1000650000,
        "supplementalGroups": [0, 2147483647],
        "seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/exporter.json"},
        "appArmorProfile": {"type": "RuntimeDefault"},
    },
    "securityContext": {"runAsUser": 1000650000, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
    "resources": {"requests": {"cpu": 0.25, "memory": 134217728}, "limits": {"memory": "1.5Gi"}},
    "tolerations": [
        {"operator": "Exists"},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}},
    ],
    "extraEnv": [
        {"name": "EMPTY", "value": ""},
        {"name": "UNSET"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "NOTE", "valueFrom": {"configMapKeyRef": {"name": "notes", "key": "note", "optional": True}}},
    ],
    "probes": {"liveness": {"terminationGracePeriodSeconds": 5}, "readiness": {"successThreshold": 3}},
    "commonLabels": {"example.com/team": "", "a_b.c-d": "A_b.c-9"},
    "podAnnotations": {"Example.com/Note": "any text: at all\nin lines"},
}


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_unusual_values_are_accepted(version: str) -> None:
    """Security contexts, quantities, tolerations and the like are rendered as they are."""
    objects = rendered(version, values=UNUSUAL)
    spec = pod_of(objects)

    for each in objects:
        if each["apiVersion"] not in FOREIGN:
            kubernetes_validate.validate(each, NEWEST, strict=True)
    for field in ("tolerations", "topologySpreadConstraints"):
        assert UNUSUAL[field] == spec[field]
    assert UNUSUAL["resources"] == exporter_of(objects)["resources"]
    assert UNUSUAL["extraEnv"] == exporter_of(objects)["env"][1:]
    assert "runAsUser" not in spec["securityContext"]
    assert 1000650000 == spec["securityContext"]["fsGroup"] == exporter_of(objects)["securityContext"]["runAsUser"]


# Each value, and the place that both Helms name.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"shard": 2}, "shard"),
    ({"image": {"tags": "2"}}, "tags"),
    ({"image": {"digest": "sha256:12"}}, "image.digest"),
    *(
        ({"image": {"repository": name}}, "image.repository")
        for name in ("desk/exporter:1.0", "Desk/Exporter", "a://b")
    ),
    *(({"image": {"tag": tag}}, "image.tag") for tag in ("1.0@sha256:12", "of the day")),
    ({"global": {"imageRegistry": "https://images.example"}}, "global.imageRegistry"),
    ({"fullnameOverride": "My_Exporter"}, "fullnameOverride"),
    ({"commonLabels": {"one": 1}}, "commonLabels.one"),
    ({"podAnnotations": {"note": True}}, "podAnnotations.note"),
    ({"probes": {"live": {}}}, "live"),
    ({"probes": {"liveness": {"enabled": False}}}, "enabled"),
    ({"podDisruptionBudget": {"enabled": True}}, "enabled"),
    ({"podDisruptionBudget": {"selector": {}}}, "selector"),
    ({"imagePullSecrets": [""]}, "imagePullSecrets.0"),
    ({"global": {"imagePullSecrets": [{"name": ""}]}}, "global.imagePullSecrets.0"),
    *(({"config": {"binance": {"weight_share": share}}}, "config.binance.weight_share") for share in (0, 0.009, 0.91)),
    ({"config": {"binance": {"rest_weight_share": 0.91}}}, "config.binance.rest_weight_share"),
    ({"serviceMonitor": {"tlsconfig": {}}}, "tlsconfig"),
    ({"serviceMonitor": {"basicAuth": {"password": "sesame"}}}, "serviceMonitor.basicAuth.password"),
    ({"podMonitor": {"basicAuth": {"username": {"name": "a"}}}}, "podMonitor.basicAuth.username"),
    ({"job": "the desk"}, "job"),
    ({"prometheusRule": {"thresholds": {"margin_ratio": 0.7}}}, "margin_ratio"),
    ({"prometheusRule": {"thresholds": {"success": 60}}}, "prometheusRule.thresholds.success"),
    ({"prometheusRule": {"thresholds": {"success": "0.6"}}}, "prometheusRule.thresholds.success"),
    ({"extraEnv": [{"value": "a"}]}, "extraEnv.0"),
    ({"accounts": [{"name": "a", "api_key_file": "b", "secret_key": "sesame"}]}, "secret_key"),
    ({"accounts": [{"name": 1, "api_key_file": "b"}]}, "accounts.0.name"),
    ({"accounts": [{"name": "a"}]}, "api_key_file"),
]
CASES = [{"demo": True, **values} for values, _ in REFUSED]


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize(("values", "place"), REFUSED)
def test_wrong_values_are_refused_with_their_place(version: str, values: dict[str, Any], place: str) -> None:
    """Unknown keys and values of a wrong kind or size are refused with their place, without showing a text."""
    complaint = schema_complaint(version, {"demo": True, **values}, CASES)

    assert place in re.sub(r"(?<=\w)/(?=\w)", ".", complaint)  # Helm 4 writes 'a/b'
    assert "sesame" not in complaint
