"""Every expression of the dashboards can be parsed, and its metrics and labels exist."""

from __future__ import annotations

import re
from typing import Any, Final

import promql_parser as promql
import pytest
from support.dashboards import NAMES, filled, load
from support.promql import labels_of, nodes

from exporter.metrics import reference
from monitoring.rules.income import INCOME

# Added to every scraped series: by Prometheus, and `namespace` by Prometheus Operator.
SCRAPED: Final = frozenset({"job", "instance", "namespace"})
# Not in the catalog: Prometheus' own, and those of the process collector.
FOREIGN: Final = ("up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds")
MONEY: Final = frozenset({"currency", "asset", "margin_asset"})
PRICE: Final = "binance_futures_asset_index_price"
MONEY_OF_POSITIONS: Final = re.compile(r"binance_futures_position_(notional|unrealized_pnl|.*margin|.*balance)$")


def labels_by_metric() -> dict[str, frozenset[str]]:
    """Return the labels of every metric that a dashboard may use."""
    by_metric = dict.fromkeys(FOREIGN, SCRAPED)
    for entry in reference.entries():
        labels = SCRAPED | frozenset(entry["labels"])
        if entry["type"] == "histogram":
            by_metric |= {f"{entry['name']}_bucket": labels | {"le"}}
        else:
            by_metric[entry["name"]] = labels
    for rule in INCOME:
        by_metric[rule.name] = labels_of(promql.parse(rule.expression), by_metric)
    return by_metric


LABELS_BY_METRIC: Final = labels_by_metric()


def checked(expression: promql.Expr) -> frozenset[str]:
    """Return the labels that an expression's series may have.

    Raises:
        AssertionError: see `labels_of`; or a metric is of any job, or money of different assets is added.
    """
    labels = labels_of(expression, LABELS_BY_METRIC)
    for selector in nodes(expression, promql.VectorSelector):
        labels_named = {matcher.name for matcher in selector.matchers.matchers}
        assert "job" in labels_named, f"{selector.name} is of any job"
    for aggregation in nodes(expression, promql.AggregateExpr):
        inner = labels_of(aggregation.expr, LABELS_BY_METRIC)
        if str(aggregation.op) in {"sum", "avg"} and (inner & MONEY or is_money(aggregation.expr)):
            kept = labels_of(aggregation, LABELS_BY_METRIC) & MONEY
            assert kept or is_priced(aggregation.expr), "money of different assets is added"
    return labels


def is_money(expression: promql.Expr) -> bool:
    """Return whether an expression uses amounts of positions, whose asset is not among their labels."""
    return any(MONEY_OF_POSITIONS.match(selector.name or "") for selector in nodes(expression, promql.VectorSelector))


def is_priced(expression: promql.Expr) -> bool:
    """Return whether each amount of an asset in an expression is 0 or multiplied by the price of the asset."""
    if not isinstance(expression, promql.BinaryExpr):
        return False
    match str(expression.op):
        case "or":
            return is_priced(expression.lhs) and is_priced(expression.rhs)
        case "==":
            return isinstance(expression.rhs, promql.NumberLiteral) and expression.rhs.val == 0
        case "*":
            return PRICE in {selector.name for selector in nodes(expression.rhs, promql.VectorSelector)}
        case _:
            return False


def targets() -> list[Any]:
    """Return every query of every panel, with its panel."""
    return [
        pytest.param(panel, target, id=f"{name}: {panel['title']} {target['refId']}")
        for name in NAMES
        for panel in load(name)["panels"]
        for target in panel["targets"]
    ]


@pytest.mark.parametrize(("panel", "target"), targets())
def test_metrics_and_labels_exist(panel: dict[str, Any], target: dict[str, Any]) -> None:
    """A query, its legend and the columns of its table use only existing metrics and labels."""
    labels = checked(promql.parse(filled(target["expr"])))

    assert set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= labels
    if panel["type"] == "table":
        (organize,) = [change for change in panel["transformations"] if change["id"] == "organize"]
        assert labels <= organize["options"]["indexByName"].keys()
    elif panel["type"] == "timeseries" and labels:
        assert "{{" in target["legendFormat"]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("binance_futures_down", "no metric"),
        ("binance_futures_up", "of any job"),
        ('binance_futures_up{job="a", endpoint="mainnet"}', "has no"),
        ('sum by (symbol) (binance_futures_up{job="a"})', "aggregated by"),
        ('sum(binance_futures_account_margin_balance{job="a"})', "different assets"),
        (
            'sum(binance_futures_asset_margin_balance{job="a"} or binance_futures_asset_margin_balance{job="a"} == 0)',
            "different assets",
        ),
        ('sum by (account) (max by (account) (binance_futures_position_notional{job="a"}))', "different assets"),
        ('binance_futures_up{job="a"} and binance_futures_cross_margin_ratio{job="a"}', "on one side only"),
    ],
)
def test_problems_are_found(expression: str, problem: str) -> None:
    """Each kind of problem that the test above looks for is found."""
    with pytest.raises(AssertionError, match=problem):
        checked(promql.parse(expression))


@pytest.mark.parametrize("name", NAMES)
def test_variables_ask_for_what_exists(name: str) -> None:
    """A variable takes its values from a label that its metric has, and every variable in use is declared."""
    dashboard = load(name)
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for variable in variables.values():
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((\w+)(?:\{(.+)\})?, (\w+)\)", variable["query"])
            assert query
            selecting = set(re.findall(r"(\w+)=~", query[2] or ""))
            assert selecting | {query[3]} <= LABELS_BY_METRIC[query[1]]
            assert variable["multi"]
            assert variable["includeAll"]
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = set(re.findall(r'"\$(\w+)"', "".join(expressions)))

    assert used == variables.keys() - {"datasource"}
