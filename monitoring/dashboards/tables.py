"""Tables: labels and figures that belong together, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models

from monitoring.dashboards.panels import DATASOURCE, Query, Steps, nothing, target, thresholds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

_LACKING: Final = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the label or, with an expression, the figure it shows, and how."""

    title: str
    label: str = ""
    expression: str = ""
    unit: str = ""
    decimals: int | None = None
    steps: Steps = ()
    mappings: Sequence[Any] = ()
    width: int | None = None
    link: tuple[str, str] | None = None
    hidden: bool = False


def rows(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    sort: Iterable[tuple[str, bool]],
    absent: str,
) -> table.Panel:
    """Make a table whose columns are labels and figures that belong together by them.

    Args:
        title: what its rows are.
        description: how to read it.
        columns: from left to right.
        sort: titles of the columns to sort by, with whether downwards.
        absent: what to say where there is no row.
    """
    sorting: list[Builder[looks.TableSortByFieldState]] = [
        common.TableSortByFieldState().display_name(by).desc(down) for by, down in sort
    ]
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .no_value(absent)
        .show_header(True)
        .cell_height(looks.TableCellHeight.SM)
        .sort_by(sorting)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    )
    figures = [column for column in columns if column.expression]
    single = len(figures) == 1
    order: dict[str, int] = {}
    # What a row lacks is shown as a dash; the words for "no row at all" are the panel's.
    panel.override_by_regexp("/.*/", [models.DynamicConfigValue("noValue", _LACKING)])
    for index, column in enumerate(columns):
        name = column.label
        if column.expression:
            number_of = figures.index(column)
            panel.with_target(target(Query(column.expression), number_of, as_table=True))
            name = "Value" if single else f"Value #{chr(ord('A') + number_of)}"
        order[name] = index
        panel.override_by_name(name, list(_properties(column)))
    left_out = {"Time": True} | {name: True for name, index in order.items() if columns[index].hidden}
    organized = {"excludeByName": left_out, "indexByName": order, "renameByName": {}}
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organized))


def _properties(column: Column) -> Iterable[models.DynamicConfigValue]:
    set_to = models.DynamicConfigValue
    yield set_to("displayName", column.title)
    if column.unit:
        yield set_to("unit", column.unit)
    if column.decimals is not None:
        yield set_to("decimals", column.decimals)
    if column.width is not None:
        yield set_to("custom.width", column.width)
    if column.steps or column.mappings:
        yield set_to("mappings", [*column.mappings, nothing(_LACKING)])
    if column.steps:
        yield set_to("thresholds", thresholds(column.steps).build())
        yield set_to("color", {"mode": "thresholds"})
    if column.steps or column.mappings:
        yield set_to("custom.cellOptions", {"type": "color-text"})
    if column.link:
        text, url = column.link
        yield set_to("links", [{"title": text, "url": url, "targetBlank": False}])
