"""Every expression of the rules can be parsed, and its metrics, labels and thresholds exist."""

from __future__ import annotations

import re
from typing import Final

import promql_parser as promql
import pytest
from support.promql import labels_of, nodes

from exporter.metrics import reference
from monitoring.rules.build import ALERTS, GROUPS, PROMETHEUS, as_mapping, rule_groups
from monitoring.rules.rule import Alert, Recording
from monitoring.thresholds import THRESHOLDS, VALUES

# Added to every scraped series: by Prometheus, and `namespace` by Prometheus Operator.
SCRAPED: Final = frozenset({"job", "instance", "namespace"})
RULES: Final = [rule for group in GROUPS.values() for rule in group.rules]


def labels_by_metric() -> dict[str, frozenset[str]]:
    """Return the labels of every metric: the catalog's, `up`, and what the recording rules record."""
    by_metric = {entry["name"]: SCRAPED | frozenset(entry["labels"]) for entry in reference.entries()}
    by_metric["up"] = SCRAPED
    for rule in RULES:
        if isinstance(rule, Recording):
            by_metric[rule.name] = labels_of(promql.parse(rule.expression), by_metric)
    return by_metric


def numbers_of(expression: str) -> set[float]:
    """Return all numbers in an expression except the risk levels 0, 1 and 2, which cannot be thresholds."""
    return {node.val for node in nodes(promql.parse(expression), promql.NumberLiteral)} - {0, 1, 2}


@pytest.mark.parametrize("rule", [pytest.param(rule, id=f"{number} {rule.name}") for number, rule in enumerate(RULES)])
def test_metrics_and_labels_exist(rule: Alert | Recording) -> None:
    """An expression, and an alert's description, use only existing metrics and labels."""
    expression = promql.parse(rule.expression)
    labels = labels_of(expression, labels_by_metric())

    assert labels
    assert all(aggregation.modifier for aggregation in nodes(expression, promql.AggregateExpr)), (
        "an aggregation without labels"
    )
    if isinstance(rule, Alert):
        assert set(re.findall(r"\$labels\.(\w+)", rule.description)) <= labels


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("binance_futures_down", "no metric"),
        ('binance_futures_up{endpoint="mainnet"}', "has no"),
        ("sum by (symbol) (binance_futures_up)", "aggregated by"),
        ("binance_futures_up * on (asset) binance_futures_asset_wallet_balance", "not on both sides"),
        ("binance_futures_cross_margin_ratio and binance_futures_up", "on one side only"),
        ("binance_futures_up * on (account) group_left (asset) binance_futures_account_info", "not there to be joined"),
    ],
)
def test_problems_are_found(expression: str, problem: str) -> None:
    """Each kind of problem that the test above looks for is found."""
    with pytest.raises(AssertionError, match=problem):
        labels_of(promql.parse(expression), labels_by_metric())


def test_labels_of_recordings() -> None:
    """The labels of a recording are those of the level in its name, without the instance for accounts and below."""
    by_metric = labels_by_metric()
    levels = {
        "instance": {"instance"},
        "account": {"account"},
        "account_margin_asset": {"account", "margin_asset"},
        "account_asset": {"account", "asset"},
        "position": {"account", "symbol", "position_side"},
        "pool": {"account", "margin_asset"},
    }
    income = {"asset", "income_type", "symbol"}
    additional = {
        "account:binance_futures_income_received:max": income,
        "account:binance_futures_income_paid:max": income,
        "position:binance_futures_notional:max": {"margin_asset"},
        "pool:binance_futures_margin_ratio:max": {"symbol", "position_side"},
        "pool:binance_futures_margin_ratio:last_over_time15m": {"symbol", "position_side"},
    }

    for rule in RULES:
        if isinstance(rule, Recording):
            level, metric, operations = rule.name.split(":")
            expected = {"job", "namespace"} | levels[level] | additional.get(rule.name, set())
            assert expected == by_metric[rule.name], rule.name
            assert metric.startswith("binance_futures_")
            assert operations


@pytest.mark.parametrize("alert", [pytest.param(alert, id=f"{alert.name} {alert.severity}") for alert in ALERTS])
def test_texts_of_alerts(alert: Alert) -> None:
    """A summary has no labels, a description does, and neither repeats a threshold."""
    assert "{{" not in alert.summary
    assert "{{ $labels." in alert.description
    assert not re.search(r"\b0\.\d|\bfor \d", alert.summary + alert.description)
    assert alert.description.endswith(".")
    assert not alert.summary.endswith(".")


@pytest.mark.parametrize("name", sorted({alert.name for alert in ALERTS}))
def test_metrics_in_runbooks_exist(name: str) -> None:
    """A runbook uses only existing metrics, with their full names."""
    text = (PROMETHEUS / "runbooks" / f"{name}.md").read_text(encoding="utf-8")
    metrics = set(re.findall(r"(?:\w+:)?binance_futures_\w+(?::\w+)?", text))

    assert not re.search(r"…\w|\w…", text), "an abbreviated name can be neither checked nor pasted"
    assert set() == metrics - labels_by_metric().keys()


def test_thresholds_are_named_once() -> None:
    """Rules made from other thresholds contain these and no other number: each is used, and none is repeated."""
    others = {threshold.name: str(1001 + number) for number, threshold in enumerate(THRESHOLDS)}
    rules = [rule for group in rule_groups(others).values() for rule in group.rules]
    used = set[float]().union(*(numbers_of(rule.expression) for rule in rules))

    assert {float(value) for value in others.values()} == used


def test_rules_can_be_made_with_other_texts() -> None:
    """Rules made with placeholders for thresholds and job are the same once these are replaced."""
    placeholders = {name: f"<{name}>" for name in VALUES}
    rules = str([as_mapping(group) for group in rule_groups(placeholders, job="<job>").values()])
    for name, value in {**VALUES, "job": "binance-futures"}.items():
        rules = rules.replace(f"<{name}>", value)

    assert str([as_mapping(group) for group in GROUPS.values()]) == rules
