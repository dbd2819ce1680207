"""Formats the reports of `check` as text or JSON; reports contain no secrets."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.presentation import AT_LEVEL, format_key_type, format_margin, format_side
from exporter.account.risk import WORST_FIRST
from exporter.account.risk_level import RiskLevel
from exporter.binance.advice import WRONG_CLOCK_ADVICE
from exporter.binance.errors import Reason
from exporter.cli import text_layout as layout
from exporter.cli.check_details import clock, detail_lines, format_distance, request_weight
from exporter.cli.text_layout import format_amount, paint_levels, painter, table, titled, wrap
from exporter.formatting import escape_unprintable, format_percent, pluralize
from exporter.rest.requests import MONEY_PERMISSIONS, TRADING_PERMISSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.app.check import AccountReport
    from exporter.cli.text_layout import Paint

_MAX_POSITIONS: Final = 5  # four accounts then fit a terminal of 50 lines
_BUSY_FRACTION: Final = 0.9  # of the request weight; the exporter itself then waits for other programs
# With spaces, so that the columns of all accounts are aligned unless a symbol or a number is very long.
_TOTALS: Final = {
    "wallet balance": "wallet_balance",
    "margin balance": "margin_balance",
    "unrealized PnL": "unrealized_pnl",
    "     available": "available_balance",
}
_SYMBOL: Final = "symbol      "
_SIDE: Final = "side "
_NOTIONAL: Final = "     notional"
_MARGIN: Final = "margin    "
_RATIO: Final = "   ratio"
# Failures that concern all accounts of an endpoint, even if it has only one.
_ENDPOINT_REASONS: Final = {Reason.CONNECTION, Reason.CLOCK, Reason.RATE_LIMITED, Reason.BANNED}
_INCOMPLETE_ADVICE: Final = "run check again; if it repeats, check these positions on Binance"


def as_json(reports: Sequence[AccountReport], warnings: Sequence[str] = ()) -> str:
    """Return a JSON object: `ok`, `warnings`, and `accounts` with the fields of AccountReport and `ok` for each.

    A margin ratio is a number, null if unknown, or the string "Infinity" if no equity is left to cover the maintenance
    margin, since JSON has no infinite numbers.
    """
    accounts = [_strict(asdict(report)) | {"ok": report.good} for report in reports]
    for account in accounts:
        del account["sort_key"]
    return json.dumps(
        {"ok": all(report.good for report in reports), "warnings": list(warnings), "accounts": accounts},
        indent=2,
        allow_nan=False,
    )


def as_text(
    reports: Sequence[AccountReport], warnings: Sequence[str] = (), *, colour: bool, verbose: bool = False
) -> str:
    """Return warnings, the problems of endpoints, a paragraph per account, worst risk first, and a summary at the end.

    Lines fit 80 columns, except those of the tables of `verbose`.
    """
    paint = painter(colour=colour)
    ranked = sorted(reports, key=lambda report: report.sort_key)
    by_endpoint: dict[str, list[AccountReport]] = defaultdict(list)
    for report in reports:
        by_endpoint[report.endpoint].append(report)
    shared: set[str] = set()  # accounts whose failure is shown with their endpoint
    warned = [paint(layout.YELLOW, line) for warning in warnings for line in wrap(format_warning(warning))]
    paragraphs = [warned] if warned else []
    for endpoint, members in by_endpoint.items():
        failures = _shared_failures(members)
        shared.update(report.account for group in failures for report in group)
        if lines := [*_endpoint_problems(members, failures, paint)]:
            paragraphs.append([paint(layout.BOLD, f"endpoint {escape_unprintable(endpoint)}"), *lines])
    accounts = [
        [
            *_account(report, paint, is_shared=report.account in shared, verbose=verbose),
            *(detail_lines(report, paint) if verbose else _overview(report, paint)),
        ]
        for report in ranked
    ]
    for is_heading, group in groupby(accounts, key=lambda lines: len(lines) == 1):
        lists = [*group]
        paragraphs += [[heading for (heading,) in lists]] if is_heading else lists
    return "\n\n".join("\n".join(lines) for lines in [*paragraphs, _summary(ranked, paint)])


def format_warning(warning: str) -> str:
    """Return the line for a warning about the configuration."""
    return f"warning: {escape_unprintable(warning)}"


def _strict(value: Any) -> Any:
    """Return a value with infinite numbers as strings, as strict JSON requires."""
    match value:
        case dict():
            return {name: _strict(item) for name, item in value.items()}
        case list():
            return [_strict(item) for item in value]
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case _:
            return value


def _shared_failures(members: Sequence[AccountReport]) -> list[list[AccountReport]]:
    """Return the failed accounts of an endpoint that have the same cause, if it is the endpoint's or of several."""
    groups: dict[tuple[str | None, str | None], list[AccountReport]] = defaultdict(list)
    for report in members:
        if not report.accepted:
            groups[report.reason, report.advice].append(report)
    return [group for (reason, _), group in groups.items() if len(group) > 1 or reason in _ENDPOINT_REASONS]


