"""The texts of the rule files, and the tables of alerts and thresholds; `make generate` writes them."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from monitoring.rules.health import health
from monitoring.rules.recordings import recordings
from monitoring.rules.risk import risk
from monitoring.rules.rule import Alert, Group, Recording
from monitoring.thresholds import THRESHOLDS, VALUES

PROMETHEUS: Final = Path(__file__).parents[2] / "prometheus"
_HEADER: Final = "# {title} Made by `make generate`: change monitoring/rules, not this file.\n"

# Each file in prometheus/rules, with the title in its first line.
GROUPS: Final[dict[str, tuple[str, Group]]] = {
    "recordings": ("Recording rules.", recordings(VALUES)),
    "health": ("Alerts on the monitoring itself.", health(VALUES)),
    "risk": ("Alerts on the accounts.", risk(VALUES)),
}
ALERTS: Final = tuple(rule for _, group in GROUPS.values() for rule in group.rules if isinstance(rule, Alert))


@cache
def home_url() -> str:
    """Return the project's address, the one in pyproject.toml."""
    project = tomllib.loads((PROMETHEUS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Homepage"])


def runbook_url(alert: str, runbooks: str = "") -> str:
    """Return where an alert's runbook is read: below `runbooks`, or with the project."""
    return f"{runbooks or f'{home_url()}/blob/HEAD/prometheus/runbooks'}/{alert}.md"


def as_mapping(group: Group, runbooks: str = "") -> dict[str, Any]:
    """Return a group as Prometheus' rule files have it; `runbooks` is the address below which the runbooks are."""
    return {"name": group.name, "rules": [_rule(rule, runbooks) for rule in group.rules]}


def _rule(rule: Recording | Alert, runbooks: str) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.name, "expr": rule.expression}
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": rule.for_,
        **({"keep_firing_for": rule.keep_firing_for} if rule.keep_firing_for else {}),
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": runbook_url(rule.name, runbooks),
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and lists indented, as rule files are written by hand."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rule_files(runbooks: str = "") -> dict[str, str]:
    """Return the text of each file in rules/ by its name; `runbooks` is as in `as_mapping`."""
    return {
        f"{name}.yml": _HEADER.format(title=title)
        + yaml.dump(
            {"groups": [as_mapping(group, runbooks)]}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
        )
        for name, (title, group) in GROUPS.items()
    }


def alerts_table() -> str:
    """Return a Markdown table of all alerts, with links to their runbooks from the project's folder."""
    lines = ["| alert | severity | after | what |", "|---|---|---|---|"]
    for alert in ALERTS:
        runbook = f"[{alert.name}](../prometheus/runbooks/{alert.name}.md)"
        lines.append(f"| {runbook} | {alert.severity} | {alert.for_} | {alert.summary} |")
    return "\n".join(lines)


def thresholds_table() -> str:
    """Return a Markdown table of all thresholds."""
    lines = ["| threshold | value | alerts when |", "|---|---|---|"]
    lines += [f"| `{threshold.name}` | {threshold.value:g} | {threshold.alerts_when} |" for threshold in THRESHOLDS]
    return "\n".join(lines)
