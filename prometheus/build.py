"""Makes the rule files and README's table of alerts; run as `python -m prometheus.build` it writes rules/*.yml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from prometheus import recordings
from prometheus.health import health
from prometheus.risk import risk
from prometheus.rule import Alert, Group, Recording
from prometheus.thresholds import THRESHOLDS, VALUES

HERE: Final = Path(__file__).parent
_HEADER: Final = "# {what} Made by `python -m prometheus.build`: change the Python files, not this one.\n"

# Each file of rules/ with what its first line says of it.
GROUPS: Final[dict[str, tuple[str, Group]]] = {
    "recordings": ("What alerts and dashboards share.", recordings.GROUP),
    "health": ("Alerts on the watching itself.", health(VALUES)),
    "risk": ("Alerts on the accounts.", risk(VALUES)),
}
ALERTS: Final = tuple(rule for _, group in GROUPS.values() for rule in group.rules if isinstance(rule, Alert))


@cache
def home_url() -> str:
    """Return the project's address, the one in pyproject.toml."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Homepage"])


def runbook_url(alert: str) -> str:
    """Return where an alert's runbook is read."""
    return f"{home_url()}/blob/HEAD/prometheus/runbooks/{alert}.md"


def as_mapping(group: Group) -> dict[str, Any]:
    """Return a group as Prometheus' rule files have it."""
    return {"name": group.name, "rules": [_rule(rule) for rule in group.rules]}


def _rule(rule: Recording | Alert) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.name, "expr": rule.expression}
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": rule.lasting,
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": runbook_url(rule.name),
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and lists indented, as rule files are written by hand."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rule_files() -> dict[str, str]:
    """Return the text of each file in rules/ by its name."""
    return {
        f"{name}.yml": _HEADER.format(what=what)
        + yaml.dump({"groups": [as_mapping(group)]}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
        for name, (what, group) in GROUPS.items()
    }


def as_markdown() -> str:
    """Return README's tables: every alert, and every threshold."""
    lines = ["| alert | severity | after | what |", "|---|---|---|---|"]
    for alert in ALERTS:
        runbook = f"[{alert.name}](prometheus/runbooks/{alert.name}.md)"
        lines.append(f"| {runbook} | {alert.severity} | {alert.lasting} | {alert.summary} |")
    lines += ["", "| threshold | value | alerts when |", "|---|---|---|"]
    lines += [f"| `{threshold.name}` | {threshold.value:g} | {threshold.what} |" for threshold in THRESHOLDS]
    return "\n".join(lines)


def main() -> None:
    """Write rules/*.yml anew."""
    for name, text in rule_files().items():
        (HERE / "rules" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
