"""What single objects of the chart promise."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import yaml
from support.helm_chart import CHART, FEATURES, HELM_VERSIONS, NAME, every_feature, feature, rendered

from tools.pod import exporter_of, only, pod_of


@pytest.mark.parametrize("name", FEATURES)
def test_pods_are_hardened(name: str) -> None:
    """Neither the exporter's container nor the test's has root, capabilities, a writable root or a token."""
    objects = feature(name)
    for spec in (pod_of(objects), only(objects, "Pod")["spec"]):
        container = spec["containers"][0]

        assert spec["securityContext"]["runAsNonRoot"] is True
        assert 10001 == spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"]
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert {"drop": ["ALL"]} == container["securityContext"]["capabilities"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert [] == [
            each
            for each in objects
            if each.get("automountServiceAccountToken") is not False and each["kind"] == "ServiceAccount"
        ]
        assert "memory" in container["resources"]["limits"]


def test_keys_are_the_groups_alone() -> None:
    """Everything that comes from a Secret is mounted read-only as files of mode 0440; nothing of it is a variable."""
    for name in FEATURES:
        spec = pod_of(feature(name))
        volumes = {volume["name"] for volume in spec["volumes"] if "projected" in volume}
        modes = {volume["projected"]["defaultMode"] for volume in spec["volumes"] if "projected" in volume}
        mounts = {each["name"]: each.get("readOnly") for each in exporter_of(feature(name))["volumeMounts"]}

        assert modes <= {0o440}
        assert all(mounts[volume] for volume in volumes)
        assert not [volume for volume in spec["volumes"] if "secret" in volume]
    assert ["POD_NAME"] == [each["name"] for each in exporter_of(feature("accounts"))["env"]]


def test_selectors_find_the_pods_and_no_other() -> None:
    """StatefulSet, Service, monitors and policy select the exporter's pods, and never the test's."""
    for name, each in every_feature():
        if each["kind"] not in {"StatefulSet", "Service", "ServiceMonitor", "PodMonitor", "NetworkPolicy"}:
            continue
        spec = each["spec"]
        selector = spec["podSelector"] if each["kind"] == "NetworkPolicy" else spec["selector"]
        wanted = selector.get("matchLabels", selector).items()
        objects = feature(name)
        labels = only(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]

        assert wanted <= labels.items()
        assert wanted <= only(objects, "Service")["metadata"]["labels"].items()
        assert not wanted <= only(objects, "Pod")["metadata"]["labels"].items()


def test_service_is_headless() -> None:
    """The Service names every pod by itself, also before it is ready, and is the StatefulSet's."""
    service = only(feature("service-monitor"), "Service")
    stateful_set = only(feature("service-monitor"), "StatefulSet")["spec"]

    assert "None" == service["spec"]["clusterIP"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["metadata"]["name"] == stateful_set["serviceName"]
    assert "Parallel" == stateful_set["podManagementPolicy"]
    assert [("metrics", 10427)] == [(port["name"], port["port"]) for port in service["spec"]["ports"]]


@pytest.mark.parametrize(("name", "kind"), [("service-monitor", "ServiceMonitor"), ("pod-monitor", "PodMonitor")])
def test_monitor_leaves_labels_alone(name: str, kind: str) -> None:
    """A monitor keeps the exporter's own `endpoint` label and names the job as the rules know it."""
    spec = only(feature(name), kind)["spec"]
    [endpoint] = spec.get("endpoints") or spec["podMetricsEndpoints"]
    job = {"service-monitor": "futures-desk", "pod-monitor": "binance-futures"}[name]

    assert endpoint["honorLabels"] is True
    assert [{"action": "replace", "targetLabel": "job", "replacement": job}] == endpoint["relabelings"]
    assert ("metrics", "/metrics", "http") == (endpoint["port"], endpoint["path"], endpoint["scheme"])
    assert ("10s" if name == "service-monitor" else None) == endpoint.get("interval")


def test_monitor_matches_the_web_configuration() -> None:
    """With TLS a monitor checks the certificate by its Secret's CA and the Service's name, and names the password."""
    [plain] = only(feature("tls"), "ServiceMonitor")["spec"]["endpoints"]
    [password] = only(feature("passwords"), "ServiceMonitor")["spec"]["endpoints"]
    [client] = only(feature("client-certificates"), "PodMonitor")["spec"]["podMetricsEndpoints"]
    own = {"ca": {"secret": {"name": "exporter-tls", "key": "ca.crt"}}, "serverName": f"{NAME}.trading.svc"}

    assert ("https", own) == (plain["scheme"], plain["tlsConfig"])
    assert own == password["tlsConfig"]
    assert "password" == password["basicAuth"]["password"]["key"]
    assert {"configMap": {"name": "company-ca", "key": "ca.crt"}} == client["tlsConfig"]["ca"]
    assert "exporter.example" == client["tlsConfig"]["serverName"]
    assert "prometheus-client" == client["tlsConfig"]["keySecret"]["name"]


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor"])
@pytest.mark.parametrize("given", [{"insecureSkipVerify": True}, {"serverName": "exporter.example"}])
def test_tls_of_a_monitor_is_taken_as_it_is_given(version: str, kind: str, given: dict[str, Any]) -> None:
    """A monitor that is told how to check the certificate asks for no `ca.crt`, which the Secret may not have."""
    tls = {"enabled": True, "secretName": "exporter-tls"}
    values = {"demo": True, "web": {"tls": tls}, "scrape": {"tlsConfig": given}, kind: {"enabled": True}}
    spec = only(rendered(version, values=values), kind[0].upper() + kind[1:])["spec"]
    [endpoint] = spec.get("endpoints") or spec["podMetricsEndpoints"]

    assert given == endpoint["tlsConfig"]


@pytest.mark.parametrize(
    ("name", "handler"),
    [
        ("service-monitor", ("httpGet", "HTTP")),
        ("tls", ("httpGet", "HTTPS")),
        ("passwords", ("httpGet", "HTTPS")),
        ("client-certificates", ("tcpSocket", None)),
    ],
)
def test_probes_ask_what_they_can(name: str, handler: tuple[str, str | None]) -> None:
    """Probes ask the health paths by the scheme in use, and open a socket where certificates are demanded."""
    container = exporter_of(feature(name))
    paths = {"startupProbe": "/-/healthy", "livenessProbe": "/-/healthy", "readinessProbe": "/-/ready"}
    for probe, path in paths.items():
        found = container[probe][handler[0]]

        assert "metrics" == found["port"]
        assert (path if handler[1] else None, handler[1]) == (found.get("path"), found.get("scheme"))


def test_everything_can_be_added() -> None:
    """Flags, variables, volumes, containers, objects, labels, probes' times and where pods run are the operator's."""
    objects = feature("extras")
    stateful_set, spec, container = only(objects, "StatefulSet"), pod_of(objects), exporter_of(objects)
    template = stateful_set["spec"]["template"]["metadata"]
    added = next(each for each in objects if each["kind"] == "ExternalSecret")

    assert ["--web.enable-lifecycle", "--web.disable-exporter-metrics"] == container["args"][-2:]
    assert ["POD_NAME", "HTTPS_PROXY"] == [each["name"] for each in container["env"]]
    assert ["exporter", "sidecar"] == [each["name"] for each in spec["containers"]]
    assert "more" in {volume["name"] for volume in spec["volumes"]}
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    assert ("shared", "important", [{"name": "pull"}]) == (
        spec["serviceAccountName"],
        spec["priorityClassName"],
        spec["imagePullSecrets"],
    )
    assert {"nodeSelector", "tolerations", "affinity"} <= spec.keys()
    assert ("trading", "yes") == (template["labels"]["tier"], template["annotations"]["note"])
    assert (90, 2) == (container["startupProbe"]["failureThreshold"], container["startupProbe"]["periodSeconds"])
    assert (3, 20, 2) == (
        container["livenessProbe"]["initialDelaySeconds"],
        container["livenessProbe"]["periodSeconds"],
        container["readinessProbe"]["successThreshold"],
    )
    assert "desk" == added["metadata"]["labels"]["release"]
    assert {"shards": "1"} == next(each for each in objects if each["metadata"]["name"] == "desk-futures-note")["data"]
    assert [] == [each for each in objects if each["kind"] == "ServiceAccount"]


def test_every_object_has_the_common_labels() -> None:
    """Every object of the chart's own carries the recommended labels and the operator's."""
    for each in feature("extras"):
        if each["metadata"]["name"] in {"binance-main", "desk-futures-note"}:
            continue
        labels = each["metadata"]["labels"]

        assert "desk" == labels["team"]
        assert {"name", "instance", "version", "component", "part-of", "managed-by"} == {
            label.removeprefix("app.kubernetes.io/") for label in labels if label.startswith("app.kubernetes.io/")
        }


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("demo", f"binance-futures-exporter:{yaml.safe_load((CHART / 'Chart.yaml').read_text('utf-8'))['appVersion']}"),
        ("extras", "registry.example/mirror/desk/exporter:1.2.3"),
        ("digest", f"binance-futures-exporter@sha256:{hashlib.sha256(b'test').hexdigest()}"),
    ],
)
def test_image_is_by_tag_or_digest(name: str, image: str) -> None:
    """The image is that of the chart's version, of a tag or a digest, from the release's registry; the test's too."""
    objects = feature(name)

    assert image == exporter_of(objects)["image"] == only(objects, "Pod")["spec"]["containers"][0]["image"]


def test_pods_are_spread() -> None:
    """A constraint without a selector is about the exporter's own pods, one with a selector is left alone."""
    objects = feature("shards")
    first, second = pod_of(objects)["topologySpreadConstraints"]

    assert only(objects, "StatefulSet")["spec"]["selector"] == first["labelSelector"]
    assert {"matchLabels": {"app": "mine"}} == second["labelSelector"]
