"""Faults of what the exchange answers: envelopes, errors, and what stands in an answer that should not."""

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
from support.fault_runner import Fault, switched
from support.fault_truth import POSITION, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.simulator.answer_edits import Replacement
    from support.fault_runner import Switch

_SURVIVED_SECONDS: Final = 50.0
_ASKED_WITH_BACKOFF: Final = 4  # of six due polls
_REFUSED: Final[dict[str, Any]] = {"asked_at_most": 3, "recovers_within_seconds": 80.0}  # 15, 30, 60 s later
_LATE: Final = frozenset({"poll timeout"})  # what waits for its pair when the fault is over
_LIMITED: Final[dict[str, Any]] = {"asked_at_most": 2, "recovers_within_seconds": 260.0}  # pauses double
_SESSION: Final = "session.status"
_V1: Final = "account.status"


def fault(name: str, switch: Switch, *counted: str, **options: Any) -> Fault:
    """Make a row; one that is survived without a failed poll needs less time to show it, others ask less often."""
    failing = any(reason.startswith("poll") for reason in counted)
    usual = {"asked_at_most": _ASKED_WITH_BACKOFF} if failing else {"lasts_seconds": _SURVIVED_SECONDS}
    return Fault(**{"name": name, "switch": switch, "counted": frozenset(counted), **usual, **options})


def alices(name: str, replacement: Replacement, *counted: str, method: str | None = STATUS, **options: Any) -> Fault:
    """Make a row of alice's answers that are altered; bob must not notice."""
    switch = switched(lambda it: it.replace_answer(method, "alice", replacement))
    return fault(name, switch, *counted, **({"hits": "alice"} | options))


def everybodys(name: str, replacement: Replacement, *counted: str, method: str | None = None, **options: Any) -> Fault:
    """Make a row of all answers that are altered."""
    return fault(name, switched(lambda it: it.replace_answer(method, None, replacement)), *counted, **options)


def strange(name: str, frame: str | bytes, counted: str) -> Fault:
    """Make a row of frames that nobody asked for, before every answer."""
    return everybodys(f"unsolicited: {name}", accompanied(frame), counted)


def _frames() -> Iterator[Fault]:
    yield fault("no answer", switched(lambda it: it.lose_answers(None, "alice")), "poll timeout", hits="alice")
    yield fault(
        "no answer to anybody",
        switched(lambda it: it.lose_answers()),
        "poll timeout",
        "connection silent",
        perhaps=frozenset({"poll connection"}),
        lasts_seconds=120.0,
    )
    yield fault(
        "answers after 12 s",
        switched(lambda it: it.delay_answers(12.0, STATUS, "alice")),
        "poll timeout",
        "frame unknown_id",
        hits="alice",
    )
    yield fault("answers after 3 s", switched(lambda it: it.delay_answers(3.0)))
    yield alices("id of nobody", field("id", "nobody"), "poll timeout", "frame unknown_id")
    yield alices("id of a request long over", field("id", 1), "poll timeout", "frame unknown_id")
    yield alices("id null", field("id", None), "poll timeout", "frame null_id")
    revoked = '{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions"}}'
    yield alices("id null with error -2015", raw(revoked), "poll timeout", "frame null_id")
    yield alices("no id", without("id"), "poll timeout", "frame null_id")
    for kind, identity in (("true", True), ("an object", {})):
        yield alices(f"id is {kind}", field("id", identity), "poll timeout", "frame garbage")
    yield everybodys("every answer twice", twice, "frame unknown_id")
    yield everybodys("answers in pairs, the later first", InPairs(), method=STATUS, perhaps=_LATE)
    yield everybodys("answers with each other's id", InPairs(swap_ids=True), method=STATUS, perhaps=_LATE)
    forged = '{"id":987654,"status":200,"result":{"totalWalletBalance":"1","assets":[],"positions":[]}}'
    yield strange("an answer to nobody", forged, "frame unknown_id")
    yield strange("an event", '{"event":{"e":"executionReport"}}', "frame event")
    yield strange("an empty object", "{}", "frame event")
    yield strange("a stream", '{"stream":"btcusdt@depth","data":{}}', "frame event")
    yield strange("an event of 1 MiB", f'{{"event":{{"e":"{"1." * 2**19}"}}}}', "frame event")
    endless = f'{{"id":null,"status":400,"error":{{"code":-9999,"msg":"{"0a1b2c3d" * 2**17}"}}}}'
    yield strange("an error of 1 MiB", endless, "frame null_id")
    for name, text in (("empty text", ""), ("a list", "[1,2]"), ("HTML", "<html>")):
        yield strange(name, text, "frame garbage")
    yield strange("bytes", b"\x00\x01", "frame binary")
    yield alices("garbage", raw("\x00\ufffd{]garbage"), "poll timeout", "frame garbage")
    yield alices("truncated", truncated, "poll decode")
    yield alices("100000 lists deep", nested(), "poll decode")
    yield alices("binary", binary, "poll timeout", "frame binary")
    large = ("poll connection", "connection closed", "frame oversized")
    yield everybodys("over 8 MiB", padded(), *large, method=STATUS, asked_at_most=8)
    yield alices("of 7 MiB", padded(7 * 2**20))


