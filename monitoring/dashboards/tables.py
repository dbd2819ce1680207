"""Builds table panels, which join series by their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models

from monitoring.dashboards.panels import DATASOURCE, Query, Steps, null_text, one_line, target, thresholds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

_NO_VALUE: Final = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the label or expression that it shows, and how."""

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


def table_panel(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    sort: Iterable[tuple[str, bool]],
    no_value: str,
) -> table.Panel:
    """Make a table that joins the series of its columns by their labels.

    Args:
        title: the panel's title.
        description: full sentences; line breaks are ignored.
        columns: from left to right.
        sort: titles of the columns to sort by, each with True for descending order.
        no_value: the text shown if there is no row.
    """
    sorting: list[Builder[looks.TableSortByFieldState]] = [
        common.TableSortByFieldState().display_name(column_title).desc(descending) for column_title, descending in sort
    ]
    panel = (
        table.Panel()
        .title(title)
        .description(one_line(description))
        .datasource(DATASOURCE)
        .no_value(no_value)
        .show_header(True)
        .cell_height(looks.TableCellHeight.SM)
        .sort_by(sorting)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    )
    queried = [column for column in columns if column.expression]
    single = len(queried) == 1
    order: dict[str, int] = {}
    # A missing value in a row is shown as a dash; `no_value` is for a table without rows.
    panel.override_by_regexp("/.*/", [models.DynamicConfigValue("noValue", _NO_VALUE)])
    for index, column in enumerate(columns):
        name = column.label
        if column.expression:
            number = queried.index(column)
            panel.with_target(target(Query(column.expression), number, as_table=True))
            name = "Value" if single else f"Value #{chr(ord('A') + number)}"
        order[name] = index
        panel.override_by_name(name, list(_properties(column)))
    excluded = {"Time": True} | {name: True for name, index in order.items() if columns[index].hidden}
    organized = {"excludeByName": excluded, "indexByName": order, "renameByName": {}}
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organized))


def _properties(column: Column) -> Iterable[models.DynamicConfigValue]:
    override = models.DynamicConfigValue
    yield override("displayName", column.title)
    if column.unit:
        yield override("unit", column.unit)
    if column.decimals is not None:
        yield override("decimals", column.decimals)
    if column.width is not None:
        yield override("custom.width", column.width)
    if column.steps or column.mappings:
        yield override("mappings", [*column.mappings, null_text(_NO_VALUE)])
    if column.steps:
        yield override("thresholds", thresholds(column.steps).build())
        yield override("color", {"mode": "thresholds"})
    if column.steps or column.mappings:
        yield override("custom.cellOptions", {"type": "color-text"})
    if column.link:
        text, url = column.link
        yield override("links", [{"title": text, "url": url, "targetBlank": False}])
