"""Rows of the fault table: single values and parts of an account's answers; all affect alice only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.simulator.answer_edits import field, row_twice, without
from support.fault_rows_answers import for_alice
from support.methods import POSITION, STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.fault_table import FaultRow

_ASSET: Final = "result.assets.0"
_ROW: Final = "result.positions.0"
_FIGURES: Final = (
    ("total", STATUS, "result.totalWalletBalance"),
    ("asset's figure", STATUS, f"{_ASSET}.walletBalance"),
    ("position's figure", STATUS, f"{_ROW}.notional"),
    ("risk figure", POSITION, "result.0.markPrice"),
)
_NOT_NUMBERS: Final[tuple[object, ...]] = ("1e400", "1_000", " 1 ", True, [])
_IDENTITIES: Final = (
    ("asset", STATUS, f"{_ASSET}.asset"),
    ("symbol", STATUS, f"{_ROW}.symbol"),
    ("position side", STATUS, f"{_ROW}.positionSide"),
    ("amount", STATUS, f"{_ROW}.positionAmt"),
    ("risk row's symbol", POSITION, "result.0.symbol"),
)


def _single_values() -> Iterator[FaultRow]:
    for name, method, path in _FIGURES:
        for value in _values("NaN", "-Infinity", ""):
            yield _bad(name, method, path, value)
        yield for_alice(f"{name} is null", field(path, None), method=method)
        yield for_alice(f"{name} is missing", without(path), method=method)
    for value in _NOT_NUMBERS:
        yield _bad("total", STATUS, "result.totalWalletBalance", value)
    for name, method, path in _IDENTITIES:
        for value in _values(None, ""):
            yield _bad(name, method, path, value)
        yield for_alice(f"{name} is missing", without(path), "poll decode", method=method)
    for value in _values(-1, "yesterday", 10**20):
        yield _bad("update time", STATUS, f"{_ASSET}.updateTime", value)
    yield for_alice("update time is 0", field(f"{_ROW}.updateTime", 0))
    for flag, counted in (("possible", ("poll decode",)), (True, ()), (None, ())):
        yield for_alice(f"flag is {flag!r}", field("result.assets.*", _with_flag(flag)), *counted)
    for value in _values(-1, "first"):
        yield _bad("ADL quantile", POSITION, "result.0.adl", value)


def _parts() -> Iterator[FaultRow]:
    for part in ("assets", "positions"):
        path = f"result.{part}"
        yield for_alice(f"{part} missing", without(path), "poll decode")
        for value in _values(None, {}, [None]):
            yield _bad(part, STATUS, path, value)
        yield for_alice(f"a row of {part} twice", row_twice(f"{path}.0"), "poll decode")
    yield for_alice("no assets at all", field("result.assets", []), "poll decode")
    yield for_alice("no positions at all", field("result.positions", []), "poll decode")
    yield for_alice("an empty result", field("result", {"assets": [], "positions": []}), "poll decode")
    yield for_alice("a risk row twice", row_twice("result.0"), "poll decode", method=POSITION)
    yield for_alice("a risk row missing", without("result.0"), method=POSITION)
    yield for_alice("no risk rows at all", field("result", []), method=POSITION)
    yield for_alice("a missing row that has risk figures", without("result.positions.0"), "poll decode")
    for value in _values([], "text"):
        yield _bad("result", STATUS, "result", value)
    for value in _values({}, None, [None]):
        yield _bad("risk result", POSITION, "result", value)
    yield for_alice("an unknown field", field("result.positions", _with_unknown_field))


def _values(*values: object) -> tuple[object, ...]:
    return values


def _bad(name: str, method: str, path: str, value: object) -> FaultRow:
    return for_alice(f"{name} is {value!r}", field(path, value), "poll decode", method=method)


def _with_flag(flag: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: row | {"marginAvailable": flag}


def _with_unknown_field(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"news": {"deep": [row]}} for row in rows]


VALUES: Final = (*_single_values(), *_parts())
