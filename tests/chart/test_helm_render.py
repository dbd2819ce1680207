"""The chart as Helm 3 and 4 render it: what Kubernetes, Prometheus Operator and promtool say of the objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml
from support.helm_chart import (
    CHART,
    FEATURES,
    HELM_VERSIONS,
    every_feature,
    feature,
    helm,
    refused,
    rendered,
)
from support.helm_render import FOREIGN, NEWEST, OLDEST, complaints_of_the_operator
from support.prometheus_server import promtool

from monitoring.rules.build import rule_files
from monitoring.rules.rule import JOB
from tools.pod import only

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "accounts[0].name=main,accounts[0].secretName=s,accounts[0].api_key_file=a,accounts[0].secret_key_file=b"


def test_chart_is_for_the_kubernetes_that_is_tested() -> None:
    """The oldest Kubernetes that objects are checked for is the oldest that the chart lets itself be installed in."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert f">={OLDEST}.0-0" == chart["kubeVersion"]
    assert "kubeVersion" in refused("4", "--set=demo=true", "--kube-version=1.26.9")
    assert rendered("4", "--set=demo=true", f"--kube-version={OLDEST}.0")


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_lint(version: str) -> None:
    """`helm lint --strict` finds nothing, neither with the values of the chart nor with those of any feature."""
    for values in [[], *([f"--values={path}"] for path in sorted((CHART / "ci").iterdir()))]:
        done = helm(version, "lint", "--strict", CHART, *values)

        assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", FEATURES)
