"""Where the schema says that a value is wrong: in both Helms at the value itself, never at another."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.helm_chart import HELM_VERSIONS
from support.helm_refusals import schema_complaint


def places_in(complaint: str) -> list[str]:
    """Return the places that Helm names, as `a.b.0`; Helm 3 writes them so, Helm 4 as '/a/b/0'."""
    found = re.findall(r"^- (?:at '/([^']*)'|([^:\n]+)): ", complaint, re.MULTILINE)
    return [(newest or oldest).replace("/", ".") for newest, oldest in found]


def within(path: str, value: object) -> Any:
    """Return the values that have a value at a path."""
    for key in reversed(path.split(".")):
        value = [value] if key == "0" else {key: value}
    return value


MAPS = [
    *("commonLabels", "podLabels", "podAnnotations", "nodeSelector", "service.annotations", "scrape.labels"),
    *("serviceAccount.annotations", "dashboards.labels", "dashboards.annotations", "prometheusRule.labels"),
    *("resources.requests", "resources.limits", "networkPolicy.dnsTo.0.podSelector.matchLabels"),
]
WRONG_VALUES = [
    ("commonLabels.team", "the desk"),
    ("podAnnotations.note", 1),
    ("resources.limits.memory", "128 MB"),
    ("networkPolicy.ingressFrom.0.namespaceSelector.matchLabels.app", "a b"),
]
CASES = [
    {"demo": True, **within(place, wrong)}
    for place, wrong in [*((place, {"a b": "1"}) for place in MAPS), *WRONG_VALUES]
]


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize("place", MAPS)
def test_wrong_key_is_told_by_its_place(version: str, place: str) -> None:
    """A key that cannot be one is named, as is the map that it stands in, and no other value is blamed."""
    complaint = schema_complaint(version, {"demo": True, **within(place, {"a b": "1"})}, CASES)

    assert [place] == places_in(complaint)
    assert re.search("[Aa]dditional propert(y a b|ies 'a b')", complaint)


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize(("place", "wrong"), WRONG_VALUES)
def test_wrong_value_is_told_by_its_place(version: str, place: str, wrong: object) -> None:
    """What is wrong of a value in a map is told at its key."""
    assert [place] == places_in(schema_complaint(version, {"demo": True, **within(place, wrong)}, CASES))
