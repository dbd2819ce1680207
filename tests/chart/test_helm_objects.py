"""What single objects of the chart promise."""

from __future__ import annotations

import hashlib
import json

import pytest
import yaml
from support.helm_chart import CHART, FEATURES, NAME, every_feature, feature, helm_test_of

from tools.pod import exporter_of, only, pod_of


@pytest.mark.parametrize("name", FEATURES)
def test_pods_are_hardened(name: str) -> None:
    """Neither the exporter's container nor the test's has root, capabilities, a writable root or a token by default."""
    objects = feature(name)
    for spec in (pod_of(objects), helm_test_of(objects)["spec"]):
        container = spec["containers"][0]

        assert spec["securityContext"]["runAsNonRoot"] is True
        assert {None if name == "openshift" else 10001} == {
            spec["securityContext"].get("runAsUser"),
            spec["securityContext"].get("fsGroup"),
        }
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert {"drop": ["ALL"]} == container["securityContext"]["capabilities"]
        assert spec["enableServiceLinks"] is False
        assert "memory" in container["resources"]["limits"]
    assert helm_test_of(objects)["spec"]["automountServiceAccountToken"] is False
    accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
    assert {name == "vault"} == {each["automountServiceAccountToken"] for each in (pod_of(objects), *accounts)}


def test_keys_are_the_groups_alone() -> None:
    """Everything that comes from a Secret is mounted read-only as files of mode 0440; nothing of it is a variable."""
    for name in FEATURES:
        spec = pod_of(feature(name))
        volumes = {volume["name"] for volume in spec["volumes"] if "projected" in volume}
        modes = {volume["projected"]["defaultMode"] for volume in spec["volumes"] if "projected" in volume}
        mounts = {each["name"]: each.get("readOnly") for each in exporter_of(feature(name))["volumeMounts"]}

        assert modes <= {0o440}
        assert all(mounts[volume] for volume in volumes)
        assert name == "config-map" or not [volume for volume in spec["volumes"] if "secret" in volume]
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
        assert not wanted <= helm_test_of(objects)["metadata"]["labels"].items()


