"""What the schema of the values knows, and what of Kubernetes' own types it refuses."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from support.helm_chart import CHART, HELM_VERSIONS, rendered
from support.helm_refusals import refusals
from support.helm_render import FOREIGN, NEWEST

from tools.pod import exporter_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
# Where the schema spells a type of Kubernetes, and what that is called there.
TYPES = {
    "properties.affinity": "affinity",
    "properties.extraEnv.items": "envvar",
    "properties.extraEnv.items.properties.valueFrom": "envvarsource",
    "properties.extraEnv.items.properties.valueFrom.properties.fieldRef": "objectfieldselector",
    "properties.extraEnv.items.properties.valueFrom.properties.fileKeyRef": "filekeyselector",
    "properties.extraEnv.items.properties.valueFrom.properties.resourceFieldRef": "resourcefieldselector",
    "properties.extraVolumeMounts.items": "volumemount",
    "properties.podSecurityContext": "podsecuritycontext",
    "properties.podSecurityContext.properties.sysctls.items": "sysctl",
    "properties.securityContext": "securitycontext",
    "properties.securityContext.properties.capabilities": "capabilities",
    "properties.tolerations.items": "toleration",
    "properties.topologySpreadConstraints.items": "topologyspreadconstraint",
    "definitions.confinement": "seccompprofile",
    "definitions.keyOf": "secretkeyselector",
    "definitions.labelSelector": "labelselector-meta",
    "definitions.peer": "networkpolicypeer-networking",
    "definitions.peer.properties.ipBlock": "ipblock-networking",
    "definitions.policyPort": "networkpolicyport-networking",
    "definitions.seLinuxOptions": "selinuxoptions",
    "definitions.windowsOptions": "windowssecuritycontextoptions",
}
CONDITIONS = {"if", "then", "else", "not", "dependencies"}


def objects_of(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every place of a schema that describes the keys of an object."""
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict):
            yield path, schema
        for key, value in schema.items():
            if key not in CONDITIONS:
                yield from objects_of(value, f"{path}.{key}" if path else key)


def test_schema_is_strict() -> None:
    """Every object whose keys the schema lists refuses others, but for what all charts of a release share."""
    assert ["properties.global"] == [
        path for path, each in objects_of(SCHEMA) if each.get("additionalProperties") is not False
    ]