def _errors() -> Iterator[Fault]:
    for code, status in ((-1000, 500), (-1007, 408), (-1008, 503), (-2023, 400), (-9999, 400), (-9999, 200)):
        yield alices(f"error {code}, status {status}", error(status, code=code, msg="Trouble."), "poll exchange")
    for kind, characters in (("digits", "1"), ("hex", "0a1b2c3d"), ("dots", "."), ("colons", ":"), ("%", "%")):
        endless = error(400, code=-9999, msg=characters * (2**20 // len(characters)))
        yield alices(f"error text, 1 MiB of {kind}", endless, "poll exchange")
    for status in (400, 503):
        yield alices(f"status {status} without a code", error(status, msg="Trouble."), "poll exchange")
    for code, status in ((-1022, 400), (-1109, 400), (-2015, 401), (-4109, 400)):
        text = "Invalid API-key, IP, or permissions for action, request ip: 203.0.113.7"
        yield alices(f"error {code}", error(status, code=code, msg=text), "poll refused", **_REFUSED)
    for status in (401, 403, 404):
        yield alices(f"status {status} without a code", error(status), "poll refused", **_REFUSED)
    yield alices("error -1102, parameter missing", error(400, code=-1102, msg="timestamp"), "poll refused", **_REFUSED)
    yield alices("method gone", error(404, code=-5000, msg="Method is invalid"), "poll refused", **_REFUSED)
    ahead = error(400, code=-1021, msg="Timestamp for this request was 1000ms ahead of the server's time.")
    yield alices("error -1021 for ever", ahead, "poll clock", asked_at_most=2 * _ASKED_WITH_BACKOFF)
    yield fault(
        "key revoked and restored", switched(lambda it: it.revoke("alice")), "poll refused", hits="alice", **_REFUSED
    )
    yield alices(
        "maintenance, neither code nor msg", body({"239999": "The system is under maintenance"}), "poll protocol"
    )
    yield alices("error of maintenance", error(503, **{"239999": "The system is under maintenance"}), "poll exchange")
    yield alices("status 200, no result", body({"status": 200}), "poll decode")
    yield alices("nothing but the id", body({}), "poll protocol")
    yield alices("result null", field("result", None), "poll decode")
    for kind, told in (("null", None), ("text", "trouble")):
        yield alices(f"status 500, error is {kind}", body({"status": 500, "error": told}), "poll exchange")
    yield alices("code is text", error(401, code="-2015", msg="x"), "poll refused", **_REFUSED)
    yield alices("status is text", field("status", "nonsense"), "poll decode")
    yield alices("v2/account.position fails", error(500, code=-1000), "poll exchange", method=POSITION)
    yield alices("v2/account.position times out", raw(), "poll timeout", method=POSITION, asked_at_most=8)
    yield everybodys("v2/account.position gone", error(404, code=-5000, msg="Method is invalid"), method=POSITION)
    for name, replacement in (
        ("gone", error(404, code=-5000, msg="x")),
        ("fails", error(500, code=-1000)),
        ("lost", raw()),
        ("broken", field("result.multiAssetsMargin", "maybe")),
    ):
        yield everybodys(f"account.status {name} from the start", replacement, method=_V1, from_start=True)
    for name, replacement in (
        ("refused", error(404, code=-5000, msg="x")),
        ("unanswered", raw()),
        ("of 1970", field("result.serverTime", 7)),
        ("no number", field("result.serverTime", "soon")),
    ):
        yield everybodys(f"exchange's time {name} from the start", replacement, method=_SESSION, from_start=True)


def _limits() -> Iterator[Fault]:
    for data, text in ((True, False), (False, True), (False, False)):
        how = "in its data" if data else "in its text" if text else "nowhere"
        ban = switched(methodcaller("ban", 80.0, data=data, text=text))
        yield fault(f"banned (418), its end told {how}", ban, "poll banned", asked_at_most=2)
    past: dict[str, Any] = {"data": {"retryAfter": 0}}
    for how, told in (("told for 1970", past), ("not told", {})):
        limited = error(429, code=-1003, msg="Too many requests.", **told)
        yield everybodys(f"429, its end {how}", limited, "poll rate_limited", method=STATUS, **_LIMITED)
    yield everybodys("418, error without a code", error(418), "poll banned", method=STATUS, **_LIMITED)
    spent = switched(lambda it: it.share_weight(it.weight.limit + 1))
    yield fault("others spend all of the weight", spent, "poll rate_limited", **_LIMITED)
    busy = switched(lambda it: it.share_weight(it.weight.limit * 8 // 10))
    yield fault("others spend 80 % of the weight", busy)
    yield everybodys(
        "a ban with id null",
        accompanied('{"id":null,"status":418,"error":{"code":-1003,"msg":"IP(203.0.113.7) banned for now"}}'),
        "poll banned",
        "frame null_id",
        **_LIMITED,
    )
    yield everybodys("rateLimits hidden", without("rateLimits"))
    for name, value in (("null", None), ("a list of numbers", [1, 2])):
        yield everybodys(f"rateLimits is {name}", field("rateLimits", value))
    for limit in (0, -1, 10**12, "many"):
        yield everybodys(f"limit is {limit}", field("rateLimits.*.limit", limit))
    for count in (-7, "few", 10**12, 10**400):
        shown = count if len(str(count)) < 20 else f"of {len(str(count))} digits"
        yield everybodys(f"count is {shown}", field("rateLimits.*.count", count))
    full = field("rateLimits.*.count", 5000)
    yield everybodys("count is over the limit, falsely", full, "poll rate_limited")
    yield fault(
        "limit falls to 120",
        switched(lambda it: it.change_weight_limit(120)),
        lasts_seconds=100.0,
        perhaps=frozenset({"poll rate_limited"}),
    )


ANSWERS: Final = (*_frames(), *_errors(), *_limits())
