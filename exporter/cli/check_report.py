"""Formats the reports of `check` as text or JSON; reports contain no secrets."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import CrossPool, IsolatedPool
from exporter.account.presentation import format_clock_offset, format_request_weight, rank_pools
from exporter.account.risk import ratio_level
from exporter.app.check import POSITION_FIGURES, AccountReport
from exporter.binance.rows import FIGURES
from exporter.formatting import escape_unprintable, format_percent, format_price, pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_GREEN: Final = "32"
_RED: Final = "31"
_YELLOW: Final = "33"
_BOLD: Final = "1"
_LEVEL_COLORS: Final = {"warning": _YELLOW, "critical": _RED}
_ASSET_FIGURES: Final = (
    "wallet_balance",
    "unrealized_pnl",
    "margin_balance",
    "maintenance_margin",
    "available_balance",
)
_RISK_COLUMNS: Final = ("symbol", "position_side", "margin_type", "margin_asset")
_PRICES: Final = ("entry_price", "mark_price", "liquidation_price")
_TITLE_WIDTH: Final = 12


def as_json(reports: Sequence[AccountReport], warnings: Sequence[str] = ()) -> str:
    """Return a JSON object: `ok`, `warnings`, and `accounts` with the fields of AccountReport and `ok` for each.

    A margin ratio is a number, null if unknown, or the string "Infinity" if no equity is left to cover the maintenance
    margin, since JSON has no infinite numbers.
    """
    accounts = [_strict(asdict(report)) | {"ok": report.good} for report in reports]
    return json.dumps(
        {"ok": all(report.good for report in reports), "warnings": list(warnings), "accounts": accounts},
        indent=2,
        allow_nan=False,
    )


def as_text(reports: Sequence[AccountReport], warnings: Sequence[str] = (), *, colour: bool) -> str:
    """Return aligned text: warnings, a paragraph per account, and a summary as the last line."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    paragraphs = ["\n".join(_paragraph(report, paint)) for report in reports]
    bad = [report.account for report in reports if not report.good]
    if bad:
        names = ", ".join(map(escape_unprintable, bad))
        need = "needs" if len(bad) == 1 else "need"
        summary = paint(_RED, f"{len(bad)} of {len(reports)} accounts {need} attention: {names}")
    else:
        every = "all " if len(reports) > 1 else ""
        summary = paint(_GREEN, f"{every}{len(reports)} {pluralize('account', len(reports))} OK")
    warned = [paint(_YELLOW, f"warning  {escape_unprintable(warning)}") for warning in warnings]
    return "\n\n".join([*warned, *paragraphs, summary])


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


def _paragraph(report: AccountReport, paint: Callable[[str, str], str]) -> Iterator[str]:
    verdict = paint(_GREEN, "poll succeeded") if report.accepted else paint(_RED, f"poll failed: {report.reason}")
    yield f"{paint(_BOLD, escape_unprintable(report.account))}  {verdict}"
    if not report.accepted:
        yield _line("problem", escape_unprintable(report.problem or ""))
        yield _line("what to do", paint(_YELLOW, escape_unprintable(report.advice or "")))
    if report.risk_missing:
        yield _line("problem", f"no mark or liquidation price: {escape_unprintable(', '.join(report.risk_missing))}")
        advice = "run check again; if this repeats, look at these positions on Binance"
        yield _line("what to do", paint(_YELLOW, advice))
    if report.resumes_at:
        yield _line("resumes at", f"{report.resumes_at}: the exchange rejects requests from this IP until then")
    yield _line("endpoint", escape_unprintable(f"{report.endpoint}, {report.key_type} key"))
    if report.clock_offset_seconds is not None:
        yield _line("clock", format_clock_offset(report.clock_offset_seconds, report.clock_uncertainty_seconds))
        if report.clock_is_wrong:
            advice = (
                "synchronize this host's clock (NTP): Binance rejects requests of programs that do not correct for it"
            )
            yield _line("what to do", paint(_YELLOW, advice))
    if report.request_weight_used is not None:
        weight = format_request_weight(report.request_weight_used, report.request_weight_limit)
        yield _line("weight", f"{weight}, all programs behind this IP in the current minute")
    if report.accepted:
        covered = (
            f"all assets in {report.currency}" if report.asset_mode == AssetMode.MULTI else f"{report.currency} only"
        )
        yield _line("asset mode", f"{report.asset_mode}, totals cover {covered}")
        yield _line("totals", "")
        yield from _table([{"": _heading(name), " ": report.totals.get(name)} for name in FIGURES])
        # Not the available balance: in multi-assets mode every asset has that of the account.
        held = [row for row in report.assets if any(row.get(name) for name in _ASSET_FIGURES[:-1])]
        empty = len(report.assets) - len(held)
        yield _line("assets", f"({empty} without a balance not shown)" if empty else "")
        yield from _table([_named(row, ("asset", *_ASSET_FIGURES)) for row in held])
        yield from _pools(report, paint)
        yield _line("positions", "" if report.positions else "none")
        yield from _table([_named(row, ("symbol", "position_side", *POSITION_FIGURES)) for row in report.positions])
        held = [row for row in report.positions if row.get("margin_type")]
        if held:
            yield _line("liquidation", "(worst risk first)")
            yield from _table([_risk(row) for row in held], right=(*map(_heading, _PRICES), "distance"))


