"""The dashboards' files: valid for Grafana, and consistent with each other."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from support.dashboards import NAMES, load
from support.paths import ROOT
from support.tools import missing, needs

from monitoring.dashboards.build import GRAFANA

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: Final = ROOT / "tools" / "grafana-schema"
OURS: Final = {"type": "prometheus", "uid": "${datasource}"}


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a value, at any depth."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


# A misspelt property or a value of a wrong type, by its path in the dashboard of accounts.
WRONG: Final[list[tuple[tuple[str | int, ...], object]]] = [
    (("panels", 0, "fieldConfig", "defaults", "noValues"), "misspelt"),
    (("panels", 0, "options", "colourMode"), "value"),
    (("panels", -1, "gridPos", "w"), "wide"),
    (("templating", "list", 0, "hide"), "yes"),
    (("refresh",), 5),
]


def with_wrong(path: tuple[str | int, ...], wrong: object) -> str:
    """Return a dashboard with a wrong value at a path."""
    dashboard: Any = load("accounts")
    *parents, last = path
    inner = dashboard
    for step in parents:
        inner = inner[step]
    inner[last] = wrong
    return json.dumps(dashboard)


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The errors that Grafana's types find in each dashboard, and in each wrong one, by file name.

    One process checks all of them, because compiling the types takes seconds.
    """
    needs("node")
    if not (SCHEMA / "node_modules" / "@grafana").is_dir():
        missing("Grafana's types", "test")
    folder = tmp_path_factory.mktemp("dashboards")
    for index, (path, wrong) in enumerate(WRONG):
        (folder / f"wrong-{index}.json").write_text(with_wrong(path, wrong), encoding="utf-8")
    files = [*(GRAFANA / "dashboards" / f"{name}.json" for name in NAMES), *folder.iterdir()]
    done = subprocess.run(
        ["node", str(SCHEMA / "validate.mjs"), *map(str, files)],  # noqa: S607 - found on PATH, as by make
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("", 1) == (done.stderr, done.returncode)
    lines = done.stdout.splitlines()
    by_file = {file.name: [line for line in lines if line.startswith(f"{file}/")] for file in files}
    assert len(lines) == sum(map(len, by_file.values())), done.stdout
    return by_file


def test_grafana_accepts_them(errors: dict[str, list[str]]) -> None:
    """All dashboards conform to Grafana's types, without unknown properties."""
    assert {f"{name}.json": [] for name in NAMES} == {
        name: lines for name, lines in errors.items() if not name.startswith("wrong-")
    }


@pytest.mark.parametrize(("index", "path"), [(index, path) for index, (path, _) in enumerate(WRONG)])
def test_problems_are_found(index: int, path: tuple[str | int, ...], errors: dict[str, list[str]]) -> None:
    """A misspelt property and a value of a wrong type are found at any depth."""
    assert str(path[-1]) in "\n".join(errors[f"wrong-{index}.json"])


def test_unique_uids_and_links_between_all() -> None:
    """Each dashboard has its own uid and title, and links to the others that keep time range and variables."""
    loaded = [load(name) for name in NAMES]

    assert len(NAMES) == len({dashboard["uid"] for dashboard in loaded})
    assert len(NAMES) == len({dashboard["title"] for dashboard in loaded})
    for dashboard in loaded:
        (link,) = dashboard["links"]
        assert "dashboards" == link["type"]
        assert link["tags"] == dashboard["tags"]
        assert link["includeVars"]
        assert link["keepTime"]


def test_links_in_cells_lead_to_a_dashboard_with_that_variable() -> None:
    """A link in a table leads to an existing dashboard, sets one of its variables, and keeps the others."""
    variables = {
        dashboard["uid"]: {variable["name"] for variable in dashboard["templating"]["list"]}
        for dashboard in map(load, NAMES)
    }
    urls = [link["url"] for name in NAMES for link in walk(load(name)["panels"]) if "url" in link]

    assert urls
    for url in urls:
        link = re.fullmatch(r"/d/([\w-]+)\?var-(\w+)=\$\{__value\.text\}&(.+)", url)
        assert link
        assert link[2] in variables[link[1]]
        kept = set(link[3].split("&"))
        assert {"${__url_time_range}", "${datasource:queryparam}", "${job:queryparam}"} <= kept


@pytest.mark.parametrize("name", NAMES)
def test_panels_are_distinct_and_do_not_overlap(name: str) -> None:
    """Panels have different ids and titles, fill whole rows of the grid, and do not overlap."""
    panels = load(name)["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(panels) == len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels})
    assert len(cells) == len(set(cells)) == 24 * (1 + max(y for _, y in cells))
    assert 24 == 1 + max(x for x, _ in cells)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_a_description(name: str) -> None:
    """Each panel has a description on one line that ends a sentence, and a text for the case without data."""
    for panel in load(name)["panels"]:
        assert panel["description"].endswith("."), panel["title"]
        assert "\n" not in panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]
        assert "repeat" not in panel, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_selected_data_source(name: str) -> None:
    """Every query and panel uses the data source that the variable selects."""
    dashboard = load(name)
    sources = [value["datasource"] for value in walk(dashboard) if "datasource" in value]
    targets = [value for value in walk(dashboard) if "expr" in value]

    assert [OURS] * len(sources) == sources
    assert all(OURS == target["datasource"] for target in targets)
    assert all(OURS == panel["datasource"] for panel in dashboard["panels"])
    assert "datasource" == dashboard["templating"]["list"][0]["type"]


@pytest.mark.parametrize("name", NAMES)
def test_units(name: str) -> None:
    """Money has no currency symbol, and every margin ratio is in per cent with its thresholds."""
    panels = load(name)["panels"]

    assert not [value for value in walk(panels) if str(value.get("unit", "")).startswith("currency")]
    for panel in panels:
        if panel["type"] != "table" and "margin ratio" in panel["title"].lower():
            defaults = panel["fieldConfig"]["defaults"]
            assert "percentunit" == defaults["unit"]
            assert [None, 0.7, 0.8, 1] == [step["value"] for step in defaults["thresholds"]["steps"]]


def test_provisioning_points_to_the_dashboards() -> None:
    """Provisioning sets the default data source, and dashboards that cannot be changed in the browser."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/binance-futures.yml").read_text())["providers"]

    assert ("prometheus", True) == (source["type"], source["isDefault"])
    assert "file" == provider["type"]
    assert not provider["allowUiUpdates"]


def test_pictures_are_there_and_small() -> None:
    """Each dashboard has a picture below 300 kB."""
    pictures = {path.stem: path.stat().st_size for path in (GRAFANA / "screenshots").glob("*.png")}

    assert set(NAMES) <= set(pictures)
    assert max(pictures.values()) < 300_000
