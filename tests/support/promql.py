"""The labels that the series of a PromQL expression may have, derived from those of its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import promql_parser as promql

if TYPE_CHECKING:
    from collections.abc import Mapping

    MetricLabels = Mapping[str, frozenset[str]]

_Node = TypeVar("_Node")


def nodes(expression: promql.Expr, part_type: type[_Node]) -> list[_Node]:
    """Return all parts of an expression that are of a type, itself included."""
    parts: list[_Node] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, part_type):
            parts.append(node)
        return True

    promql.walk(expression, visit)
    return parts


def labels_of(expression: promql.Expr, metrics: MetricLabels) -> frozenset[str]:
    """Return the labels that an expression's series may have; `metrics` maps metrics to their labels.

    Raises:
        AssertionError: a metric or label does not exist, or series are matched by labels that differ.
    """
    match expression:
        case promql.NumberLiteral() | promql.StringLiteral():
            return frozenset()
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return labels_of(expression.expr, metrics)
        case promql.MatrixSelector():
            return labels_of(expression.vector_selector, metrics)
        case promql.VectorSelector():
            metric = expression.name or ""
            assert metric in metrics, f"no metric {metric}"
            selecting = {matcher.name for matcher in expression.matchers.matchers}
            assert selecting <= metrics[metric], f"{metric} has no {selecting - metrics[metric]}"
            return metrics[metric]
        case promql.AggregateExpr():
            return _labels_of_aggregation(expression, metrics)
        case promql.Call():
            return _labels_of_call(expression, metrics)
        case promql.BinaryExpr():
            return _labels_of_operation(expression, metrics)
        case _:
            raise AssertionError(f"not supported by this function: {expression!r}")


def _labels_of_aggregation(aggregation: promql.AggregateExpr, metrics: MetricLabels) -> frozenset[str]:
    inner = labels_of(aggregation.expr, metrics)
    if str(aggregation.op) in {"topk", "bottomk"}:
        return inner
    kept = frozenset(aggregation.modifier.labels if aggregation.modifier else ())
    assert kept <= inner, f"{kept - inner} is aggregated by, but is not there"
    return kept


def _labels_of_call(call: promql.Call, metrics: MetricLabels) -> frozenset[str]:
    inner = max((labels_of(argument, metrics) for argument in call.args), key=len, default=frozenset[str]())
    if call.func.name == "histogram_quantile":
        return inner - {"le"}
    if call.func.name == "label_replace":
        _, added, _, source, _ = call.args
        assert isinstance(added, promql.StringLiteral)
        assert isinstance(source, promql.StringLiteral)
        assert source.val in inner, f"no label {source.val} to replace from"
        return inner | {added.val}
    if call.func.name == "label_join":
        _, added, _, *sources = call.args
        names = {source.val for source in sources if isinstance(source, promql.StringLiteral)}
        assert names <= inner, f"no labels {names - inner} to join"
        return inner | {added.val}
    return inner


def _labels_of_operation(operation: promql.BinaryExpr, metrics: MetricLabels) -> frozenset[str]:
    left, right = labels_of(operation.lhs, metrics), labels_of(operation.rhs, metrics)
    operator, modifier = str(operation.op), operation.modifier
    if operator == "or" or not left or not right:
        return left | right
    if modifier is None or modifier.matching is None:
        assert left == right, f"{operator}: {left ^ right} is on one side only"
        return left
    on = frozenset(modifier.matching.labels)
    assert on <= left & right, f"{operator}: {on - (left & right)} is not on both sides"
    if operator in {"and", "unless"}:
        return left
    if "ManyToOne" in str(modifier.card):
        added = frozenset(modifier.group_labels or ())
        assert added <= right, f"{operator}: {added - right} is not there to be joined"
        return left | added
    return on
