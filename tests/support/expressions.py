"""The expressions that a real Prometheus evaluates over the demo: shortened rules, and queries of the dashboards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from monitoring.rules.build import PROMETHEUS
from support.dashboards import NAMES, filled, load
from support.paths import DATA, ROOT

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WINDOW: Final = re.compile(r"(?<=\[)\d+[smhd](?=\])|(?<=offset )\d+[smhd]")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and its name in the tests' tables."""

    name: str
    expression: str


# Queries of panels that return nothing unless something fails, with the reason.
PANELS_WITHOUT_DATA: Final = {
    "accounts: Failed polls by account and reason A": "no poll fails",
    "accounts: Equity in USD B": "every account is covered",
    **{
        f"results: {kind} by month A": "the demo does not last until the end of a month"
        for kind in ("Realized PnL", "Funding", "Fees", "Net")
    },
    **{f"results: By symbol {letter}": "income of the demo is not by symbol" for letter in "ABCDE"},
    "exporter: Failed polls by reason A": "no poll fails",
    "exporter: Failed REST requests by reason A": "no request fails",
    "exporter: Connections opened and ended B": "the only connection does not break",
    "exporter: Frames without a matching request A": "every response arrives in time for its request",
}


def silent_in_demo(kind: str) -> dict[str, str]:
    """Return the rules that return nothing over the demo, with the reason.

    Args:
        kind: "never", or "unless_slow" for those that do return something on a slow machine.
    """
    files = [yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) for path in (DATA / "rules").glob("*.yml")]
    return {name: reason for file in files for name, reason in file["silent_in_demo"].get(kind, {}).items()}


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
    """Return the queries of the dashboards' panels, named `dashboard: panel letter`, with their variables filled in."""
    return [
        Query(f"{name}: {panel['title']} {target['refId']}", filled(target["expr"]))
        for name in NAMES
        for panel in load(name)["panels"]
        for target in panel["targets"]
    ]


def docs_queries() -> list[Query]:
    """Return the PromQL in docs/, named `page line`; a day's offset is shortened to what the demo has lasted."""
    return [
        Query(f"{page.name} {text.count(chr(10), 0, block.start()) + 1}", block[1].replace("offset 1d", "offset 10s"))
        for page in sorted(ROOT.glob("docs/*.md"))
        for text in [page.read_text(encoding="utf-8")]
        for block in re.finditer(r"^```promql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]


def dashboard_variables() -> list[tuple[str, str, str]]:
    """Return each variable with the values of a label: `dashboard: variable`, the selector and the label."""
    variables = []
    for name in NAMES:
        for variable in load(name)["templating"]["list"]:
            if variable["type"] == "query":
                query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert query, f"not supported by this function: {variable['query']}"
                variables.append((f"{name}: {variable['name']}", filled(query[1]), query[2]))
    return variables
