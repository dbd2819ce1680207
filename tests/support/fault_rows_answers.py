"""Rows of the fault table: answers with wrong envelopes, errors, limits and bans."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

from exporter.simulator.answer_edits import (
    InPairs,
    accompanied,
    binary,
    body,
    error,
    field,
    nested,
    padded,
    raw,
    truncated,
    twice,
    without,
)
from support.fault_runner import switched
from support.fault_table import FaultRow
from support.methods import POSITION, SESSION, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.simulator.answer_edits import Replacement
    from support.fault_table import Switch

_SURVIVED_SECONDS: Final = 50.0
_REQUESTS_WITH_BACKOFF: Final = 4  # of six due polls
_REFUSED: Final[dict[str, Any]] = {"most_requests": 3, "recovers_within_seconds": 80.0}  # 15, 30, 60 s later
_LATE: Final = frozenset({"poll timeout"})  # an answer held back for its pair when the fault is over
_LIMITED: Final[dict[str, Any]] = {"most_requests": 2, "recovers_within_seconds": 260.0}  # pauses double
_V1: Final = "account.status"


def fault(name: str, switch: Switch, *counted: str, **options: Any) -> FaultRow:
    """Return a row; one without failed polls needs less time, others have fewer requests."""
    failing = any(reason.startswith("poll") for reason in counted)
    usual = {"most_requests": _REQUESTS_WITH_BACKOFF} if failing else {"duration_seconds": _SURVIVED_SECONDS}
    return FaultRow(**{"name": name, "switch": switch, "counted": frozenset(counted), **usual, **options})


def for_alice(
    name: str, replacement: Replacement, *counted: str, method: str | None = STATUS, **options: Any
) -> FaultRow:
    """Return a row in which alice's answers are replaced; bob must not be affected."""
    switch = switched(lambda exchange: exchange.replace_answer(method, "alice", replacement))
    return fault(name, switch, *counted, **({"affects": "alice"} | options))


def for_all(name: str, replacement: Replacement, *counted: str, method: str | None = None, **options: Any) -> FaultRow:
    """Return a row in which all answers are replaced."""
    return fault(
        name, switched(lambda exchange: exchange.replace_answer(method, None, replacement)), *counted, **options
    )


def unsolicited(name: str, frame: str | bytes, counted: str) -> FaultRow:
    """Return a row with an unsolicited frame before every answer."""
    return for_all(f"unsolicited: {name}", accompanied(frame), counted)