def _pools(report: AccountReport, paint: Callable[[str, str], str]) -> Iterator[str]:
    """Yield the margin pools."""
    cross = [CrossPool(asset, ratio) for asset, ratio in report.cross_margin_ratios.items()]
    isolated = [IsolatedPool(**pool) for pool in report.isolated_margin_ratios]
    pools, idle_count = rank_pools([*cross, *isolated])
    yield _line("pools", f"({idle_count} without risk not shown)" if idle_count else "" if pools else "none")
    if not pools:
        return
    levels = [ratio_level(pool.ratio) for pool in pools]
    rows = [
        {"margin": pool.margin_type, "pool": pool.name, "ratio": format_percent(pool.ratio), "": level}
        for pool, level in zip(pools, levels, strict=True)
    ]
    for line, level in zip(_table(rows, right=("ratio",)), ["", *levels], strict=True):
        yield paint(_LEVEL_COLORS[level], line) if level in _LEVEL_COLORS else line


def _risk(row: Mapping[str, Any]) -> dict[str, object]:
    distance = row.get("distance_to_liquidation")
    return (
        {_heading(name): row.get(name) for name in _RISK_COLUMNS}
        | {_heading(name): format_price(row.get(name)) for name in _PRICES}
        | {"distance": format_percent(distance, 2, missing="-")}
    )


def _line(title: str, text: str) -> str:
    return f"  {title:{_TITLE_WIDTH}}{text}".rstrip()


def _heading(name: str) -> str:
    return name.replace("_", " ")


def _named(row: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """Return the named columns of a row; missing values are None."""
    return {_heading(name): row.get(name) for name in names}


def _table(rows: Sequence[Mapping[str, object]], right: Sequence[str] = ()) -> Iterator[str]:
    """Yield aligned lines, headings first unless all are blank; numbers and the `right` columns are right-aligned."""
    if not rows:
        return
    columns = []
    for heading in rows[0]:
        values = [row[heading] for row in rows]
        cells = _cells(values)
        width = max(map(_width, [heading, *cells]))
        is_text = heading not in right and any(isinstance(value, str) for value in values)
        columns.append([_pad(cell, width, left=is_text) for cell in (heading, *cells)])
    for line in zip(*columns, strict=True):
        if any(cell.strip() for cell in line):
            yield f"    {'  '.join(line)}".rstrip()


def _cells(values: Sequence[object]) -> list[str]:
    """Format a column: all numbers with the decimals that the longest one needs, two to eight."""
    numbers = [value for value in values if isinstance(value, float) and abs(value) < 1e15]
    decimals = max((len(f"{number:.8f}".partition(".")[2].rstrip("0")) for number in numbers), default=0)
    return [_cell(value, max(decimals, 2)) for value in values]


def _cell(value: object, decimals: int) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return escape_unprintable(str(value))
    # A float has only about fifteen digits. z: no minus sign for a number that rounds to zero.
    return f"{value:.6e}" if abs(value) >= 1e15 else f"{value:z,.{decimals}f}"


def _width(text: str) -> int:
    """Return the width of a text in terminal columns; symbols may be Chinese."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text
