"""What a Prometheus is asked end to end: the shipped rules in less time, and the queries of the dashboards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from monitoring.rules.build import PROMETHEUS
from support.dashboards import NAMES, filled, load

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WINDOW: Final = re.compile(r"(?<=\[)\d+[smhd](?=\])|(?<=offset )\d+[smhd]")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the name that the tests' tables know it by."""

    name: str
    expression: str


def shortened(duration: str, factor: int) -> str:
    """Return a duration of PromQL, as `15m`, divided by a factor."""
    return f"{int(duration[:-1]) * _SECONDS[duration[-1]] * 1000 // factor}ms"


def shortened_rules(factor: int) -> dict[str, dict[str, Any]]:
    """Return each shipped rule file by its name, with `for`, windows and offsets divided by a factor."""
    files = {
        path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (PROMETHEUS / "rules").glob("*.yml")
    }
    for file in files.values():
        for rule in (rule for group in file["groups"] for rule in group["rules"]):
            rule["expr"] = _WINDOW.sub(lambda window: shortened(window[0], factor), rule["expr"])
            if "for" in rule:
                rule["for"] = shortened(rule["for"], factor)
            if "keep_firing_for" in rule:
                rule["keep_firing_for"] = shortened(rule["keep_firing_for"], factor)
    return files


def rule_queries(files: dict[str, dict[str, Any]]) -> list[Query]:
    """Return the expression of each rule; an alert is named with its severity."""
    rules = [rule for file in files.values() for group in file["groups"] for rule in group["rules"]]
    return [
        Query(rule["record"] if "record" in rule else f"{rule['alert']} {rule['labels']['severity']}", rule["expr"])
        for rule in rules
    ]


def dashboard_queries() -> list[Query]:
    """Return what the panels of the dashboards ask, named `dashboard: panel letter`, with their variables filled in."""
    return [
        Query(f"{name}: {panel['title']} {target['refId']}", filled(target["expr"]))
        for name in NAMES
        for panel in load(name)["panels"]
        for target in panel["targets"]
    ]


def dashboard_variables() -> list[tuple[str, str, str]]:
    """Return each variable that asks for the values of a label: `dashboard: variable`, the selector and the label."""
    found = []
    for name in NAMES:
        for variable in load(name)["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert asked, f"not yet understood here: {variable['query']}"
                found.append((f"{name}: {variable['name']}", filled(asked[1]), asked[2]))
    return found
