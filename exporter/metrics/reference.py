"""The reference of all metrics, generated from the catalogs as Markdown and JSON."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypedDict

from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.configuration_catalog import CONFIGURATION_GROUPS
from exporter.metrics.income_catalog import INCOME
from exporter.metrics.rest_catalog import KEYS, MARKETS
from exporter.metrics.self_catalog import ENDPOINTS, POLLING, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator


class Entry(TypedDict):
    """One metric of the reference."""

    name: str
    type: str
    labels: list[str]
    help: str


# The sections of the accounts' metrics, by the first word of their names.
_SECTIONS: Final = {
    "account": "Account totals",
    "asset": "Assets",
    "position": "Positions",
    "cross": "Margin pools",
    "isolated": "Margin pools",
}


def _sections() -> Iterator[tuple[str, Entry]]:
    """Yield each metric with the title of its section."""
    for title, catalog in (
        ("", ACCOUNTS),
        ("Polling", POLLING),
        ("Connections", ENDPOINTS),
        ("Exporter", PROGRAM),
        ("REST", MARKETS),
        ("API keys", KEYS),
        ("Income", INCOME),
    ):
        for _, group, family in catalog.entries():
            word = family.name.removeprefix("binance_futures_").split("_")[0]
            section = title or ("Configuration" if group in CONFIGURATION_GROUPS else _SECTIONS[word])
            labels = catalog.label_names(group)
            yield section, Entry(name=family.name, type=family.text_type, labels=labels, help=family.help)


def entries() -> Iterator[Entry]:
    """Yield all metrics in the order of the exposition, except those of the process, platform and garbage collector."""
    return (entry for _, entry in _sections())


def as_markdown() -> str:
    """Return a table per section, with one row per metric."""
    lines: list[str] = []
    for title, metrics in groupby(_sections(), key=itemgetter(0)):
        lines += ["", f"### {title}", "", "| metric | type | labels | description |", "|---|---|---|---|"]
        lines += [
            f"| `{entry['name']}` | {entry['type']} | {', '.join(entry['labels'])} | {entry['help']} |"
            for _, entry in metrics
        ]
    return "\n".join(lines[1:])


def as_json() -> str:
    """Return a list of objects with name, type, labels and help."""
    return json.dumps(list(entries()), indent=2)
