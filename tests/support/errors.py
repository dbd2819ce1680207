"""Errors of every kind, and the verdicts on them."""

from __future__ import annotations

from exporter.binance.errors import (
    Action,
    ConnectionLost,
    DecodeError,
    NoResponse,
    NotConnected,
    OverBudget,
    Paused,
    ProtocolError,
    Reason,
    Verdict,
)

RETRY = Verdict(Action.RETRY, Reason.EXCHANGE)
RESYNC = Verdict(Action.RESYNC, Reason.CLOCK)
RATE_LIMITED = Verdict(Action.WAIT, Reason.RATE_LIMITED)
BANNED = Verdict(Action.WAIT, Reason.BANNED)
REFUSED = Verdict(Action.REFUSED, Reason.REFUSED)
BUG = Verdict(Action.BUG, Reason.REFUSED)

LISTED = (
    dict.fromkeys((-1000, -1001, -1006, -1007, -1008, -1016, -2023), RETRY)
    | {-1021: RESYNC, -1003: RATE_LIMITED, -5000: BUG}
    | dict.fromkeys(
        (-1002, -1011, -1022, -1099, -1109, -2008, -2014, -2015, -2017, -4056, -4057, -4084, -4109, -4402), REFUSED
    )
)
BY_STATUS = {
    None: RETRY,
    0: RETRY,
    200: RETRY,
    400: RETRY,
    408: RETRY,
    500: RETRY,
    502: RETRY,
    503: RETRY,
    504: RETRY,
    429: RATE_LIMITED,
    418: BANNED,
    401: REFUSED,
    403: REFUSED,
    404: BUG,
}
STATUSES = [status for status in BY_STATUS if status != 418]
OTHERS = {
    Paused(Reason.BANNED, 12.4): BANNED,
    Paused(Reason.RATE_LIMITED, 12.4): RATE_LIMITED,
    OverBudget("no room"): RATE_LIMITED,
    NotConnected("dns"): Verdict(Action.RETRY, Reason.CONNECTION),
    ConnectionLost("reset"): Verdict(Action.RETRY, Reason.CONNECTION),
    NoResponse("late"): Verdict(Action.RETRY, Reason.TIMEOUT),
    DecodeError("result.assets", "is missing"): Verdict(Action.RETRY, Reason.DECODE),
    ProtocolError("neither"): Verdict(Action.RETRY, Reason.PROTOCOL),
}