def keys_of(values: Any, schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield the keys of each object of the values, and those that the schema lists for it."""
    if isinstance(values, dict) and "properties" in schema:
        yield path, set(values), set(schema["properties"])
        for key, value in values.items():
            yield from keys_of(value, schema["properties"].get(key, {}), f"{path}.{key}")


def test_schema_knows_the_values() -> None:
    """Schema and values.yaml list the same keys; only what is optional within one value stands in the schema alone."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    differing = {path: known ^ given for path, given, known in keys_of(values, SCHEMA) if known != given}
    theirs = {path.replace("properties.", "").removeprefix("definitions.") for path in TYPES}

    assert {
        ".config.binance": {"proxy", "recv_window", "request_timeout"},
        ".scrape.basicAuth": {"username", "password"},
        ".scrape.tlsConfig": {
            "ca",
            "cert",
            "keySecret",
            "serverName",
            "insecureSkipVerify",
            "minVersion",
            "maxVersion",
        },
    } == {path: keys for path, keys in differing.items() if path.removeprefix(".") not in theirs}


@pytest.mark.parametrize(("path", "name"), TYPES.items())
def test_schema_has_the_fields_of_kubernetes(path: str, name: str) -> None:
    """What the schema spells of Kubernetes' types has the fields that the newest one has, and demands the same."""
    ours = SCHEMA
    for key in path.split("."):
        ours = ours[key]
    folder = files(kubernetes_validate) / "kubernetes-json-schema" / f"v{NEWEST}-local-strict"
    theirs = json.loads((folder / f"{name}-v1.json").read_text(encoding="utf-8"))

    assert set(theirs["properties"]) == set(ours["properties"])
    assert set(theirs.get("required", ())) <= set(ours.get("required", ()))


# Everything at once that an operator of a hardened cluster, or of an odd one, may want.
UNUSUAL: dict[str, Any] = {
    "demo": True,
    "podSecurityContext": {
        "runAsUser": None,
        "fsGroup": 1000650000,
        "supplementalGroups": [0, 2147483647],
        "supplementalGroupsPolicy": "Strict",
        "seLinuxChangePolicy": "Recursive",
        "seLinuxOptions": {"level": "s0:c26,c5"},
        "sysctls": [{"name": "net.ipv4.tcp_keepalive_time", "value": "60"}],
        "seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/exporter.json"},
        "appArmorProfile": {"type": "RuntimeDefault"},
    },
    "securityContext": {
        "procMount": "Default",
        "runAsUser": 1000650000,
        "capabilities": {"add": ["NET_BIND_SERVICE"]},
        "seccompProfile": {"type": "Unconfined"},
    },
    "resources": {
        "requests": {"cpu": 0.25, "memory": 134217728, "ephemeral-storage": "1e6", "example.com/fast-nic": "1"},
        "limits": {"cpu": "1.5", "memory": "1.5Gi", "hugepages-2Mi": "4Mi"},
    },
    "tolerations": [
        {"operator": "Exists"},
        {"key": "example.com/trading", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "minDomains": 2,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "matchLabelKeys": ["controller-revision-hash"],
            "nodeAffinityPolicy": "Honor",
            "nodeTaintsPolicy": "Honor",
            "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]},
        },
    ],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [
        {"name": "more", "mountPath": "/more", "readOnly": True, "recursiveReadOnly": "IfPossible", "subPath": "a"},
    ],
    "extraEnv": [
        {"name": "EMPTY", "value": ""},
        {"name": "UNSET"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "NOTE", "valueFrom": {"configMapKeyRef": {"name": "notes", "key": "note", "optional": True}}},
    ],
    "probes": {
        "startup": {"successThreshold": 1},
        "liveness": {"terminationGracePeriodSeconds": 5},
        "readiness": {"successThreshold": 3},
    },
    "commonLabels": {"example.com/team": "", "a_b.c-d": "A_b.c-9"},
    "podAnnotations": {"Example.com/Note": "any text: at all\nin lines"},
}


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_unusual_values_are_accepted(version: str) -> None:
    """What Kubernetes takes of security contexts, quantities, tolerations and the like, the chart takes and renders."""
    objects = rendered(version, values=UNUSUAL)
    spec = pod_of(objects)

    for each in objects:
        if each["apiVersion"] not in FOREIGN:
            kubernetes_validate.validate(each, NEWEST, strict=True)
    assert UNUSUAL["tolerations"] == spec["tolerations"]
    assert UNUSUAL["topologySpreadConstraints"] == spec["topologySpreadConstraints"]
    assert UNUSUAL["resources"] == exporter_of(objects)["resources"]
    assert UNUSUAL["extraEnv"] == exporter_of(objects)["env"][1:]
    assert "runAsUser" not in spec["securityContext"]
    assert 1000650000 == spec["securityContext"]["fsGroup"] == exporter_of(objects)["securityContext"]["runAsUser"]


SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}


