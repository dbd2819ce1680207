"""Every expression of the dashboards: parsed, and every metric and label in it is one that exists."""

from __future__ import annotations

import re
from typing import Any, Final

import promql_parser as promql
import pytest
from support.dashboards import NAMES, filled, load
from support.promql import labels_of, nodes

from exporter.metrics import reference

# What Prometheus adds to every scraped series.
SCRAPED: Final = frozenset({"job", "instance"})
# Not of the catalog: Prometheus' own, and the process collector's.
FOREIGN: Final = ("up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds")
MONEY: Final = frozenset({"currency", "asset", "margin_asset"})
MONEY_OF_POSITIONS: Final = re.compile(r"binance_futures_position_(notional|unrealized_pnl|.*margin|.*balance)$")
# Not on any dashboard, for another figure tells as much to who looks; they are for queries of one's own.
REFERENCE_ONLY: Final = {
    "binance_futures_position_risk_missing": "for the rules: the recorded risk level is absent while it is above 0",
    "binance_futures_account_cross_wallet_balance": "by asset on Account",
    "binance_futures_account_cross_unrealized_pnl": "by asset on Account",
    "binance_futures_account_position_initial_margin": "by asset on Account",
    "binance_futures_account_open_order_initial_margin": "by asset on Account",
    "binance_futures_asset_update_timestamp_seconds": "the age of the poll is what tells of staleness",
    "binance_futures_position_update_timestamp_seconds": "the age of the poll is what tells of staleness",
    "binance_futures_position_isolated_margin": "within the margin ratio",
    "binance_futures_position_isolated_wallet_balance": "within the margin ratio",
    "binance_futures_position_maintenance_margin": "within the margin ratio",
    "binance_futures_exporter_config_last_reload_success_timestamp_seconds": "whether it was good is what matters",
}


def known_metrics() -> dict[str, frozenset[str]]:
    """Return the labels of every metric that a dashboard may name."""
    known = dict.fromkeys(FOREIGN, SCRAPED)
    for entry in reference.entries():
        labels = SCRAPED | frozenset(entry["labels"])
        if entry["type"] == "histogram":
            known |= {f"{entry['name']}_bucket": labels | {"le"}}
        else:
            known[entry["name"]] = labels
    return known


KNOWN: Final = known_metrics()


def checked(expression: promql.Expr) -> frozenset[str]:
    """Return the labels that an expression's series may have.

    Raises:
        AssertionError: see `labels_of`; or a metric is of any job, or money of different assets is added.
    """
    labels = labels_of(expression, KNOWN)
    for selector in nodes(expression, promql.VectorSelector):
        named = {matcher.name for matcher in selector.matchers.matchers}
        assert "job" in named, f"{selector.name} is of any job"
    for aggregation in nodes(expression, promql.AggregateExpr):
        inner = labels_of(aggregation.expr, KNOWN)
        if str(aggregation.op) in {"sum", "avg"} and (inner & MONEY or is_money(aggregation.expr)):
            assert labels_of(aggregation, KNOWN) & MONEY, "money of different assets is added"
    return labels


def is_money(expression: promql.Expr) -> bool:
    """Tell whether positions' money is within an expression: its asset is not among its labels."""
    return any(MONEY_OF_POSITIONS.match(each.name or "") for each in nodes(expression, promql.VectorSelector))


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
    """A query names metrics of the catalog and labels they have, and so do its legend and the columns of its table."""
    labels = checked(promql.parse(filled(target["expr"])))

    assert set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= labels
    if panel["type"] == "table":
        (organize,) = [each for each in panel["transformations"] if each["id"] == "organize"]
        assert labels <= organize["options"]["indexByName"].keys()
    elif panel["type"] == "timeseries" and labels:
        assert "{{" in target["legendFormat"]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("binance_futures_down", "no metric"),
        ("binance_futures_up", "of any job"),
        ('binance_futures_up{job="a", endpoint="mainnet"}', "has no"),
        ('sum by (symbol) (binance_futures_up{job="a"})', "aggregated by"),
        ('sum(binance_futures_account_margin_balance{job="a"})', "different assets"),
        ('sum by (account) (max by (account) (binance_futures_position_notional{job="a"}))', "different assets"),
        ('binance_futures_up{job="a"} and binance_futures_cross_margin_ratio{job="a"}', "on one side only"),
    ],
)
def test_faults_are_found(expression: str, fault: str) -> None:
    """Each kind of fault that the test above looks for is found."""
    with pytest.raises(AssertionError, match=fault):
        checked(promql.parse(expression))


@pytest.mark.parametrize("name", NAMES)
def test_variables_ask_for_what_exists(name: str) -> None:
    """The choices of a variable come from a metric and a label of it, and every variable that is used is declared."""
    dashboard = load(name)
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for variable in variables.values():
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+)(?:\{(.+)\})?, (\w+)\)", variable["query"])
            assert found
            named = set(re.findall(r"(\w+)=~", found[2] or ""))
            assert named | {found[3]} <= KNOWN[found[1]]
            assert variable["multi"]
            assert variable["includeAll"]
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = set(re.findall(r'"\$(\w+)"', "".join(expressions)))

    assert used == variables.keys() - {"datasource"}


def test_every_metric_is_of_use() -> None:
    """Every metric of the catalog is on a dashboard, or listed with a reason why not."""
    used: set[str] = set()
    for name in NAMES:
        for panel in load(name)["panels"]:
            for target in panel["targets"]:
                used |= set(re.findall(r"\bbinance_futures_\w+", target["expr"]))
    catalog = {entry["name"] for entry in reference.entries()}
    shown = {name.removesuffix("_bucket") for name in used}

    assert catalog == shown | REFERENCE_ONLY.keys()
    assert set() == shown & REFERENCE_ONLY.keys()
