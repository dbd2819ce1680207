"""The reference of all metrics, generated from the catalogs as Markdown and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypedDict

from exporter.metrics.catalog import GROUPS
from exporter.metrics.self_catalog import ACCOUNT_FAMILIES, ENDPOINT_FAMILIES, PROGRAM_FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator


class Entry(TypedDict):
    """One metric of the reference."""

    name: str
    type: str
    labels: list[str]
    help: str


def entries() -> Iterator[Entry]:
    """Yield all metrics in the order of the exposition, except those of the process, platform and garbage collector."""
    for group in GROUPS:
        for family in group.families:
            yield Entry(name=family.name, type=family.kind, labels=sorted(("account", *group.labels)), help=family.help)
    for identity, families in (
        (("account",), ACCOUNT_FAMILIES),
        (("endpoint",), ENDPOINT_FAMILIES),
        ((), PROGRAM_FAMILIES),
    ):
        for self_family in families:
            labels = sorted((*identity, *self_family.labels))
            yield Entry(name=self_family.name, type=self_family.kind, labels=labels, help=self_family.help)


def as_markdown() -> str:
    """Return a table with one row per metric."""
    lines = ["| metric | type | labels | description |", "|---|---|---|---|"]
    lines += [
        f"| `{entry['name']}` | {entry['type']} | {', '.join(entry['labels'])} | {entry['help']} |"
        for entry in entries()
    ]
    return "\n".join(lines)


def as_json() -> str:
    """Return a list of objects with name, type, labels and help."""
    return json.dumps(list(entries()), indent=2)
