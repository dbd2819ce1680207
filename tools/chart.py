"""Generated parts of the chart: rules, thresholds and its README's table of values; `make generate` writes them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from monitoring.rules.build import as_mapping, rule_groups
from monitoring.thresholds import THRESHOLDS
from tools.paths import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the chart: its path, its default as written, and the lines of comment above it."""

    path: str
    default: str
    comments: tuple[str, ...]


def rules(runbooks: str = "") -> str:
    """Return the rules with placeholders (__NAME__) for thresholds and job; `runbooks` is as in `as_mapping`."""
    places = {threshold.name: f"__{threshold.name}__" for threshold in THRESHOLDS}
    groups = rule_groups(places, job="__job__").values()
    return (
        json.dumps({"groups": [as_mapping(group, runbooks) for group in groups]}, indent=1, ensure_ascii=False) + "\n"
    )


def values_yaml(text: str) -> str:
    """Return a values.yaml with the thresholds of the rules' table.

    Raises:
        ValueError: the text does not contain `thresholds:` and values below it exactly once.
    """
    block = ""
    for threshold in THRESHOLDS:
        block += f"    # Alerts when {threshold.alerts_when}.\n    {threshold.name}: {threshold.value:g}\n"
    existing = re.compile(r"^(  thresholds:.*\n)(?:    .*\n)+", re.MULTILINE)
    text, count = existing.subn(lambda match: match[1] + block, text)
    if count != 1:
        raise ValueError(f"values below `thresholds:`: {count} times, not once")
    return text


def values() -> list[Value]:
    """Return every value of values.yaml in order; a mapping on one line counts as one value."""
    text = values_yaml((CHART / "values.yaml").read_text(encoding="utf-8"))
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return list(_values(root, "", text))


def _values(mapping: yaml.MappingNode, prefix: str, text: str) -> Iterator[Value]:
    lines = text.splitlines()
    for key, value in mapping.value:
        path = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _values(value, f"{path}.", text)
            continue
        first = key.start_mark.line
        while lines[first - 1].lstrip().startswith("#"):
            first -= 1
        comments = tuple(line.strip().removeprefix("# ") for line in lines[first : key.start_mark.line])
        yield Value(path, text[value.start_mark.index : value.end_mark.index], comments)


def as_markdown() -> str:
    """Return the table of values for the README."""
    lines = ["| value | default | description |", "|---|---|---|"]
    lines += [f"| `{value.path}` | `{value.default}` | {' '.join(value.comments)} |" for value in values()]
    return "\n".join(lines)