def _endpoint_problems(
    members: Sequence[AccountReport], failures: Sequence[Sequence[AccountReport]], paint: Paint
) -> Iterator[str]:
    first = members[0]
    for group in failures:
        for problem in dict.fromkeys(report.problem or "" for report in group):
            yield from titled("problem", problem, lambda text: paint(layout.RED, text))
        yield from _advice(group[0].advice or "", paint)
        if len(group) < len(members):
            yield from titled("accounts", ", ".join(report.account for report in group))
    if first.resumes_at and first.pause_end_reported:
        yield from titled("resumes at", f"{first.resumes_at}: until then the exchange rejects this IP")
    elif first.resumes_at:
        yield from titled("try again", f"not before {first.resumes_at}: the actual end is unknown")
    if first.clock_is_wrong:
        yield from titled("clock", clock(first), lambda text: paint(layout.RED, text))
        yield from _advice(WRONG_CLOCK_ADVICE, paint)
    if (first.request_weight_used or 0) >= _BUSY_FRACTION * (first.request_weight_limit or math.inf):
        yield from titled("weight", request_weight(first))


def _account(report: AccountReport, paint: Paint, *, is_shared: bool, verbose: bool) -> Iterator[str]:
    """Yield the heading of an account and its problems, except a failure that is shown with its endpoint."""
    level = paint(layout.LEVEL_COLORS[report.risk_level], f"risk {report.risk_level}")
    failure = "" if report.accepted else "  " + paint(layout.RED, f"poll failed: {report.reason}")
    yield f"{paint(layout.BOLD, escape_unprintable(report.account))}  {level}{failure}"
    if not report.accepted and not is_shared:
        yield from titled("problem", report.problem or "")
        yield from _advice(report.advice or "", paint)
        if not verbose:  # which has them anyway
            yield from titled("key", f"{format_key_type(report.key_type)}, at {report.endpoint}")
    if report.risk_missing:
        yield from titled("problem", f"no mark or liquidation price: {', '.join(report.risk_missing)}")
    if report.unknown_ratios:
        yield from titled("problem", f"margin ratio unknown: {', '.join(report.unknown_ratios)}")
    if report.accepted and not report.is_complete:
        yield from _advice(_INCOMPLETE_ADVICE, paint)
    yield from _key(report, paint)