def test_service_is_headless() -> None:
    """The Service names every pod by itself, also before it is ready, and is the StatefulSet's."""
    service = only(feature("service-monitor"), "Service")
    stateful_set = only(feature("service-monitor"), "StatefulSet")["spec"]

    assert "None" == service["spec"]["clusterIP"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["metadata"]["name"] == stateful_set["serviceName"]
    assert "Parallel" == stateful_set["podManagementPolicy"]
    assert [("metrics", 10427)] == [(port["name"], port["port"]) for port in service["spec"]["ports"]]


def test_monitors_take_what_the_operator_offers() -> None:
    """A monitor has the usual settings, keeps the exporter's `endpoint` label and names the job as the rules do."""
    monitor = only(feature("service-monitor"), "ServiceMonitor")
    [endpoint] = monitor["spec"]["endpoints"]
    pods = only(feature("pod-monitor"), "PodMonitor")["spec"]
    job = {"action": "replace", "targetLabel": "job", "replacement": "futures-desk"}

    assert ("monitoring", "kube-prometheus-stack") == (
        monitor["metadata"]["namespace"],
        monitor["metadata"]["labels"]["release"],
    )
    assert {"matchNames": ["trading"]} == monitor["spec"]["namespaceSelector"]
    assert ["team"] == monitor["spec"]["targetLabels"]
    assert {
        "port": "metrics",
        "path": "/metrics",
        "scheme": "http",
        "honorLabels": True,
        "interval": "10s",
        "scrapeTimeout": "5s",
        "relabelings": [job, {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
    } == endpoint
    assert ("app.kubernetes.io/name", ["tier", "desk"]) == (pods["jobLabel"], pods["podTargetLabels"])
    assert [{"port": "metrics", "path": "/metrics", "scheme": "http", "honorLabels": True}] == pods[
        "podMetricsEndpoints"
    ]


def test_monitor_matches_the_web_configuration() -> None:
    """With TLS a monitor checks the certificate by its Secret's CA and the Service's name, and names the password."""
    [plain] = only(feature("tls"), "ServiceMonitor")["spec"]["endpoints"]
    [password] = only(feature("passwords"), "ServiceMonitor")["spec"]["endpoints"]
    [client] = only(feature("client-certificates"), "PodMonitor")["spec"]["podMetricsEndpoints"]
    [files] = only(feature("tls-files"), "ServiceMonitor")["spec"]["endpoints"]
    own = {"ca": {"secret": {"name": "exporter-tls", "key": "ca.crt"}}, "serverName": f"{NAME}.trading.svc"}

    assert ("https", own) == (plain["scheme"], plain["tlsConfig"])
    assert own == password["tlsConfig"]
    assert "password" == password["basicAuth"]["password"]["key"]
    assert {"configMap": {"name": "company-ca", "key": "ca.crt"}} == client["tlsConfig"]["ca"]
    assert {"caFile": "/certs/ca.crt", "certFile": "/certs/tls.crt", "keyFile": "/certs/tls.key"}.items() <= files[
        "tlsConfig"
    ].items()
    assert "exporter.example" == client["tlsConfig"]["serverName"]
    assert "prometheus-client" == client["tlsConfig"]["keySecret"]["name"]


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
    """Flags, variables, volumes, containers, objects, labels, probes and where pods run are set by values."""
    objects = feature("extras")
    stateful_set, spec, container = only(objects, "StatefulSet"), pod_of(objects), exporter_of(objects)
    template = stateful_set["spec"]["template"]["metadata"]
    added = next(each for each in objects if each["kind"] == "ExternalSecret")

    assert ["--web.enable-lifecycle", "--web.disable-exporter-metrics"] == container["args"][-2:]
    assert ["POD_NAME", "HTTPS_PROXY"] == [each["name"] for each in container["env"]]
    assert [
        {"secretRef": {"name": "variables"}},
        {"configMapRef": {"name": "more-variables", "optional": True}},
    ] == container["envFrom"]
    assert (["prepare"], ["exporter", "sidecar"]) == (
        [each["name"] for each in spec["initContainers"]],
        [each["name"] for each in spec["containers"]],
    )
    assert "more" in {volume["name"] for volume in spec["volumes"]}
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    for pod in (spec, helm_test_of(objects)["spec"]):
        assert {"nodeSelector", "tolerations", "affinity"} <= pod.keys()
        assert ("shared", "important", [{"name": "pull"}]) == (
            pod["serviceAccountName"],
            pod["priorityClassName"],
            pod["imagePullSecrets"],
        )
    assert ("trading", "yes") == (template["labels"]["tier"], template["annotations"]["note"])
    assert ["readinessProbe"] == [each for each in container if each.endswith("Probe")]
    assert (5, 2) == (
        container["readinessProbe"]["periodSeconds"],
        container["readinessProbe"]["successThreshold"],
    )
    assert "desk" == added["metadata"]["labels"]["release"]
    assert {"shards": "1"} == next(each for each in objects if each["metadata"]["name"] == "desk-futures-note")["data"]
    assert [] == [each for each in objects if each["kind"] == "ServiceAccount"]
    assert {"desk"} == {each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"]}
    assert "http://desk-futures-0.desk-futures.desk.svc:10427/-/ready" in json.dumps(helm_test_of(objects))


def test_how_pods_are_replaced_is_set_by_values() -> None:
    """Strategy, history, time to stop, disruption budget and annotations of the StatefulSet are those of the values."""
    objects = feature("shards")
    stateful_set, budget = only(objects, "StatefulSet"), only(objects, "PodDisruptionBudget")["spec"]

    assert {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}} == stateful_set["spec"]["updateStrategy"]
    assert (3, 10) == (
        stateful_set["spec"]["revisionHistoryLimit"],
        pod_of(objects)["terminationGracePeriodSeconds"],
    )
    assert {"reloader.stakater.com/auto": "true"} == stateful_set["metadata"]["annotations"]
    assert {"maxUnavailable": 1, "selector": stateful_set["spec"]["selector"]} == budget


def test_chart_can_be_a_part_of_another() -> None:
    """A parent chart's condition and shared pull Secrets, in either form, are accepted; labels reach the Service."""
    objects = feature("service-monitor")
    service = only(objects, "Service")["metadata"]

    assert [{"name": "shared"}, {"name": "pull"}] == pod_of(objects)["imagePullSecrets"]
    assert exporter_of(objects)["image"].startswith("registry.example/binance-futures-exporter:")
    assert ("desk", {"note": "true"}) == (service["labels"]["team"], service["annotations"])


def test_every_object_has_the_common_labels() -> None:
    """Every object of the chart's own carries the recommended labels and the operator's."""
    for each in feature("extras"):
        if each["metadata"]["name"] in {"binance-main", "desk-futures-note"}:
            continue
        labels = each["metadata"]["labels"]

        assert "desk" == labels["team"] == labels["app.kubernetes.io/part-of"]
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

    assert image == exporter_of(objects)["image"] == helm_test_of(objects)["spec"]["containers"][0]["image"]


def test_pods_are_spread() -> None:
    """A constraint without a selector is about the exporter's own pods, one with a selector is left alone."""
    objects = feature("shards")
    first, second = pod_of(objects)["topologySpreadConstraints"]

    assert only(objects, "StatefulSet")["spec"]["selector"] == first["labelSelector"]
    assert {"matchLabels": {"app": "mine"}} == second["labelSelector"]