def test_both_helms_render_the_same(name: str) -> None:
    """Helm 3 and Helm 4 make the same objects of a feature."""
    oldest, newest = (feature(name, version) for version in HELM_VERSIONS)

    assert list(oldest) == list(newest)


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(kubernetes: str) -> None:
    """The oldest and the newest Kubernetes accept every object of every feature, and know every field."""
    checked = set()
    for name, each in {json.dumps(each): (name, each) for name, each in every_feature()}.values():
        if each["apiVersion"] in FOREIGN:
            continue
        try:
            kubernetes_validate.validate(each, kubernetes, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{name}: {each['kind']} {each['metadata']['name']}: {error}")
        checked.add(each["kind"])

    assert {
        *("ConfigMap", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet")
    } == checked


def test_operator_knows_every_field() -> None:
    """Prometheus Operator's types accept every monitor and rule, and would not accept an unknown field."""
    monitored = [each for _, each in every_feature() if each["apiVersion"] == FOREIGN[0]]
    misspelt = json.loads(json.dumps(only(feature("pod-monitor"), "PodMonitor")))
    misspelt["spec"]["podMetricsEndpoints"][0]["honourLabels"] = True

    report = complaints_of_the_operator([*monitored, misspelt])

    assert {"PodMonitor", "PrometheusRule", "ServiceMonitor"} == {each["kind"] for each in monitored}
    assert ["PodMonitor desk-binance-futures-exporter: spec.podMetricsEndpoints.0.honourLabels is unknown"] == report[
        "complaints"
    ]
    assert len(monitored) + 1 == report["seen"]


def test_rules_are_the_shipped_ones() -> None:
    """With the chart's own thresholds and job, a PrometheusRule's groups are those of prometheus/rules."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rules = only(rendered("4", "--set=demo=true,prometheusRule.enabled=true"), "PrometheusRule")
    shipped = [group for text in rule_files().values() for group in yaml.safe_load(text)["groups"]]

    assert shipped == rules["spec"]["groups"]
    assert JOB == values["job"]


@pytest.mark.prometheus
def test_rules_take_thresholds_and_job(tmp_path: Path) -> None:
    """Promtool accepts rules with other thresholds, labels and job, without a disabled alert, in another namespace."""
    rule = only(feature("rules"), "PrometheusRule")
    spec = rule["spec"]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")

    code, output = promtool("check", "rules", path)

    assert 0 == code, output
    text = json.dumps(spec)
    expressions = {
        rule["alert"]: rule["expr"] for group in spec["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert "__" not in text
    assert ("monitoring", "kube-prometheus-stack") == (
        rule["metadata"]["namespace"],
        rule["metadata"]["labels"]["release"],
    )
    assert "BinanceFuturesAdlQuantileHigh" not in expressions
    assert 'absent(up{job="desk"})' in expressions["BinanceFuturesExporterDown"]
    assert " > 0.65 or " in expressions["BinanceFuturesMarginRatioHigh"]  # the warning comes last
    assert "> 0.000001" in expressions["BinanceFuturesWalletBalanceDrop"]
    assert "> 12" in expressions["BinanceFuturesConnectionUnstable"]
    labels = [
        (rule["alert"] == "BinanceFuturesPaused", rule["labels"])
        for group in spec["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert {"desk-a"} == {label["team"] for is_paused, label in labels if not is_paused}
    assert {"network"} == {label["team"] for is_paused, label in labels if is_paused}
    assert {"1"} == {label["tier"] for _, label in labels}
    assert {"critical", "warning"} == {label["severity"] for _, label in labels}


REFUSED = [
    ("demo=false", "nothing to poll: set accounts"),
    (f"{ACCOUNT},existingConfigMap=a", "existingConfigMap: its exporter.yml lists the accounts"),
    ("demo=true,serviceMonitor.enabled=true,podMonitor.enabled=true", "every pod is scraped twice"),
    ("demo=true,web.tls.enabled=true", "set web.tls.secretName, or web.existingSecret"),
    ("demo=true,web.tls.secretName=tls", "need web.tls.enabled"),
    ("demo=true,web.tls.clientCertificates=true", "need web.tls.enabled"),
    ("accounts[0].name=main,accounts[0].api_key_file=a", "accounts[0].secretName: missing, as api_key_file is not an"),
    ("demo=true,prometheusRule.enabled=true,prometheusRule.thresholds.success=null", "success has no value"),
    ("demo=true,prometheusRule.disabled.Down=true", "there is no alert Down"),
    ("demo=true,prometheusRule.alertLabels.Down.team=desk", "there is no alert Down"),
    (f"{ACCOUNT},shards=51", "shards: each of 51 pods behind one IP would get a weight_share of 0.0098"),
    (
        f"{ACCOUNT},shards=11,config.funding.enabled=true",
        "shards: each of 11 pods behind one IP would get a rest_weight_share of 0.0091",
    ),
    (
        f"{ACCOUNT},shards=11,accounts[0].income.enabled=true",
        "shards: each of 11 pods behind one IP would get a rest_weight_share of 0.0091",
    ),
    *(
        (f"demo=true,podMonitor.tlsConfig.{field}=/a", f"podMonitor.tlsConfig.{field}: a PodMonitor cannot refer to")
        for field in ("caFile", "certFile", "keyFile")
    ),
    *(
        (
            f"demo=true,prometheusRule.enabled=true,{kind}.enabled=true,{kind}.jobLabel=app",
            f'{kind}.jobLabel: the label is "", but the rules would alert because no job is named "binance-futures"',
        )
        for kind in ("serviceMonitor", "podMonitor")
    ),
    *(
        (
            f"demo=true,{place}.{label.replace('.', chr(92) + '.')}=a",
            f"{place.rpartition(',')[2]}: {label} is set by the chart",
        )
        for place, label in {
            "commonLabels": "app.kubernetes.io/managed-by",
            "podLabels": "app.kubernetes.io/component",
            "service.labels": "app.kubernetes.io/name",
            "serviceMonitor.labels": "app.kubernetes.io/instance",
            "prometheusRule.additionalLabels": "app.kubernetes.io/name",
            "dashboards.labels": "helm.sh/chart",
            "podAnnotations": "checksum/config",
        }.items()
    ),
]


@pytest.mark.parametrize(("values", "complaint"), REFUSED)
def test_values_that_cannot_work_are_refused(values: str, complaint: str) -> None:
    """Values that contradict each other, or change what the chart sets, are refused with the reason."""
    assert complaint in refused("4", f"--set={values}")


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_nothing_is_printed_besides_the_objects(version: str) -> None:
    """Helm prints no warning about a checkout of the chart, such as one about symbolic links."""
    values = CHART / "ci" / "dashboards-values.yaml"

    assert not helm(version, "template", "desk", CHART, f"--values={values}").stderr
