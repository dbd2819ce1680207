"""Builds stat and time series panels; units, thresholds and texts shared by all dashboards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus as queries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.thresholds import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence


DATASOURCE: Final = looks.DataSourceRef(type_val="prometheus", uid="${datasource}")

NAME: Final = looks.BigValueTextMode.NAME
VALUE_AND_NAME: Final = looks.BigValueTextMode.VALUE_AND_NAME

# Ids of units in Grafana. Money has no symbol, because the asset is shown next to it.
MONEY: Final = "locale"
PERCENT: Final = "percentunit"
SECONDS: Final = "s"
COUNT: Final = "short"

_GOOD: Final = "green"
_LIQUIDATED: Final = "purple"
Steps = tuple[tuple[float | None, str], ...]

PLAIN: Final[Steps] = ((None, "text"),)
RED_FROM_ONE: Final[Steps] = ((None, _GOOD), (1, "red"))
MARGIN_RATIO: Final[Steps] = (
    (None, _GOOD),
    (BY_NAME["margin_ratio_warning"], "orange"),
    (BY_NAME["margin_ratio_critical"], "red"),
    (1.0, _LIQUIDATED),
)
_NEAR, _VERY_NEAR = BY_NAME["liquidation_distance_warning"], BY_NAME["liquidation_distance_critical"]
DISTANCE: Final[Steps] = ((None, "red"), (_VERY_NEAR, "orange"), (_NEAR, _GOOD))
# A threshold line has the colour of the range above it: where low values are bad, that of the next worse range.
DISTANCE_LINES: Final[Steps] = ((None, "transparent"), (_VERY_NEAR, "red"), (_NEAR, "orange"))
DATA_AGE: Final[Steps] = ((None, _GOOD), (60, "orange"), (300, "red"))
INCOME_AGE: Final[Steps] = ((None, _GOOD), (BY_NAME["income_age_seconds"], "orange"))
RED_BELOW_ZERO: Final[Steps] = ((None, "red"), (0, _GOOD))


def one_line(text: str) -> str:
    """Return a text of several indented lines as a single line."""
    return " ".join(text.split())


def range_text(minimum: float | None, maximum: float | None, text: str, color: str | None = None) -> models.RangeMap:
    """Map all numbers of a range, infinities included, to a text."""
    result = models.ValueMappingResult(text=text, color=color, index=0)
    return models.RangeMap(models.DashboardRangeMapOptions(from_val=minimum, to=maximum, result=result))


def value_texts(texts: dict[str, tuple[str, str]]) -> models.ValueMap:
    """Map single values to a text and its colour."""
    results = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return models.ValueMap(results)


def null_text(text: str) -> models.SpecialValueMap:
    """Map a missing value to a text in a neutral colour: unknown is neither good nor bad."""
    result = models.ValueMappingResult(text=text, color="text", index=0)
    options = models.DashboardSpecialValueMapOptions(match=models.SpecialValueMatch.NULL_AND_NAN, result=result)
    return models.SpecialValueMap(options)


# Unknown is neither good nor bad.
_UNKNOWN: Final = "blue"
RISK_TEXTS: Final = (
    value_texts(
        {
            "0": ("normal", _GOOD),
            "1": ("warning", "orange"),
            "2": ("unknown", _UNKNOWN),
            "3": ("critical", "red"),
        }
    ),
)
WARNING_FROM_ONE: Final[Steps] = ((None, _GOOD), (1, "orange"))
UNKNOWN_FROM_ONE: Final[Steps] = ((None, _GOOD), (1, _UNKNOWN))
UP_TEXTS: Final = (value_texts({"0": ("down", "red"), "1": ("up", _GOOD)}),)
# The ratio is +Inf if there is maintenance margin but no equity left.
RATIO_TEXTS: Final = (range_text(100, None, "no equity left", _LIQUIDATED),)
DISTANCE_TEXTS: Final = (range_text(1e6, None, "none", "text"),)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and how its series are queried and shown.

    Attributes:
        legend: the legend of its series.
        steps: in stat panels their colours, if they differ from the panel's.
        interval: the least time between two points of a series, such as `1d`.
    """

    expression: str
    legend: str = ""
    steps: Steps = ()
    interval: str = ""


