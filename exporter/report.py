"""What `check` found, as text for a reader or as JSON for a script. No secret is in a report, so none is here."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from exporter.check import POSITION_FIGURES, AccountReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_GREEN: Final = "32"
_RED: Final = "31"
_YELLOW: Final = "33"
_BOLD: Final = "1"
_ASSET_FIGURES: Final = (
    "wallet_balance",
    "unrealized_pnl",
    "margin_balance",
    "maintenance_margin",
    "available_balance",
)
_TITLE_WIDTH: Final = 12


def as_json(reports: Sequence[AccountReport]) -> str:
    """Return one JSON object: `ok`, and `accounts` with the fields of AccountReport and an `ok` of their own."""
    accounts = [asdict(report) | {"ok": report.good} for report in reports]
    return json.dumps(
        {"ok": all(report.good for report in reports), "accounts": accounts}, ensure_ascii=False, indent=2
    )


def as_text(reports: Sequence[AccountReport], *, colour: bool) -> str:
    """Return aligned text, a paragraph an account and a last line that sums up."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    paragraphs = ["\n".join(_paragraph(report, paint)) for report in reports]
    bad = [report.account for report in reports if not report.good]
    if bad:
        summary = paint(_RED, f"{len(bad)} of {len(reports)} accounts need attention: {', '.join(bad)}")
    else:
        summary = paint(_GREEN, f"nothing to mend ({len(reports)} of {len(reports)} accounts)")
    return "\n\n".join([*paragraphs, summary])


def _paragraph(report: AccountReport, paint: Callable[[str, str], str]) -> Iterator[str]:
    verdict = paint(_GREEN, "accepted") if report.accepted else paint(_RED, f"failed: {report.reason}")
    yield f"{paint(_BOLD, report.account)}  {verdict}"
    if not report.accepted:
        yield _line("problem", report.problem or "")
        yield _line("what to do", paint(_YELLOW, report.advice or ""))
    yield _line("endpoint", f"{report.endpoint}, {report.key_type} key")
    if report.clock_offset_seconds is not None:
        yield _line("clock", _clock(report.clock_offset_seconds))
        if report.clock_is_wrong:
            yield _line("what to do", paint(_YELLOW, "set this host's clock (NTP): other programs on it are refused"))
    if report.request_weight_used is not None:
        used = f"{report.request_weight_used} of {report.request_weight_limit}"
        yield _line("weight", f"{used} used by this IP in the current minute")
    if report.accepted:
        yield _line("asset mode", f"{report.asset_mode}, totals in {report.currency}")
        yield _line("totals", "")
        yield from _table([{"": _words(name), " ": value} for name, value in report.totals.items()])
        # Available balance does not count: in multi-assets mode every asset shows the account's.
        held = [row for row in report.assets if any(row.get(name) for name in _ASSET_FIGURES[:-1])]
        empty = len(report.assets) - len(held)
        yield _line("assets", f"({empty} without a balance left out)" if empty else "")
        yield from _table([_named(row, ("asset", *_ASSET_FIGURES)) for row in held])
        yield _line("positions", "" if report.positions else "none")
        yield from _table([_named(row, ("symbol", "position_side", *POSITION_FIGURES)) for row in report.positions])


def _clock(offset_seconds: float) -> str:
    if abs(offset_seconds) < 0.0005:
        return "this host agrees with the exchange"
    return f"this host is {abs(offset_seconds):.3f} s {'behind' if offset_seconds > 0 else 'ahead of'} the exchange"


def _line(title: str, text: str) -> str:
    return f"  {title:{_TITLE_WIDTH}}{text}".rstrip()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _named(row: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """Return the columns of a row; what was not sent is None."""
    return {_words(name): row.get(name) for name in names}


def _table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield aligned lines, below a heading where there is one: texts to the left, numbers to the right."""
    if not rows:
        return
    columns = []
    for heading in rows[0]:
        values = [row[heading] for row in rows]
        cells = _cells(values)
        width = max(map(_width, [heading, *cells]))
        text = any(isinstance(value, str) for value in values)
        columns.append([_pad(cell, width, left=text) for cell in (heading, *cells)])
    for line in zip(*columns, strict=True):
        if any(cell.strip() for cell in line):
            yield f"    {'  '.join(line)}".rstrip()


def _cells(values: Sequence[object]) -> list[str]:
    """Format a column: numbers with as many of the exchange's eight decimals as any of them needs, but two."""
    numbers = [value for value in values if isinstance(value, float)]
    decimals = max((len(f"{number:.8f}".partition(".")[2].rstrip("0")) for number in numbers), default=0)
    return [
        f"{value:,.{max(decimals, 2)}f}" if isinstance(value, float) else "-" if value is None else str(value)
        for value in values
    ]


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes; symbols may be Chinese."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text
