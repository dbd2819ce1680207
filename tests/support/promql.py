"""The labels that a PromQL expression's series may have, worked out from those of the metrics that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import promql_parser as promql

if TYPE_CHECKING:
    from collections.abc import Mapping

    Known = Mapping[str, frozenset[str]]

_Node = TypeVar("_Node")


def nodes(expression: promql.Expr, kind: type[_Node]) -> list[_Node]:
    """Return all parts of an expression that are of a kind, itself included."""
    found: list[_Node] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, kind):
            found.append(node)
        return True

    promql.walk(expression, visit)
    return found


def labels_of(expression: promql.Expr, known: Known) -> frozenset[str]:
    """Return the labels that an expression's series may have; `known` has those of each metric.

    Raises:
        AssertionError: it names a metric or a label that does not exist, or matches series that can have no equal.
    """
    match expression:
        case promql.NumberLiteral() | promql.StringLiteral():
            return frozenset()
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return labels_of(expression.expr, known)
        case promql.MatrixSelector():
            return labels_of(expression.vector_selector, known)
        case promql.VectorSelector():
            metric = expression.name or ""
            assert metric in known, f"no metric {metric}"
            named = {matcher.name for matcher in expression.matchers.matchers}
            assert named <= known[metric], f"{metric} has no {named - known[metric]}"
            return known[metric]
        case promql.AggregateExpr():
            return _labels_of_aggregation(expression, known)
        case promql.Call():
            return _labels_of_call(expression, known)
        case promql.BinaryExpr():
            return _labels_of_operation(expression, known)
        case _:
            raise AssertionError(f"not yet understood here: {expression!r}")


def _labels_of_aggregation(aggregation: promql.AggregateExpr, known: Known) -> frozenset[str]:
    inner = labels_of(aggregation.expr, known)
    if str(aggregation.op) in {"topk", "bottomk"}:
        return inner
    kept = frozenset(aggregation.modifier.labels if aggregation.modifier else ())
    assert kept <= inner, f"{kept - inner} is aggregated by, but is not there"
    return kept


def _labels_of_call(call: promql.Call, known: Known) -> frozenset[str]:
    inner = max((labels_of(argument, known) for argument in call.args), key=len, default=frozenset[str]())
    if call.func.name == "histogram_quantile":
        return inner - {"le"}
    if call.func.name == "label_replace":
        _, added, _, source, _ = call.args
        assert isinstance(added, promql.StringLiteral)
        assert isinstance(source, promql.StringLiteral)
        assert source.val in inner, f"no label {source.val} to replace from"
        return inner | {added.val}
    return inner


def _labels_of_operation(operation: promql.BinaryExpr, known: Known) -> frozenset[str]:
    left, right = labels_of(operation.lhs, known), labels_of(operation.rhs, known)
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
