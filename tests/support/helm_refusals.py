"""What Helm says against invalid values; one run checks the schema for many cases."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from support.helm_chart import CHART, HELM_VERSIONS, helm, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEPENDENCY: Final = '{{name: {chart}, version: "*", repository: "", alias: case-{index}}}'


def refusals(values: Mapping[str, Any], among: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what Helm says against values that the chart refuses.

    That is what the schema says in each version, or, where it accepts the values in both, what a template says in the
    newest version, because all versions run the same templates.
    """
    complaints = [schema_complaint(version, values, among) for version in HELM_VERSIONS]
    if any(complaints):
        assert all(complaints), complaints
        return complaints
    return [refused(HELM_VERSIONS[-1], values=values)]


def schema_complaint(version: str, values: Mapping[str, Any], among: Iterable[Mapping[str, Any]]) -> str:
    """Return what a version of Helm says of the schema, "" where values meet it; all cases are checked at once."""
    cases = tuple(json.dumps(case, ensure_ascii=False) for case in among)
    return _schema_complaints(version, cases)[cases.index(json.dumps(values, ensure_ascii=False))]


@cache
def _schema_complaints(version: str, cases: tuple[str, ...]) -> list[str]:
    """Make each case the values of a subchart, and return the complaint about each."""
    dependencies = ",\n".join(_DEPENDENCY.format(chart=CHART.name, index=index) for index in range(len(cases)))
    values = ",\n".join(f'"case-{index}": {case}' for index, case in enumerate(cases))
    with TemporaryDirectory() as folder:
        (Path(folder) / "charts").mkdir()
        (Path(folder) / "charts" / CHART.name).symlink_to(CHART)
        facts = f'{{apiVersion: v2, name: cases, version: "0.0.0", dependencies: [{dependencies}]}}'
        (Path(folder) / "Chart.yaml").write_text(facts, encoding="utf-8")
        done = helm(version, "template", "desk", folder, "--values=-", given=f"{{{values}}}")
    _, found, complaints = done.stderr.partition("values don't meet the specifications of the schema(s)")
    assert found or "charts/case-" in done.stderr or not done.returncode, done.stderr
    # case-7:\n- commonLabels.team: …
    headed = re.split(r"^case-(\d+):\n", complaints, flags=re.MULTILINE)
    by_index = {int(index): complaint for index, complaint in zip(headed[1::2], headed[2::2], strict=True)}
    return [by_index.get(index, "") for index in range(len(cases))]
