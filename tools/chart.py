"""Generated parts of the chart: its rules and the table of values in its README; `make generate` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from monitoring.rules.build import as_mapping
from monitoring.rules.health import health
from monitoring.rules.recordings import recordings
from monitoring.rules.risk import risk
from monitoring.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART: Final = Path(__file__).parent.parent / "helm" / "binance-futures-exporter"


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the chart: its path, its default as written, and the lines of comment above it."""

    path: str
    default: str
    comments: tuple[str, ...]


def rules() -> str:
    """Return the rules with placeholders (__NAME__) for the thresholds and the job, which templates replace."""
    places = {threshold.name: f"__{threshold.name}__" for threshold in THRESHOLDS}
    groups = [recordings(places), health(places, job="__job__"), risk(places)]
    return json.dumps({"groups": [as_mapping(group) for group in groups]}, indent=1, ensure_ascii=False) + "\n"


def values() -> list[Value]:
    """Return every value of values.yaml in order; a mapping on one line counts as one value."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
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
