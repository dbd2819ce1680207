"""Edits of an answer, for `replace_answer`: each takes an answer and returns what is sent instead.

A path leads from the top of an answer to a value, as in `id`, `rateLimits.0.limit`, `result.totalMarginBalance` or
`result.positions.*.notional`; `*` is every row. An answer without that value is not changed. The top of an answer of
REST has `status`, `headers` and `body`: its JSON, or text or bytes that are sent as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Answer = dict[str, Any]
    Frame = Answer | str | bytes
    Replacement = Callable[[Answer], Frame | list[Frame]]

_OVER_8_MIB = 8 * 2**20 + 1
_CREDITS = {"USDT": "BNFCR"}


def encode(answer: Any) -> str | bytes:
    """Encode an answer as the exchange does; a frame is returned as it is."""
    if isinstance(answer, str | bytes):
        return answer
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def error(status: object = None, **body: Any) -> Replacement:
    """Return an error: a status and the fields of `error` (`code`, `msg`, `data`); those not given are left out."""

    def refuse(answer: Answer) -> Answer:
        kept = {name: value for name, value in answer.items() if name in {"id", "rateLimits"}}
        return kept | ({} if status is None else {"status": status}) | {"error": body}

    return refuse


def http(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Replacement:
    """Return an answer of REST: a status, a body, and headers in addition to the usual ones."""
    return lambda _: {"status": status, "headers": headers or {}, "body": body}


def body(fields: Mapping[str, Any]) -> Replacement:
    """Answer with only the id and these fields."""
    return lambda answer: {"id": answer["id"], **fields}


def field(path: str, value: object) -> Replacement:
    """Replace a value; a function gets the old value and returns the new one."""

    def put(answer: Answer) -> Answer:
        for holder, key in _places(answer, path):
            holder[key] = value(holder[key]) if callable(value) else value
        return answer

    return put


def without(path: str) -> Replacement:
    """Remove a field or a row."""

    def remove(answer: Answer) -> Answer:
        for holder, key in reversed(list(_places(answer, path))):
            del holder[key]
        return answer

    return remove


def row_twice(path: str) -> Replacement:
    """Duplicate a row; the path leads to the row, as in `result.positions.0`."""

    def repeat(answer: Answer) -> Answer:
        for rows, number in reversed(list(_places(answer, path))):
            rows.insert(number, rows[number])
        return answer

    return repeat


def in_credits_mode(answer: Answer) -> Frame | list[Frame]:
    """Move the figures of USDT to BNFCR, as for accounts in credits mode; USDT keeps zeros."""
    result = answer.get("result")
    if isinstance(result, list):
        return field("result.*.marginAsset", lambda asset: _CREDITS.get(asset, asset))(answer)
    if not isinstance(result, dict) or "assets" not in result:
        return answer
    multi_assets = any("marginAvailable" in row for row in result["assets"])
    for number, row in enumerate(result["assets"]):
        if row["asset"] == "USDT":
            emptied = _with_zeros(row) | {"asset": "USDT", "updateTime": 0}
            result["assets"][number : number + 1] = [emptied, row | {"asset": "BNFCR"}]
            break
    # In single-asset mode the totals are those of USDT.
    return answer if multi_assets else answer | {"result": _with_zeros(result)}


def _with_zeros(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "0.00000000" if isinstance(value, str) else value for name, value in figures.items()}


def once(replacement: Replacement) -> Replacement:
    """Apply a replacement to the first answer only."""
    left = [replacement]
    return lambda answer: left.pop()(answer) if left else answer


def raw(*frames: str | bytes) -> Replacement:
    """Send these frames instead: text, or binary for bytes; without any the answer is lost."""
    return lambda _: list(frames)


def accompanied(*frames: str | bytes) -> Replacement:
    """Send unsolicited frames, then the answer."""
    return lambda answer: [*frames, answer]


def twice(answer: Answer) -> list[Frame]:
    """Send the answer twice."""
    return [answer, answer]


def truncated(answer: Answer) -> Frame:
    """Send the first half of the answer's text as a whole frame."""
    text = encode(answer)
    return text[: len(text) // 2]


def binary(answer: Answer) -> Frame:
    """Send the answer as a binary frame."""
    return json.dumps(answer, ensure_ascii=False).encode()


def padded(size_bytes: int = _OVER_8_MIB) -> Replacement:
    """Pad the answer to at least this size with an unknown field."""
    return lambda answer: answer | {"padding": "x" * size_bytes}


def nested(depth: int = 100_000) -> Replacement:
    """Replace the result with nested lists."""
    # As text, since the encoder rejects this depth.
    return lambda answer: f'{{"id":{json.dumps(answer["id"])},"status":200,"result":{"[" * depth}{"]" * depth}}}'


class InPairs:
    """Delay an answer until the next one, then send both: the later first, or each with the other's id."""

    def __init__(self, *, swap_ids: bool = False) -> None:
        self._swap_ids = swap_ids
        self._held: Answer | None = None

    def __call__(self, answer: Answer) -> list[Frame]:
        """Return no answer or two."""
        held, self._held = self._held, None
        if held is None:
            self._held = answer
            return []
        if self._swap_ids:
            held["id"], answer["id"] = answer["id"], held["id"]
        return [answer, held]


def _places(answer: Answer, path: str) -> Iterator[tuple[Any, Any]]:
    *steps, last = path.split(".")
    holders: list[Any] = [answer]
    for step in steps:
        holders = [holder[key] for holder in holders for key in _keys(holder, step)]
    for holder in holders:
        for key in _keys(holder, last):
            yield holder, key


def _keys(holder: Any, step: str) -> list[Any]:
    if isinstance(holder, list):
        numbers = range(len(holder))
        return list(numbers) if step == "*" else [number for number in numbers if str(number) == step]
    return [step] if isinstance(holder, dict) and step in holder else []
