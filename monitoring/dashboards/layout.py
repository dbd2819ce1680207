"""Builds dashboards from rows of panels, variables, and links that keep time range and variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import table

from monitoring.dashboards.panels import DATASOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

TAG: Final = "binance-futures"
_WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class Row:
    """Panels next to each other, of the same height, and of the same width unless `widths` adds up to 24 otherwise."""

    height: int
    panels: Sequence[Builder[models.Panel]]
    widths: Sequence[int] = ()


def _query_variable(name: str, label: str, query: str, description: str, *, all_value: str | None = None) -> Any:
    variable = (
        builders.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
    )
    if all_value:
        variable.all_value(all_value)
    return variable


def variables(*names: str, all_selected: Sequence[str] = ()) -> list[Any]:
    """Return the variables of a dashboard: data source and job, then those named.

    "All" is the default of the job and of those in `all_selected`. Where the list of values may be long, or may lack
    series that have just ended, "All" is the pattern `.+`.
    """
    available = {
        "account": _query_variable(
            "account",
            "Account",
            'label_values(binance_futures_up{job=~"$job"}, account)',
            "The accounts to show, by their names in the exporter's configuration.",
            all_value=".+",
        ),
        "symbol": _query_variable(
            "symbol",
            "Symbol",
            'label_values(binance_futures_position_amount{job=~"$job", account=~"$account"}, symbol)',
            "The symbols whose positions are shown; totals of the account always include all symbols.",
            all_value=".+",
        ),
        "instance": _query_variable(
            "instance",
            "Exporter",
            'label_values(binance_futures_exporter_build_info{job=~"$job"}, instance)',
            "The exporters to show, by the address they are scraped at.",
            all_value=".+",
        ),
        "job": _query_variable(
            "job",
            "Job",
            "label_values(binance_futures_exporter_build_info, job)",
            "The scrape jobs of the exporters; accounts with the same name in several jobs are shown as one.",
        ),
    }
    everything = models.VariableOption(text=["All"], value=["$__all"], selected=True)
    for name in ("job", *all_selected):
        available[name].current(everything)
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [source, *(available[name] for name in ("job", *names))]


def dashboard(uid: str, title: str, description: str, chosen: Iterable[Any], rows: Iterable[Row]) -> models.Dashboard:
    """Lay rows out from top to bottom, and link to the other dashboards with time range and variables kept."""
    board = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("Binance futures")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in chosen:
        board.with_variable(variable)
    built = board.build()
    for model in built.templating.list_val or ():
        # The SDK sets on every variable what only interval variables have.
        model.auto = model.auto_count = model.auto_min = None
    built.panels = []
    top = 0
    for row in rows:
        left = 0
        widths = row.widths or [_WIDTH // len(row.panels)] * len(row.panels)
        for width, panel in zip(widths, row.panels, strict=True):
            built_panel = panel.build()
            if isinstance(built_panel.options, table.Options):
                # The SDK's default, which Grafana no longer reads.
                built_panel.options.footer = None
            built_panel.id_val = len(built.panels) + 1
            built_panel.grid_pos = models.GridPos(h=row.height, w=width, x=left, y=top)
            built.panels.append(built_panel)
            left += width
        top += row.height
    return built


def link_to(uid: str, variable: str) -> str:
    """Return the URL of a dashboard with a variable set to the cell's text; time range, data source and job stay."""
    kept = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}"
    return f"/d/{uid}?var-{variable}=${{__value.text}}&{kept}"
