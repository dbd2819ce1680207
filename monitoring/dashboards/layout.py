"""Builds dashboards from rows of panels, variables, and links that preserve time range and variables."""

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
class PanelRow:
    """Panels next to each other, of the same height; `widths`, if given, adds up to 24."""

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
    """Return the variables of a dashboard: data source and job, then the named ones.

    The job and the variables in `all_selected` default to "All". If the list of values may be long, or may lack series
    that have just ended, "All" is the pattern `.+`.
    """
    available = {
        "account": _query_variable(
            "account",
            "Account",
            'label_values(binance_futures_up{job=~"$job"}, account)',
            "The accounts to show, by name.",
            all_value=".+",
        ),
        "symbol": _query_variable(
            "symbol",
            "Symbol",
            'label_values(binance_futures_position_amount{job=~"$job", account=~"$account"}, symbol)',
            "The symbols whose positions are shown. Totals of the account always include all symbols.",
            all_value=".+",
        ),
        "asset": _query_variable(
            "asset",
            "Asset",
            'label_values(binance_futures_income_today{job=~"$job", account=~"$account"}, asset)',
            "The assets whose income is shown. Amounts in different assets are never added.",
            all_value=".+",
        ),
        "instance": _query_variable(
            "instance",
            "Exporter",
            'label_values(binance_futures_exporter_build_info{job=~"$job"}, instance)',
            "The exporters to show, by the address at which they are scraped.",
            all_value=".+",
        ),
        "job": _query_variable(
            "job",
            "Job",
            "label_values(binance_futures_exporter_build_info, job)",
            "The scrape jobs of the exporters. Accounts with the same name in several jobs are shown as one.",
        ),
    }
    everything = models.VariableOption(text=["All"], value=["$__all"], selected=True)
    for name in ("job", *all_selected):
        available[name].current(everything)
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [source, *(available[name] for name in ("job", *names))]


def dashboard(
    uid: str,
    title: str,
    description: str,
    chosen: Iterable[Any],
    rows: Iterable[PanelRow],
    *,
    shows: str = "1h",
    refresh: str = "30s",
    timezone: str = "browser",
) -> models.Dashboard:
    """Return a dashboard of rows from top to bottom, with links to the other dashboards; it shows the last `shows`."""
    board = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone(timezone)
        .time(f"now-{shows}", "now")
        .refresh(refresh)
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
        # The SDK sets fields of interval variables on every variable.
        model.auto = model.auto_count = model.auto_min = None
    built.panels = []
    top = 0
    for row in rows:
        left = 0
        widths = row.widths or [_WIDTH // len(row.panels)] * len(row.panels)
        for width, panel in zip(widths, row.panels, strict=True):
            built_panel = panel.build()
            if isinstance(built_panel.options, table.Options):
                # The SDK sets a default that Grafana no longer reads.
                built_panel.options.footer = None
            built_panel.id_val = len(built.panels) + 1
            built_panel.grid_pos = models.GridPos(h=row.height, w=width, x=left, y=top)
            built.panels.append(built_panel)
            left += width
        top += row.height
    return built


def link_to(uid: str, variable: str) -> str:
    """Return the URL of a dashboard with a variable set to the cell's text, preserving time range and job."""
    kept = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}"
    return f"/d/{uid}?var-{variable}=${{__value.text}}&{kept}"
