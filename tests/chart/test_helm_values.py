"""Values that are odd: nothing at all, of the wrong size, or in each other's way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
from support.helm_chart import HELM_VERSIONS, refused, rendered, template
from support.helm_refusals import refusals
from support.helm_render import FOREIGN, NEWEST

import exporter
from tools import chart
from tools.pod import exporter_of, only, pod_of

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
    *("service", "scrape", "scrape.job", "serviceMonitor", "podMonitor", "prometheusRule", "prometheusRule.thresholds"),
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
# Helm merges the nulls of values, and templates get the result. So Helm 4 is given one null at a time, and Helm 3, with
# the same templates, all those at once that are equally deep in the values, where none hides another.
ALONE = [("4", [path]) for path in PATHS] + [("3", [path]) for path in PATHS if path in NEEDED]
TOGETHER = [("3", [path for path in PATHS if path.count(".") == dots and path not in NEEDED]) for dots in range(3)]


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
    """A value set to null is as if it were empty; where the chart needs it, it is refused and named."""
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


WRONG_SIZES: list[tuple[dict[str, Any], str]] = [
    ({"image": {"repository": "desk/exporter:1.0"}}, "repository"),
    ({"image": {"repository": "Desk/Exporter"}}, "repository"),
    ({"image": {"repository": "https://images.example/exporter"}}, "repository"),
    ({"image": {"tag": "1.0@sha256:12"}}, "tag"),
    ({"image": {"tag": "of the day"}}, "tag"),
    ({"global": {"imageRegistry": "https://images.example"}}, "imageRegistry"),
    (
        {"scrape": {"interval": "10s", "timeout": "10s1ms"}},
        "scrape.timeout: 10s1ms is more than the interval of 10s",
    ),
    ({"scrape": {"interval": "1s1m"}}, "interval"),
    ({"scrape": {"interval": "15"}}, "interval"),
    ({"scrape": {"job": "the desk"}}, "job"),
    ({"prometheusRule": {"thresholds": {"margin_ratio_critical": 80}}}, "margin_ratio_critical"),
    ({"prometheusRule": {"thresholds": {"margin_ratio_warning": "0.7"}}}, "margin_ratio_warning"),
    ({"prometheusRule": {"thresholds": {"success": 60}}}, "success"),
    (
        {"prometheusRule": {"thresholds": {"margin_ratio_warning": 0.9}}},
        "margin_ratio_warning is 0.9 and margin_ratio_critical 0.8: what is critical would come before",
    ),
    (
        {"prometheusRule": {"thresholds": {"liquidation_distance_critical": 0.06}}},
        "liquidation_distance_critical is 0.06 and liquidation_distance_warning 0.05",
    ),
]
CASES = [{"demo": True, **values} for values, _ in WRONG_SIZES]


@pytest.mark.parametrize(("values", "complaint"), WRONG_SIZES)
def test_values_of_a_wrong_size_are_refused(values: dict[str, Any], complaint: str) -> None:
    """Images that nobody can pull, scrapes that Prometheus refuses and percentages for parts are refused by name."""
    for refusal in refusals({"demo": True, **values}, CASES):
        assert complaint in refusal


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize("repository", ["exporter", "desk/exporter", "registry.example:5000/a-b/c__d.e", "localhost/a"])
def test_image_may_be_anywhere(version: str, repository: str) -> None:
    """An image may have folders, and a registry in its own name."""
    objects = rendered(version, values={"demo": True, "image": {"repository": repository, "tag": "V1_2-rc.1"}})

    assert f"{repository}:V1_2-rc.1" == exporter_of(objects)["image"]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_job_may_look_like_a_threshold(version: str) -> None:
    """The rules go by the job's name as it is given, whatever it looks like."""
    values = {**ALL, "scrape": {"job": "__success__"}}
    rules = json.dumps(only(rendered(version, values=values), "PrometheusRule"))

    assert r"absent(up{job=\"__success__\"})" in rules


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_empty_selector_stays_empty(version: str) -> None:
    """A constraint on the spread of pods that selects all pods goes on to select all."""
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    objects = rendered(version, values={**ALL, "topologySpreadConstraints": [spread]})

    assert [spread] == pod_of(objects)["topologySpreadConstraints"]
