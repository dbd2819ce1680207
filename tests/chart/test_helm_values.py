"""Odd values: null in every place, images, and names that look like something else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
from support.helm_chart import HELM_VERSIONS, refused, rendered, template
from support.helm_render import FOREIGN, NEWEST

import exporter
from tools import chart
from tools.pod import exporter_of, only

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything that the chart can make.
ALL: dict[str, Any] = {
    "accounts": [{"name": "main", "secretName": "s", "api_key_file": "a", "secret_key_file": "b"}],
    "web": {"tls": {"enabled": True, "secretName": "t"}},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
}
# Without these the chart could not be rendered, or something else would be than was meant.
NEEDED = {
    *("global", "image", "image.repository", "shards", "accounts", "config", "config.binance", "config.poll", "log"),
    *("log.level", "log.format", "web", "web.tls", "web.tls.enabled", "web.tls.secretName", "probes", "serviceAccount"),
    *("service", "job", "serviceMonitor", "podMonitor", "prometheusRule", "prometheusRule.thresholds", "statefulSet"),
    *("dashboards", "networkPolicy"),
}


def paths() -> Iterator[str]:
    """Yield every value of the chart and what it stands in, but for single thresholds."""
    for path in dict.fromkeys(value.path for value in chart.values()):
        keys = path.split(".")
        if "thresholds" not in keys:
            yield path
        yield from (".".join(keys[:end]) for end in range(1, len(keys)))


PATHS = sorted(set(paths()))
# Values that are needed are tried one by one; of the others all that are equally deep, where none hides another.
ALONE = [("4", [path]) for path in PATHS if path in NEEDED]
TOGETHER = [
    (version, [path for path in PATHS if path.count(".") == dots and path not in NEEDED])
    for version in HELM_VERSIONS
    for dots in range(3)
]


def with_nulls(values: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """Return values with null at some paths."""
    changed: dict[str, Any] = json.loads(json.dumps(values))
    for path in paths:
        place = changed
        *parents, last = path.split(".")
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = None
    return changed


@pytest.mark.parametrize(("version", "nulls"), ALONE + TOGETHER)
def test_null_is_nothing_or_refused(version: str, nulls: list[str]) -> None:
    """A value of null is like an empty one; if the chart needs the value, null is refused with its name."""
    values = with_nulls(ALL, nulls)
    if nulls[0] in NEEDED:
        complaint = refused(version, values=values)
        assert nulls[0].rpartition(".")[2] in complaint or "nothing to poll" in complaint
        return
    done = template(version, (), values, "desk")

    assert 0 == done.returncode, done.stderr
    assert "<nil>" not in done.stdout
    assert "%!" not in done.stdout


def test_nulls_leave_good_objects() -> None:
    """With everything null that may be, Kubernetes knows what is left."""
    nulls = [path for path in PATHS if path not in {*NEEDED, "demo"}]
    objects = rendered("4", values=with_nulls({"demo": True}, nulls))

    for each in objects:
        assert each["apiVersion"] not in FOREIGN
        kubernetes_validate.validate(each, NEWEST, strict=True)
    assert f"binance-futures-exporter:{exporter.__version__}" == exporter_of(objects)["image"]


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"repository": "desk/exporter"}, "desk/exporter"),
        ({"repository": "registry.example:5000/a-b/c__d.e"}, "registry.example:5000/a-b/c__d.e"),
        ({"registry": "registry.example/mirror/", "repository": "a"}, "registry.example/mirror/a"),
    ],
)
def test_image_may_be_anywhere(image: dict[str, str], reference: str) -> None:
    """An image may have folders, and a registry, separate or in its repository."""
    objects = rendered("4", values={"demo": True, "image": {**image, "tag": "V1_2-rc.1"}})

    assert f"{reference}:V1_2-rc.1" == exporter_of(objects)["image"]


def test_rules_without_alerts_are_left_out() -> None:
    """A group whose alerts are all disabled is left out, and the other groups are not changed."""
    groups = only(rendered("4", values=ALL), "PrometheusRule")["spec"]["groups"]
    health = next(group for group in groups if all("alert" in rule for rule in group["rules"]))
    disabled = {rule["alert"]: True for rule in health["rules"]}
    rules = only(
        rendered("4", values={**ALL, "prometheusRule": {"enabled": True, "disabled": disabled}}), "PrometheusRule"
    )

    assert [group for group in groups if group != health] == rules["spec"]["groups"]


def test_thresholds_are_written_in_full() -> None:
    """A threshold has no exponent in an expression, however large it is."""
    thresholds = {"wallet_floor_usd": 1000000.0}
    values = {**ALL, "prometheusRule": {"enabled": True, "thresholds": thresholds}}

    assert "> 1000000 " in re.sub(r"\\n", " ", json.dumps(only(rendered("4", values=values), "PrometheusRule")))


def test_specific_labels_and_annotations_win() -> None:
    """A label of an object takes precedence over a common one even if it is empty; `job` may be the monitor's label."""
    values = {
        **ALL,
        "commonLabels": {"team": "desk", "app.kubernetes.io/part-of": ""},
        "service": {"labels": {"team": "", "desk": "futures"}},
        "podAnnotations": {"note": ""},
        "serviceMonitor": {"enabled": True, "jobLabel": "desk"},
        "job": "futures",
    }
    objects = rendered("4", values=values)
    service, stateful_set = only(objects, "Service"), only(objects, "StatefulSet")

    assert ("", "") == (
        service["metadata"]["labels"]["team"],
        service["metadata"]["labels"]["app.kubernetes.io/part-of"],
    )
    assert "desk" == stateful_set["metadata"]["labels"]["team"]
    assert "" == stateful_set["spec"]["template"]["metadata"]["annotations"]["note"]


@pytest.mark.parametrize("handler", [{"exec": {"command": ["true"]}}, {"httpGet": {"path": "/", "port": 1}}])
def test_handler_of_a_probe_can_be_replaced(handler: dict[str, Any]) -> None:
    """A probe has the handler of the values if there is one, instead of the chart's."""
    probe = exporter_of(rendered("4", values={"demo": True, "probes": {"liveness": handler}}))["livenessProbe"]

    assert {"periodSeconds": 15, "timeoutSeconds": 5, "failureThreshold": 4, **handler} == probe


def test_job_may_look_like_a_threshold() -> None:
    """The rules use the job's name as it is, whatever it looks like."""
    rules = json.dumps(only(rendered("4", values={**ALL, "job": "__success__"}), "PrometheusRule"))

    assert r"absent(up{job=\"__success__\"})" in rules


def test_labels_of_a_monitor_may_be_left_to_prometheus() -> None:
    """Without `honorLabels` Prometheus' labels win, as in other charts."""
    values = {**ALL, "serviceMonitor": {"enabled": True, "honorLabels": False}}
    [endpoint] = only(rendered("4", values=values), "ServiceMonitor")["spec"]["endpoints"]

    assert endpoint["honorLabels"] is False