def target(query: Query, number: int, *, instant: bool = False, as_table: bool = False) -> queries.Dataquery:
    """Return a query of a panel; the first is named A. Queries of tables are instant."""
    built = queries.Dataquery().ref_id(chr(ord("A") + number)).datasource(DATASOURCE).expr(query.expression)
    if query.legend:
        built.legend_format(query.legend)
    if query.interval:
        built.interval(query.interval)
    if as_table:
        built.format(PromQueryFormat.TABLE)
    return built.instant() if instant or as_table else built.range()


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Return absolute thresholds, the first of which has no value."""
    config = builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return config.steps([models.Threshold(value=value, color=color) for value, color in steps])


def _colored(mode: models.FieldColorModeId) -> builders.FieldColor:
    return builders.FieldColor().mode(mode)


def stat_panel(
    title: str,
    description: str,
    *series: Query,
    unit: str = COUNT,
    decimals: int | None = None,
    steps: Steps = PLAIN,
    mappings: Sequence[Any] = (),
    no_value: str,
    sparkline: bool = False,
    text_mode: looks.BigValueTextMode = looks.BigValueTextMode.VALUE,
) -> stat.Panel:
    """Make a panel of a single number, or of one per series, at the end of the time range.

    Args:
        title: the panel's title.
        description: full sentences; line breaks are ignored.
        series: the panel's series.
        unit: the id of the unit in Grafana.
        decimals: maximum number of decimals.
        steps: the colours, each with the value at which it begins.
        mappings: texts shown instead of certain values.
        no_value: the text shown if there is no series.
        sparkline: whether to draw its history in the background.
        text_mode: whether to show the value, its legend, or both.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(one_line(description))
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(no_value)
        .thresholds(thresholds(steps))
        .mappings([*mappings, null_text(no_value)])
        .color_scheme(_colored(models.FieldColorModeId.THRESHOLDS))
        .color_mode(looks.BigValueColorMode.VALUE)
        .graph_mode(looks.BigValueGraphMode.AREA if sparkline else looks.BigValueGraphMode.NONE)
        .justify_mode(looks.BigValueJustifyMode.AUTO)
        .orientation(looks.VizOrientation.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text_mode(text_mode)
    )
    for index, query in enumerate(series):
        panel.with_target(target(query, index, instant=not sparkline))
        if query.steps:
            colors = models.DynamicConfigValue("thresholds", thresholds(query.steps).build())
            panel.override_by_query(chr(ord("A") + index), [colors])
    return panel if decimals is None else panel.decimals(decimals)


def time_series_panel(
    title: str,
    description: str,
    *series: Query,
    unit: str = COUNT,
    decimals: int | None = None,
    steps: Steps = (),
    minimum: float | None = None,
    maximum: float | None = None,
    soft_range: tuple[float | None, float | None] = (None, None),
    no_value: str,
    fill: int = 0,
    bars: bool = False,
    stacked: bool = True,
    stepped: bool = False,
    lowest_first: bool = False,
    legend_values: Sequence[str] = ("lastNotNull", "max"),
) -> timeseries.Panel:
    """Make a panel of lines over time, with a legend that is a table of their last and extreme values.

    Args:
        title: the panel's title.
        description: full sentences; line breaks are ignored.
        series: the panel's series.
        unit: the id of the unit in Grafana.
        decimals: maximum number of decimals.
        steps: thresholds to draw as dashed lines.
        minimum: the start of the axis.
        maximum: the end of the axis.
        soft_range: the range of the axis that is always shown.
        no_value: the text shown if there is no series.
        fill: opacity of the area below a line, in percent.
        bars: draw bars instead of lines.
        stacked: stack the bars, which adds their values.
        stepped: hold each value until the next one.
        lowest_first: sort the legend in ascending order, for values where lower is worse.
        legend_values: the columns of the legend, which is sorted by the last value.
    """
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs(list(legend_values))
    )
    if legend_values:
        legend.sort_by("Last *").sort_desc(not lowest_first)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(one_line(description))
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(no_value)
        .color_scheme(_colored(models.FieldColorModeId.PALETTE_CLASSIC))
        .draw_style(looks.GraphDrawStyle.BARS if bars else looks.GraphDrawStyle.LINE)
        .line_interpolation(looks.LineInterpolation.STEP_AFTER if stepped else looks.LineInterpolation.LINEAR)
        .line_width(1)
        .fill_opacity((80 if stacked else 50) if bars else fill)
        .show_points(looks.VisibilityMode.NEVER)
        # A gap shows that an account could not be polled.
        .span_nulls(False)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )
    for index, query in enumerate(series):
        panel.with_target(target(query, index))
    if bars and stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(thresholds(steps))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    if decimals is not None:
        panel.decimals(decimals)
    if minimum is not None:
        panel.min(minimum)
    if maximum is not None:
        panel.max(maximum)
    if soft_range[0] is not None:
        panel.axis_soft_min(soft_range[0])
    if soft_range[1] is not None:
        panel.axis_soft_max(soft_range[1])
    return panel
