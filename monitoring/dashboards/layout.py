"""Puts panels into a dashboard: bands from the top to the bottom, variables, links that keep time and account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import table

from monitoring.dashboards.panels import DATASOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grafana_foundation_sdk.cog.builder import Builder

TAG: Final = "binance-futures"

Panels = Sequence[tuple[int, "Builder[models.Panel]"]]


@dataclass(frozen=True, slots=True)
class Band:
    """Panels side by side, of the same height, each with its part of the width of 24."""

    height: int
    panels: Panels


def _choice(name: str, label: str, query: str, description: str, *, all_value: str | None = None) -> Any:
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


def choices(*names: str, all_of: Sequence[str] = ()) -> list[Any]:
    """Return the variables of a dashboard: datasource and job, then those named; `all_of` are at first not narrowed.

    Whatever can grow long, or has to be shown although it has just vanished, is matched by `.+` when not narrowed.
    """
    known = {
        "account": _choice(
            "account",
            "Account",
            'label_values(binance_futures_up{job=~"$job"}, account)',
            "The accounts to show, by their names in the exporter's configuration.",
            all_value=".+",
        ),
        "symbol": _choice(
            "symbol",
            "Symbol",
            'label_values(binance_futures_position_amount{job=~"$job", account=~"$account"}, symbol)',
            "The symbols whose positions are shown; the account's own figures are of all symbols.",
            all_value=".+",
        ),
        "instance": _choice(
            "instance",
            "Exporter",
            'label_values(binance_futures_exporter_build_info{job=~"$job"}, instance)',
            "The exporters to show, by the address they are scraped at.",
            all_value=".+",
        ),
        "job": _choice(
            "job",
            "Job",
            "label_values(binance_futures_exporter_build_info, job)",
            "The scrape jobs that exporters belong to; accounts of the same name in several are shown as one.",
        ),
    }
    everything = models.VariableOption(text=["All"], value=["$__all"], selected=True)
    for name in ("job", *all_of):
        known[name].current(everything)
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [source, *(known[name] for name in ("job", *names))]


def dashboard(
    uid: str, title: str, description: str, variables: Iterable[Any], bands: Iterable[Band]
) -> models.Dashboard:
    """Lay bands out from the top to the bottom, and link to the other dashboards with time and variables kept."""
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
    for variable in variables:
        board.with_variable(variable)
    built = board.build()
    for model in built.templating.list_val or ():
        # The SDK gives every variable what only one of intervals has.
        model.auto = model.auto_count = model.auto_min = None
    built.panels = []
    top = 0
    for band in bands:
        left = 0
        for width, panel in band.panels:
            made = panel.build()
            if isinstance(made.options, table.Options):
                # The SDK's default, which Grafana reads no more.
                made.options.footer = None
            made.id_val = len(built.panels) + 1
            made.grid_pos = models.GridPos(h=band.height, w=width, x=left, y=top)
            built.panels.append(made)
            left += width
        top += band.height
    return built


def link_to(uid: str, variable: str) -> str:
    """Return the address of another dashboard narrowed to the cell's own text, of the same time, source and job."""
    kept = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}"
    return f"/d/{uid}?var-{variable}=${{__value.text}}&{kept}"