def _key(report: AccountReport, paint: Paint) -> Iterator[str]:
    """Yield what is wrong with the permissions of an API key, and whether it can trade."""

    def warn(text: str) -> Iterator[str]:
        return titled("warning", text, lambda line: paint(layout.YELLOW, line))

    if report.key_problem not in {None, report.problem}:  # a rejected key is shown once
        yield from warn(f"the permissions of the API key are unknown: {report.key_problem}")
    permissions = report.key_permissions or ()
    if money := [name for name in MONEY_PERMISSIONS if name in permissions]:
        yield from warn(f"the API key can move money ({', '.join(money)}): disable this on Binance")
    if report.key_ip_restricted is False:
        yield from warn("the API key can be used from any IP: restrict it to the IPs of this exporter on Binance")
    if trading := [name for name in TRADING_PERMISSIONS if name in permissions]:
        yield from titled("note", f"the API key can trade ({', '.join(trading)})")


def _overview(report: AccountReport, paint: Paint) -> Iterator[str]:
    """Yield the most important totals and the positions with the worst risk."""
    if not report.accepted:
        return
    covered = f"in {report.currency}" if report.asset_mode == AssetMode.MULTI else f"{report.currency} only"
    totals = {heading: format_amount(report.totals.get(name)) for heading, name in _TOTALS.items()}
    yield from table([{"totals   ": covered} | totals], right=(*_TOTALS,), indent=2)
    held = [row for row in report.positions if row.get("level")]
    if not held:
        yield "  no positions"
        return
    shown, levels = held[:_MAX_POSITIONS], [row["level"] for row in held]
    yield from paint_levels(_positions(report, shown), levels[:_MAX_POSITIONS], paint)
    if more := Counter(levels[_MAX_POSITIONS:]):
        counts = ", ".join(f"{more[level]} {level}" for level in WORST_FIRST if level in more)
        yield f"  {more.total()} more: {counts}"


def _positions(report: AccountReport, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of positions, without their notional if it would be too wide."""
    columns = [
        {
            _SYMBOL: row["symbol"],
            _SIDE: format_side(row["position_side"], row["amount"]),
            _NOTIONAL: format_amount(row.get("notional")),
            _MARGIN: format_margin(row["margin_type"], row["margin_asset"], report.asset_mode, report.currency),
            "distance": format_distance(row),
            _RATIO: format_percent(row.get("margin_ratio")),
            "level": row["level"],
        }
        for row in rows
    ]
    right = (_NOTIONAL, "distance", _RATIO)
    lines = [*table(columns, right, indent=2)]
    if max(map(layout.display_width, lines)) > layout.WIDTH:
        lines = [*table([{name: row[name] for name in row if name != _NOTIONAL} for row in columns], right, indent=2)]
    return lines


def _advice(text: str, paint: Paint) -> Iterator[str]:
    return titled("what to do", text, lambda line: paint(layout.YELLOW, line))


def _summary(ranked: Sequence[AccountReport], paint: Paint) -> list[str]:
    """Return the accounts of each level but normal, those not polled completely, and whether the clock is wrong."""
    incomplete = tuple(report.account for report in ranked if not report.is_complete)
    clock_is_wrong = any(report.clock_is_wrong for report in ranked)
    labels: dict[tuple[str, ...], list[str]] = defaultdict(list)  # accounts that have the same labels are listed once
    for level, text in AT_LEVEL.items():
        if names := tuple(report.account for report in ranked if report.risk_level == level):
            labels[names].append(text)
    if incomplete:
        labels[incomplete].append("not polled completely")
    if not labels and not clock_is_wrong:
        every = "all " if len(ranked) > 1 else ""
        return [paint(layout.GREEN, f"{every}{len(ranked)} {pluralize('account', len(ranked))} OK")]
    total = f" of {len(ranked)} {pluralize('account', len(ranked))}"  # in the first part only
    parts = []
    for names, which in labels.items():
        parts.append(f"{len(names)}{total} {', '.join(which)}: {', '.join(map(escape_unprintable, names))}")
        total = ""
    if clock_is_wrong:
        parts.append("the clock of this host is wrong")
    is_bad = any(not report.good or report.risk_level == RiskLevel.CRITICAL for report in ranked)
    return [paint(layout.RED if is_bad else layout.YELLOW, line) for line in wrap("; ".join(parts))]
