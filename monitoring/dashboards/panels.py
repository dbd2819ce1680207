"""What the panels of all dashboards have in common: looks, units, thresholds, words for the absence of data, links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus as queries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.account.risk import MARGIN_RATIO_LEVELS
from monitoring.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence


DATASOURCE: Final = looks.DataSourceRef(type_val="prometheus", uid="${datasource}")

NAME: Final = looks.BigValueTextMode.NAME
VALUE_AND_NAME: Final = looks.BigValueTextMode.VALUE_AND_NAME

# Units, by Grafana's ids. Money has no symbol: the asset stands beside it.
MONEY: Final = "locale"
PART: Final = "percentunit"
SECONDS: Final = "s"
COUNT: Final = "short"

_BASE: Final = "green"
_LEVEL_COLORS: Final = {"high": "orange", "critical": "red", "liquidation": "purple"}
Steps = tuple[tuple[float | None, str], ...]

PLAIN: Final[Steps] = ((None, "text"),)
ANY_IS_BAD: Final[Steps] = ((None, _BASE), (1, "red"))
MARGIN_RATIO: Final[Steps] = (
    (None, _BASE),
    *((part, _LEVEL_COLORS[word]) for part, word in reversed(MARGIN_RATIO_LEVELS)),
)
# What the alerts compare with.
ALERTS_AT: Final = {threshold.name: threshold.value for threshold in THRESHOLDS}
_NEAR, _VERY_NEAR = ALERTS_AT["liquidation_distance_warning"], ALERTS_AT["liquidation_distance_critical"]
DISTANCE: Final[Steps] = ((None, "red"), (_VERY_NEAR, "orange"), (_NEAR, _BASE))
# A line has the colour of what begins above it: where low is bad, that of the next better.
DISTANCE_LINES: Final[Steps] = ((None, "transparent"), (_VERY_NEAR, "red"), (_NEAR, "orange"))
PROFIT: Final[Steps] = ((None, "red"), (0, _BASE))


def ranged(least: float | None, most: float | None, text: str, color: str | None = None) -> models.RangeMap:
    """Map all numbers of a range, infinities included, to a text."""
    result = models.ValueMappingResult(text=text, color=color, index=0)
    return models.RangeMap(models.DashboardRangeMapOptions(from_val=least, to=most, result=result))


def named(texts: dict[str, tuple[str, str]]) -> models.ValueMap:
    """Map single values to a text and its colour."""
    results = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return models.ValueMap(results)


def nothing(text: str) -> models.SpecialValueMap:
    """Map the absence of a value to a text without any threshold's colour: the unknown is neither good nor bad."""
    result = models.ValueMappingResult(text=text, color="text", index=0)
    options = models.DashboardSpecialValueMapOptions(match=models.SpecialValueMatch.NULL_AND_NAN, result=result)
    return models.SpecialValueMap(options)


UP: Final = (named({"0": ("down", "red"), "1": ("up", _BASE)}),)
# No equity left under a maintenance margin is +Inf.
RATIO_WORDS: Final = (ranged(100, None, "no equity left", _LEVEL_COLORS["liquidation"]),)
DISTANCE_WORDS: Final = (ranged(1e6, None, "none", "text"),)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called."""

    expression: str
    legend: str = ""


def target(query: Query, number: int, *, instant: bool = False, as_table: bool = False) -> queries.Dataquery:
    """Return a query of a panel, the first of which is A; a table's are of the end of the time shown."""
    built = queries.Dataquery().ref_id(chr(ord("A") + number)).datasource(DATASOURCE).expr(query.expression)
    if query.legend:
        built.legend_format(query.legend)
    if as_table:
        built.format(PromQueryFormat.TABLE)
    return built.instant() if instant or as_table else built.range()


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Return absolute thresholds, the first of which has no value."""
    config = builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return config.steps([models.Threshold(value=value, color=color) for value, color in steps])


def _colored(mode: models.FieldColorModeId) -> builders.FieldColor:
    return builders.FieldColor().mode(mode)


def number(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = COUNT,
    decimals: int | None = None,
    steps: Steps = PLAIN,
    mappings: Sequence[Any] = (),
    absent: str,
    sparkline: bool = False,
    text: looks.BigValueTextMode = looks.BigValueTextMode.VALUE,
) -> stat.Panel:
    """Make a panel of a single number, or one for each series, as of the end of the time shown.

    Args:
        title: what the number is.
        description: how to read it.
        query: its series.
        unit: Grafana's id of the unit.
        decimals: how many to show, at most.
        steps: from which value on it has which colour.
        mappings: words for certain values.
        absent: what to say where there is no series.
        sparkline: draw its way through the time shown behind it.
        text: show the value, what its series is called, or both.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .with_target(target(query, 0, instant=not sparkline))
        .unit(unit)
        .no_value(absent)
        .thresholds(thresholds(steps))
        .mappings([*mappings, nothing(absent)])
        .color_scheme(_colored(models.FieldColorModeId.THRESHOLDS))
        .color_mode(looks.BigValueColorMode.VALUE)
        .graph_mode(looks.BigValueGraphMode.AREA if sparkline else looks.BigValueGraphMode.NONE)
        .justify_mode(looks.BigValueJustifyMode.AUTO)
        .orientation(looks.VizOrientation.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text_mode(text)
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    *series: Query,
    unit: str = COUNT,
    decimals: int | None = None,
    steps: Steps = (),
    least: float | None = None,
    most: float | None = None,
    soft: tuple[float | None, float | None] = (None, None),
    absent: str,
    fill: int = 0,
    as_bars: bool = False,
    stairs: bool = False,
    lowest_first: bool = False,
    calcs: Sequence[str] = ("lastNotNull", "max"),
) -> timeseries.Panel:
    """Make a panel of lines over time, with a table of what they are called, now and at their extreme.

    Args:
        title: what the lines are.
        description: how to read them.
        series: their series.
        unit: Grafana's id of the unit.
        decimals: how many to show, at most.
        steps: thresholds to draw as dashed lines.
        least: where the axis begins.
        most: where it ends, though lines go on.
        soft: what of the axis to show although no line reaches it.
        absent: what to say where there is no series.
        fill: how much of a line's colour to put below it, in per cent.
        as_bars: stack bars instead.
        stairs: keep a value until the next, for what jumps.
        lowest_first: sort the table upwards, for what is worse when lower.
        calcs: the columns of the table; it is sorted by the last value.
    """
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs(list(calcs))
    )
    if calcs:
        legend.sort_by("Last *").sort_desc(not lowest_first)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(absent)
        .color_scheme(_colored(models.FieldColorModeId.PALETTE_CLASSIC))
        .draw_style(looks.GraphDrawStyle.BARS if as_bars else looks.GraphDrawStyle.LINE)
        .line_interpolation(looks.LineInterpolation.STEP_AFTER if stairs else looks.LineInterpolation.LINEAR)
        .line_width(1)
        .fill_opacity(80 if as_bars else fill)
        .show_points(looks.VisibilityMode.NEVER)
        # A gap is an account that could not be polled: not to be bridged.
        .span_nulls(False)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )
    for index, query in enumerate(series):
        panel.with_target(target(query, index))
    if as_bars:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(thresholds(steps))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    if decimals is not None:
        panel.decimals(decimals)
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    if soft[0] is not None:
        panel.axis_soft_min(soft[0])
    if soft[1] is not None:
        panel.axis_soft_max(soft[1])
    return panel
