"""Odd values: null in every place, images, and names that look like something else."""

from __future__ import annotations

import json
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


def test_job_may_look_like_a_threshold() -> None:
    """The rules use the job's name as it is, whatever it looks like."""
    rules = json.dumps(only(rendered("4", values={**ALL, "job": "__success__"}), "PrometheusRule"))

    assert r"absent(up{job=\"__success__\"})" in rules


def test_labels_of_a_monitor_may_be_left_to_prometheus() -> None:
    """Without `honorLabels` Prometheus' labels win, as in other charts."""
    values = {**ALL, "serviceMonitor": {"enabled": True, "honorLabels": False}}
    [endpoint] = only(rendered("4", values=values), "ServiceMonitor")["spec"]["endpoints"]

    assert endpoint["honorLabels"] is False
