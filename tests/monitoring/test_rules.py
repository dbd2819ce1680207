"""The alert and recording rules: promtool accepts them, and each alert fires when it should."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.paths import DATA
from support.prometheus_server import promtool

from monitoring.rules.build import ALERTS, GROUPS, PROMETHEUS, as_mapping, home_url, rule_groups
from monitoring.rules.rule import JOB, Recording
from monitoring.thresholds import VALUES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus

SCENARIOS = [
    (f"{path.stem}: {scenario['name']}", scenario)
    for path in sorted((DATA / "rules").glob("*.yml"))
    for scenario in yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["scenarios"]
]
INSTANCE = "exporter:10427"


def scraped(series: str) -> str:
    """Add the labels that Prometheus adds when it scrapes, unless the series has its own."""
    name, labels = series.removesuffix("}").split("{")
    added = [
        f'{label}="{value}"' for label, value in (("job", JOB), ("instance", INSTANCE)) if f"{label}=" not in labels
    ]
    return f"{name}{{{','.join([*filter(None, [labels]), *added])}}}"


def samples(values: str | dict[str, Any]) -> str:
    """Return the samples of a series in promtool's notation, which has no repeated patterns."""
    text = " ".join([values["repeat"]] * values["times"]) if isinstance(values, dict) else values
    assert isinstance(text, str), "a lone 0x10 is a number to YAML: quote it"
    return text


def held_seconds(values: str, interval_seconds: int) -> int:
    """Return the seconds of the shortest value, slope or gap of a series, without its last one."""
    runs: list[tuple[str, int]] = []
    for part in values.split():
        value, _, times = part.partition("x")
        # "5x3" is four samples, "_x3" a gap of three.
        samples = int(times or 1) if value in {"_", "stale"} else int(times or 0) + 1
        value = "_" if value == "stale" else value
        if runs and runs[-1][0] == value:
            samples += runs.pop()[1]
        runs.append((value, samples))
    return min((samples for _, samples in runs[:-1]), default=24 * 60 * 60) * interval_seconds


def evaluation_interval(scenario: dict[str, Any], series: list[dict[str, str]], interval: str) -> str:
    """Return the evaluation interval: a minute if all values last that long and all times are full minutes.

    Otherwise it is that of the samples. promtool spends nearly all of its time on evaluations.
    """
    times = " ".join([*scenario.get("firing", {}), *scenario.get("recorded", {})])
    seconds = int(interval[:-1]) * {"s": 1, "m": 60}[interval[-1]]
    held = min(held_seconds(entry["values"], seconds) for entry in series)
    return interval if "s" in times or held < 60 or seconds > 60 else "1m"


def with_texts(alerts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return, by name, the alerts of which the scenario gives all texts, as promtool expects them."""
    return {
        name: [
            {
                "exp_labels": {"job": JOB, **alert["labels"]},
                "exp_annotations": {
                    "summary": alert["summary"],
                    "description": alert["description"],
                    "runbook_url": f"{home_url()}/blob/HEAD/prometheus/runbooks/{name}.md",
                },
            }
            for alert in alerts
            if name == alert["alert"]
        ]
        for name in sorted({alert["alert"] for alert in alerts})
        if all({"summary", "description"} <= alert.keys() for alert in alerts if name == alert["alert"])
    }


def as_sample(name: str, labels: dict[str, str], value: float) -> dict[str, Any]:
    """Return a sample as promtool expects it."""
    matchers = ",".join(f'{label}="{text}"' for label, text in {"job": JOB, **labels}.items())
    return {"labels": f"{name}{{{matchers}}}", "value": value}


def at_a_time(time: str, alerts: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return promtool's tests at a time: the texts of the alerts, and that exactly these alerts fire."""
    texts = [
        {"eval_time": time, "alertname": name, "exp_alerts": expected} for name, expected in with_texts(alerts).items()
    ]
    firing = [
        as_sample("ALERTS", {"alertname": alert["alert"], "alertstate": "firing", **alert["labels"]}, 1)
        for alert in alerts
    ]
    return texts, {"eval_time": time, "expr": 'ALERTS{alertstate="firing"}', "exp_samples": firing}


def rules_of(scenario: dict[str, Any], folder: Path) -> Path:
    """Return the directory of the shipped rules, or of those with other thresholds that the scenario gives."""
    if "thresholds" not in scenario:
        return PROMETHEUS / "rules"
    for name, group in rule_groups({**VALUES, **scenario["thresholds"]}).items():
        (folder / f"{name}.yml").write_text(json.dumps({"groups": [as_mapping(group)]}), encoding="utf-8")
    return folder


def as_unit_test(scenario: dict[str, Any], rules: Path) -> dict[str, Any]:
    """Return a scenario as a file of promtool's unit tests; `rules` is the directory of the rules."""
    interval = scenario.get("interval", "15s")
    series = [{"series": scraped(name), "values": samples(values)} for name, values in scenario["given"].items()]
    of_texts: list[dict[str, Any]] = []
    of_series: list[dict[str, Any]] = []
    for times, alerts in scenario.get("firing", {}).items():
        for time in times.split():
            texts, firing = at_a_time(time, alerts)
            of_texts += texts
            of_series.append(firing)
    for times, values in scenario.get("recorded", {}).items():
        for time in times.split():
            for name, expected in values.items():
                recorded = [as_sample(name, yaml.safe_load(labels), value) for labels, value in expected.items()]
                of_series.append({"eval_time": time, "expr": name, "exp_samples": recorded})
    test = {
        "interval": interval,
        "input_series": series,
        "alert_rule_test": of_texts,
        "promql_expr_test": of_series,
    }
    return {
        "rule_files": [str(rules / f"{name}.yml") for name in GROUPS],
        "evaluation_interval": evaluation_interval(scenario, series, interval),
        # promtool evaluates groups one after the other, in any order unless one is given.
        "group_eval_order": [group.name for group in GROUPS.values()],
        "tests": [test],
    }


def test_promtool_accepts_the_rules() -> None:
    """`promtool check rules` finds no problem and no duplicate."""
    code, output = promtool("check", "rules", *sorted((PROMETHEUS / "rules").glob("*.yml")))

    assert (0, len(GROUPS)) == (code, output.count("SUCCESS")), output
    assert "duplicate" not in output


@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=name) for name, scenario in SCENARIOS])
def test_scenario(scenario: dict[str, Any], tmp_path: Path) -> None:
    """At each time of a scenario exactly the given alerts fire, with the given labels and annotations."""
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(as_unit_test(scenario, rules_of(scenario, tmp_path))), encoding="utf-8")

    code, output = promtool("test", "rules", path)

    assert 0 == code, output


@pytest.mark.parametrize(
    ("name", "severity"),
    [pytest.param(alert.name, alert.severity, id=f"{alert.name} {alert.severity}") for alert in ALERTS],
)
def test_every_alert_fires_in_a_scenario(name: str, severity: str) -> None:
    """Each alert of each severity fires in a scenario that gives its summary and description."""
    firing = [
        alert
        for _, scenario in SCENARIOS
        for alerts in scenario.get("firing", {}).values()
        for alert in with_texts(alerts).get(name, ())
    ]

    assert severity in {alert["exp_labels"]["severity"] for alert in firing}


def test_every_recording_is_tested() -> None:
    """Each recording rule is tested by a scenario."""
    rules = {rule.name for group in GROUPS.values() for rule in group.rules if isinstance(rule, Recording)}
    tested = {name for _, scenario in SCENARIOS for values in scenario.get("recorded", {}).values() for name in values}

    assert rules == tested