REFUSED: list[tuple[str, object, str]] = [
    ("probes", {"startup": {"successThreshold": 2}}, "successThreshold"),
    ("probes", {"liveness": {"successThreshold": 2}}, "successThreshold"),
    ("probes", {"readiness": {"terminationGracePeriodSeconds": 5}}, "terminationGracePeriodSeconds"),
    ("podSecurityContext", {"runAsRoot": False}, "runAsRoot"),
    ("podSecurityContext", {"readOnlyRootFilesystem": True}, "readOnlyRootFilesystem"),
    ("podSecurityContext", {"runAsUser": "10001"}, "runAsUser"),
    ("podSecurityContext", {"fsGroup": -1}, "fsGroup"),
    ("podSecurityContext", {"seccompProfile": {"type": "Localhost"}}, "localhostProfile"),
    ("podSecurityContext", {"seccompProfile": {"localhostProfile": "a"}}, "seccompProfile"),
    ("podSecurityContext", {"fsGroupChangePolicy": "Never"}, "fsGroupChangePolicy"),
    ("securityContext", {"runasuser": 1}, "runasuser"),
    ("securityContext", {"fsGroup": 1}, "fsGroup"),
    ("securityContext", {"privileged": "no"}, "privileged"),
    ("securityContext", {"capabilities": {"drop": "ALL"}}, "drop"),
    ("securityContext", {"capabilities": {"dropped": ["ALL"]}}, "dropped"),
    ("resources", {"requests": {"memory": "128 MB"}}, "memory"),
    ("resources", {"requests": {"memory": "128MB"}}, "memory"),
    ("resources", {"limits": {"cpu": -1}}, "cpu"),
    ("resources", {"limits": {"ram": "1Gi"}}, "ram"),
    ("resources", {"limits": {"cpu": True}}, "cpu"),
    ("resources", {"claims": [{"name": "gpu"}]}, "claims"),
    ("tolerations", [{"keys": "a"}], "keys"),
    ("tolerations", [{"value": "a"}], "tolerations"),
    ("tolerations", [{"key": "a", "operator": "Exists", "value": "b"}], "tolerations"),
    ("tolerations", [{"key": "a", "tolerationSeconds": 3}], "effect"),
    ("tolerations", [{"key": "a", "effect": "NoRun"}], "effect"),
    ("topologySpreadConstraints", [{"maxSkew": 1}], "topologyKey"),
    ("topologySpreadConstraints", [{**SPREAD, "maxSkew": 0}], "maxSkew"),
    ("topologySpreadConstraints", [{**SPREAD, "labels": {}}], "labels"),
    ("topologySpreadConstraints", [{**SPREAD, "minDomains": 2}], "whenUnsatisfiable"),
    ("topologySpreadConstraints", [{**SPREAD, "labelSelector": {"matchLabels": {"a": 1}}}], "matchLabels"),
    ("extraVolumeMounts", [{"name": "a"}], "mountPath"),
    ("extraVolumeMounts", [{"name": "a", "mountPath": "/a", "read_only": True}], "read_only"),
    ("extraVolumeMounts", [{"name": "a", "mountPath": "/a", "subPath": "b", "subPathExpr": "c"}], "extraVolume"),
    ("extraVolumes", [{"emptyDir": {}}], "name"),
    ("extraEnv", [{"name": "A", "values": "b"}], "values"),
    ("extraEnv", [{"name": "A", "value": 1}], "value"),
    ("extraEnv", [{"name": "A=B", "value": "c"}], "name"),
    ("extraEnv", [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}], "extraEnv"),
    ("extraEnv", [{"name": "A", "valueFrom": {}}], "valueFrom"),
    ("extraEnv", [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "b"}}}], "key"),
    ("affinity", {"nodeAfinity": {}}, "nodeAfinity"),
    ("commonLabels", {"team": "the desk"}, "team"),
    ("commonLabels", {"the team": "desk"}, "the team"),
    ("podLabels", {"team": "x" * 64}, "team"),
    ("podAnnotations", {"one two": "x"}, "one two"),
    ("dashboards", {"namespace": "a.b"}, "namespace"),
    ("serviceAccount", {"name": "a..b"}, "name"),
    ("networkPolicy", {"extraEgress": [{"port": 1}]}, "port"),
    ("networkPolicy", {"extraEgress": [{"ports": [{"ports": 1}]}]}, "ports"),
    ("networkPolicy", {"extraEgress": [{"ports": [{"port": 0}]}]}, "port"),
    ("networkPolicy", {"extraEgress": [{"ports": [{"port": "3128"}]}]}, "port"),
    ("networkPolicy", {"extraEgress": [{"ports": [{"port": 1, "protocol": "tcp"}]}]}, "protocol"),
    ("networkPolicy", {"extraEgress": [{"ports": [{"endPort": 2}]}]}, "port"),
    ("networkPolicy", {"ingressFrom": [{}]}, "ingressFrom"),
    ("networkPolicy", {"dnsTo": [{"ipBlock": {"except": []}}]}, "cidr"),
    ("networkPolicy", {"dnsTo": [{"podSelector": {"app": "dns"}}]}, "app"),
    ("networkPolicy", {"dnsTo": [{"namespaceselector": {}}]}, "namespaceselector"),
]
CASES = [{"demo": True, value: wrong} for value, wrong, _ in REFUSED]


@pytest.mark.parametrize(("value", "wrong", "complaint"), REFUSED)
def test_what_kubernetes_would_refuse_is_refused(value: str, wrong: object, complaint: str) -> None:
    """Fields that Kubernetes does not know, and values that it does not take there, are refused with their place."""
    for refusal in refusals({"demo": True, value: wrong}, CASES):
        assert complaint in refusal