def _frames() -> Iterator[FaultRow]:
    yield fault(
        "no answer", switched(lambda exchange: exchange.lose_answers(None, "alice")), "poll timeout", affects="alice"
    )
    yield fault(
        "no answer to any account",
        switched(lambda exchange: exchange.lose_answers()),
        "poll timeout",
        "connection silent",
        possible=frozenset({"poll connection"}),
        duration_seconds=120.0,
    )
    yield fault(
        "answers after 12 s",
        switched(lambda exchange: exchange.delay_answers(12.0, STATUS, "alice")),
        "poll timeout",
        "frame unknown_id",
        affects="alice",
    )
    yield fault("answers after 3 s", switched(lambda exchange: exchange.delay_answers(3.0)))
    yield for_alice("unknown id", field("id", "nobody"), "poll timeout", "frame unknown_id")
    yield for_alice("id of an old request", field("id", 1), "poll timeout", "frame unknown_id")
    yield for_alice("id null", field("id", None), "poll timeout", "frame null_id")
    revoked = '{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions"}}'
    yield for_alice("id null with error -2015", raw(revoked), "poll timeout", "frame null_id")
    yield for_alice("no id", without("id"), "poll timeout", "frame null_id")
    for kind, identity in (("true", True), ("an object", {})):
        yield for_alice(f"id is {kind}", field("id", identity), "poll timeout", "frame garbage")
    yield for_all("every answer twice", twice, "frame unknown_id")
    yield for_all("answers in pairs, the later first", InPairs(), method=STATUS, possible=_LATE)
    yield for_all("answers with each other's id", InPairs(swap_ids=True), method=STATUS, possible=_LATE)
    forged = '{"id":987654,"status":200,"result":{"totalWalletBalance":"1","assets":[],"positions":[]}}'
    yield unsolicited("an answer to no request", forged, "frame unknown_id")
    yield unsolicited("an event", '{"event":{"e":"executionReport"}}', "frame event")
    yield unsolicited("an empty object", "{}", "frame event")
    yield unsolicited("a stream", '{"stream":"btcusdt@depth","data":{}}', "frame event")
    yield unsolicited("an event of 1 MiB", f'{{"event":{{"e":"{"1." * 2**19}"}}}}', "frame event")
    endless = f'{{"id":null,"status":400,"error":{{"code":-9999,"msg":"{"0a1b2c3d" * 2**17}"}}}}'
    yield unsolicited("an error of 1 MiB", endless, "frame null_id")
    for name, text in (("empty text", ""), ("a list", "[1,2]"), ("HTML", "<html>")):
        yield unsolicited(name, text, "frame garbage")
    yield unsolicited("bytes", b"\x00\x01", "frame binary")
    yield for_alice("garbage", raw("\x00\ufffd{]garbage"), "poll timeout", "frame garbage")
    yield for_alice("truncated", truncated, "poll decode")
    yield for_alice("100000 lists deep", nested(), "poll decode")
    yield for_alice("binary", binary, "poll timeout", "frame binary")
    large = ("poll connection", "connection closed", "frame oversized")
    yield for_all("over 8 MiB", padded(), *large, method=STATUS, most_requests=8)
    yield for_alice("of 7 MiB", padded(7 * 2**20))


