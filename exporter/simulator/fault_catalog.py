"""The faults of `simulate --fault`, by name: what each does, and how it is switched on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from exporter.simulator.answer_edits import (
    InPairs,
    accompanied,
    binary,
    body,
    error,
    field,
    in_credits_mode,
    nested,
    once,
    padded,
    raw,
    row_twice,
    truncated,
    twice,
    without,
)
from exporter.simulator.fault import Fault, answers
from exporter.simulator.fault_catalog_rest import REST_FAULTS

if TYPE_CHECKING:
    from exporter.simulator.fault import Switch
    from exporter.simulator.server import SimulatedExchange

EVENT_SECONDS: Final = 10.0
SLOW_SECONDS: Final = 3.0
_SKEW_SECONDS: Final = 30.0
_LONGEST_BAN_SECONDS: Final = 3 * 86_400.0
_REQUESTS: Final = 10
_STATUS: Final = "v2/account.status"
_POSITION: Final = "v2/account.position"
_NO_ROWS: Final[dict[str, Any]] = {"assets": [], "positions": []}
_GARBAGE: Final = "\x00\ufffd{]garbage"
_MAINTENANCE: Final = "The system is under maintenance, please try again later."


def _rejecting(status: int, retry_after: str | None = None) -> Switch:
    headers = None if retry_after is None else {"Retry-After": retry_after}
    return lambda exchange: exchange.reject_handshake(status, headers)


def _null_totals(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, list) else None for name, value in result.items()}


def _rate_limited(exchange: SimulatedExchange) -> ExitStack:
    return exchange.share_weight(exchange.weight.limit + 1)


def _busy_ip(exchange: SimulatedExchange) -> ExitStack:
    return exchange.share_weight(exchange.weight.limit * 8 // 10)


def _key_revoked(exchange: SimulatedExchange) -> ExitStack:
    return exchange.revoke(next(iter(exchange.accounts)))


def _shutdown(exchange: SimulatedExchange) -> ExitStack:
    return exchange.repeat(2 * EVENT_SECONDS, lambda: exchange.announce_shutdown(EVENT_SECONDS))


def _clock_jumps(exchange: SimulatedExchange) -> ExitStack:
    skew = ExitStack()
    ahead = False

    def jump() -> None:
        nonlocal ahead
        ahead = not ahead
        skew.close()
        if ahead:
            skew.enter_context(exchange.skew_clock(_SKEW_SECONDS))

    undo = exchange.repeat(EVENT_SECONDS, jump)
    undo.push(skew)
    return undo


FAULTS: Final[dict[str, Fault]] = {
    "handshake-403": Fault("new connections are rejected with 403", _rejecting(403)),
    "handshake-429": Fault("new connections are rejected with 429, Retry-After 30", _rejecting(429, "30")),
    "handshake-451": Fault("new connections are rejected with 451", _rejecting(451)),
    "handshake-503": Fault("new connections are rejected with 503", _rejecting(503)),
    "handshake-garbage": Fault(
        "new connections get bytes that are not HTTP", lambda exchange: exchange.garble_handshake()
    ),
    "handshake-closed": Fault("new connections are closed at once", lambda exchange: exchange.close_at_accept()),
    "handshake-silent": Fault("new connections are never answered", lambda exchange: exchange.stall_handshakes()),
    "open-and-close": Fault("connections open and close at once", lambda exchange: exchange.close_after(0, 1001)),
    "short-lived": Fault("connections close after 10 requests", lambda exchange: exchange.close_after(_REQUESTS)),
    "dropped": Fault(
        "connections are reset every 10 s", lambda exchange: exchange.repeat(EVENT_SECONDS, exchange.drop_connections)
    ),
    "cut-frames": Fault("connections are reset in the middle of a response", lambda exchange: exchange.cut_answers()),
    "silent": Fault("connections open, then stay silent, even to pings", lambda exchange: exchange.stall_after(0)),
    "shutdown": Fault("serverShutdown is announced every 30 s, closed 10 s later", _shutdown),
    "no-answers": Fault("requests get no response", lambda exchange: exchange.lose_answers()),
    "slow-answers": Fault("responses are delayed by 3 s", lambda exchange: exchange.delay_answers(SLOW_SECONDS)),
    "wrong-ids": Fault("responses have an unknown id", answers(lambda: field("id", "unknown"))),
    "null-ids": Fault("responses have the id null", answers(lambda: field("id", None))),
    "double-answers": Fault("responses are sent twice", answers(lambda: twice)),
    "swapped-answers": Fault(
        "responses are sent in pairs with their ids swapped", answers(lambda: InPairs(swap_ids=True))
    ),
    "unsolicited": Fault(
        "every response is preceded by an unsolicited frame", answers(lambda: accompanied('{"stream":"x"}'))
    ),
    "garbage": Fault("responses are not JSON", answers(lambda: raw(_GARBAGE))),
    "truncated": Fault("responses are truncated", answers(lambda: truncated)),
    "nested": Fault("results are nested 100000 levels deep", answers(nested)),
    "huge": Fault("responses are larger than 8 MiB", answers(padded)),
    "binary": Fault("responses are binary frames", answers(lambda: binary)),
    "server-errors": Fault(
        "responses are errors: status 500, code -1000",
        answers(lambda: error(500, code=-1000, msg="An unknown error occurred.")),
    ),
    "maintenance": Fault(
        "responses report maintenance, without a code", answers(lambda: body({"239999": _MAINTENANCE}))
    ),
    "maintenance-503": Fault(
        "responses report maintenance with status 503", answers(lambda: error(503, **{"239999": _MAINTENANCE}))
    ),
    "no-rate-limits": Fault("responses lack rateLimits", answers(lambda: without("rateLimits"))),
    "zero-limit": Fault("rateLimits report a limit of 0", answers(lambda: field("rateLimits.*.limit", 0))),
    "nonsense-figures": Fault(
        "totalWalletBalance is NaN", answers(lambda: field("result.totalWalletBalance", "NaN"), _STATUS)
    ),
    "no-assets": Fault("v2/account.status lacks assets", answers(lambda: without("result.assets"), _STATUS)),
    "rows-twice": Fault(
        "v2/account.status contains a position twice", answers(lambda: row_twice("result.positions.0"), _STATUS)
    ),
    "hollow-answers": Fault(
        "v2/account.status has neither totals nor rows", answers(lambda: field("result", dict(_NO_ROWS)), _STATUS)
    ),
    "no-rows": Fault(
        "v2/account.status has totals but no rows",
        answers(lambda: field("result", lambda result: result | _NO_ROWS), _STATUS),
    ),
    "null-totals": Fault(
        "v2/account.status has rows, but null for every total", answers(lambda: field("result", _null_totals), _STATUS)
    ),
    "no-positions": Fault(
        "v2/account.status has margin but no positions", answers(lambda: field("result.positions", []), _STATUS)
    ),
    "no-risk-rows": Fault("v2/account.position has no rows", answers(lambda: field("result", []), _POSITION)),
    "risk-row-missing": Fault(
        "v2/account.position lacks the first row", answers(lambda: without("result.0"), _POSITION)
    ),
    "no-margin-assets": Fault(
        "v2/account.position lacks marginAsset", answers(lambda: without("result.*.marginAsset"), _POSITION)
    ),
    "credits-mode": Fault("accounts are in credits mode (margin in BNFCR)", answers(lambda: in_credits_mode)),
    "time-unanswered": Fault(
        "session.status gets no response", lambda exchange: exchange.lose_answers("session.status")
    ),
    "v1-unanswered": Fault(
        "account.status (v1) gets no response", lambda exchange: exchange.lose_answers("account.status")
    ),
    "position-gone": Fault(
        "v2/account.position does not exist: 404, code -5000",
        answers(lambda: error(404, code=-5000, msg=f"Method {_POSITION} is invalid"), _POSITION),
    ),
    "clock-ahead": Fault("the exchange's clock is 30 s ahead", lambda exchange: exchange.skew_clock(_SKEW_SECONDS)),
    "clock-behind": Fault("the exchange's clock is 30 s behind", lambda exchange: exchange.skew_clock(-_SKEW_SECONDS)),
    "clock-jumps": Fault("the exchange's clock jumps by 30 s every 10 s", _clock_jumps),
    "banned": Fault("the IP is banned for 3 days", lambda exchange: exchange.ban(_LONGEST_BAN_SECONDS)),
    "banned-open-end": Fault(
        "the IP is banned for 3 days; the end is not reported",
        lambda exchange: exchange.ban(_LONGEST_BAN_SECONDS, data=False, text=False),
    ),
    "busy-ip": Fault("other programs use 80 % of the request weight", _busy_ip),
    "rate-limited": Fault("other programs use all of the request weight", _rate_limited),
    "refused-once": Fault(
        "the next v2/account.status fails with code -2015",
        answers(lambda: once(error(401, code=-2015, msg="Invalid API-key, IP, or permissions for action.")), _STATUS),
    ),
    "key-revoked": Fault("the API key of the first account is revoked", _key_revoked),
    **REST_FAULTS,
}