def _errors() -> Iterator[FaultRow]:
    for code, status in ((-1000, 500), (-1007, 408), (-1008, 503), (-2023, 400), (-9999, 400), (-9999, 200)):
        yield for_alice(f"error {code}, status {status}", error(status, code=code, msg="Trouble."), "poll exchange")
    for kind, characters in (("digits", "1"), ("hex", "0a1b2c3d"), ("dots", "."), ("colons", ":"), ("%", "%")):
        endless = error(400, code=-9999, msg=characters * (2**20 // len(characters)))
        yield for_alice(f"error text, 1 MiB of {kind}", endless, "poll exchange")
    for status in (400, 503):
        yield for_alice(f"status {status} without a code", error(status, msg="Trouble."), "poll exchange")
    for code, status in ((-1022, 400), (-1109, 400), (-2015, 401), (-4109, 400)):
        text = "Invalid API-key, IP, or permissions for action, request ip: 203.0.113.7"
        yield for_alice(f"error {code}", error(status, code=code, msg=text), "poll refused", **_REFUSED)
    for status in (401, 403, 404):
        yield for_alice(f"status {status} without a code", error(status), "poll refused", **_REFUSED)
    yield for_alice(
        "error -1102, parameter missing", error(400, code=-1102, msg="timestamp"), "poll refused", **_REFUSED
    )
    yield for_alice(
        "method does not exist", error(404, code=-5000, msg="Method is invalid"), "poll refused", **_REFUSED
    )
    ahead = error(400, code=-1021, msg="Timestamp for this request was 1000ms ahead of the server's time.")
    yield for_alice("error -1021 permanently", ahead, "poll clock", most_requests=2 * _REQUESTS_WITH_BACKOFF)
    yield fault(
        "key revoked and restored",
        switched(lambda exchange: exchange.revoke("alice")),
        "poll refused",
        affects="alice",
        **_REFUSED,
    )
    yield for_alice(
        "maintenance, neither code nor msg", body({"239999": "The system is under maintenance"}), "poll protocol"
    )
    yield for_alice(
        "error of maintenance", error(503, **{"239999": "The system is under maintenance"}), "poll exchange"
    )
    yield for_alice("status 200, no result", body({"status": 200}), "poll decode")
    yield for_alice("only the id", body({}), "poll protocol")
    yield for_alice("result null", field("result", None), "poll decode")
    for kind, value in (("null", None), ("text", "trouble")):
        yield for_alice(f"status 500, error is {kind}", body({"status": 500, "error": value}), "poll exchange")
    yield for_alice("code is text", error(401, code="-2015", msg="x"), "poll refused", **_REFUSED)
    yield for_alice("status is text", field("status", "nonsense"), "poll decode")


def _methods() -> Iterator[FaultRow]:
    yield for_alice("v2/account.position fails", error(500, code=-1000), "poll exchange", method=POSITION)
    yield for_alice("v2/account.position times out", raw(), "poll timeout", method=POSITION, most_requests=8)
    yield for_all(
        "v2/account.position does not exist", error(404, code=-5000, msg="Method is invalid"), method=POSITION
    )
    for name, replacement in (
        ("does not exist", error(404, code=-5000, msg="x")),
        ("fails", error(500, code=-1000)),
        ("lost", raw()),
        ("broken", field("result.multiAssetsMargin", "maybe")),
    ):
        yield for_all(f"account.status {name} from the start", replacement, method=_V1, from_start=True)
    for name, replacement in (
        ("refused", error(404, code=-5000, msg="x")),
        ("unanswered", raw()),
        ("of 1970", field("result.serverTime", 7)),
        ("not a number", field("result.serverTime", "soon")),
    ):
        yield for_all(f"exchange's time {name} from the start", replacement, method=SESSION, from_start=True)


def _limits() -> Iterator[FaultRow]:
    for data, text in ((True, False), (False, True), (False, False)):
        where = "in data" if data else "in text" if text else "nowhere"
        ban = switched(methodcaller("ban", 80.0, data=data, text=text))
        yield fault(f"banned (418), its end {where}", ban, "poll banned", most_requests=2)
    past: dict[str, Any] = {"data": {"retryAfter": 0}}
    for end, details in (("in 1970", past), ("missing", {})):
        limited = error(429, code=-1003, msg="Too many requests.", **details)
        yield for_all(f"429, its end {end}", limited, "poll rate_limited", method=STATUS, **_LIMITED)
    yield for_all("418, error without a code", error(418), "poll banned", method=STATUS, **_LIMITED)
    weight_by_minute = switched(lambda exchange: exchange.share_weight(exchange.weight.limit + 1))
    yield fault("others spend all of the weight", weight_by_minute, "poll rate_limited", **_LIMITED)
    busy = switched(lambda exchange: exchange.share_weight(exchange.weight.limit * 8 // 10))
    yield fault("others spend 80 % of the weight", busy)
    yield for_all(
        "a ban with id null",
        accompanied('{"id":null,"status":418,"error":{"code":-1003,"msg":"IP(203.0.113.7) banned for now"}}'),
        "poll banned",
        "frame null_id",
        **_LIMITED,
    )
    yield for_all("rateLimits missing", without("rateLimits"))
    for name, value in (("null", None), ("a list of numbers", [1, 2])):
        yield for_all(f"rateLimits is {name}", field("rateLimits", value))
    for limit in (0, -1, 10**12, "many"):
        yield for_all(f"limit is {limit}", field("rateLimits.*.limit", limit))
    for count in (-7, "few", 10**12, 10**400):
        count_text = count if len(str(count)) < 20 else f"of {len(str(count))} digits"
        yield for_all(f"count is {count_text}", field("rateLimits.*.count", count))
    full = field("rateLimits.*.count", 5000)
    yield for_all("count is over the limit, falsely", full, "poll rate_limited")
    yield fault(
        "limit falls to 120",
        switched(lambda exchange: exchange.change_weight_limit(120)),
        duration_seconds=100.0,
        possible=frozenset({"poll rate_limited"}),
    )


ANSWERS: Final = (*_frames(), *_errors(), *_methods(), *_limits())
