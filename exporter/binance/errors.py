"""The exceptions of a request, what each one means, and how the exchange's texts are made safe to show.

BinanceError
├── NotSent: the request never left this machine
│   ├── NotConnected
│   ├── Paused: after status 429 or 418 nothing is sent for a while
│   └── OverBudget: the weight budget had no room for it before the deadline
├── NoResponse: no response arrived within the timeout
├── ConnectionLost: the connection ended before the response arrived
├── ExchangeError: Binance responded with an error
├── ProtocolError: Binance responded with neither a result nor an error
└── DecodeError: a field of the result is missing or has the wrong type
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from exporter.redaction import redact, shorten


class Reason(StrEnum):
    """Why a scheduled poll failed: all values of the `reason` label."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    CLOCK = "clock"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    EXCHANGE = "exchange"
    PROTOCOL = "protocol"
    DECODE = "decode"


class DisconnectReason(StrEnum):
    """Why there is no connection: all values of the `reason` label of disconnections."""

    CLOSED = "closed"
    RESET = "reset"
    SILENT = "silent"
    ROTATION = "rotation"
    SHUTDOWN = "shutdown"
    UNREACHABLE = "unreachable"  # no TCP connection to the exchange, through the proxy where there is one
    REJECTED = "rejected"  # the handshake got another HTTP status, or a response that no WebSocket server sends
    TLS = "tls"
    DNS = "dns"


class UnmatchedReason(StrEnum):
    """Why a frame matches no request: all values of the `reason` label of ignored frames."""

    UNKNOWN_ID = "unknown_id"  # including responses that arrive after their deadline
    NULL_ID = "null_id"
    EVENT = "event"
    BINARY = "binary"
    GARBAGE = "garbage"
    OVERSIZED = "oversized"


class Action(Enum):
    """What to do about a failure."""

    RETRY = "retry with backoff"
    RESYNC = "read the exchange's time and send the request once more"
    WAIT = "send nothing to this endpoint for a while"
    REFUSED = "retry after doubling delays: it may be spurious, or an operator may fix the key"
    BUG = "as REFUSED, but only a new release or the exchange can fix it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means."""

    action: Action
    reason: Reason


class BinanceError(Exception):
    """Any failure of a request; its text contains no secret and no IP address, and may be logged and shown."""


class NotSent(BinanceError):
    """The request never left this machine."""


class NotConnected(NotSent):
    """There is no connection to the endpoint; `advice` is about why the last one ended or could not be opened."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Paused(NotSent):
    """The weight budget holds requests back for another `seconds`."""

    def __init__(self, reason: Reason, seconds: float) -> None:
        # Without the remaining time: the message is shown long after it has passed.
        if reason is Reason.BANNED:
            super().__init__("the exchange has banned this IP; requests are paused until the ban ends")
        else:
            super().__init__("the exchange's rate limit is reached; requests are paused until it resets")
        self.reason = reason
        self.seconds = seconds


class OverBudget(NotSent):
    """The weight budget had no room for the request before its deadline."""


class NoResponse(BinanceError):
    """No response arrived within the timeout."""


class ConnectionLost(BinanceError):
    """The connection ended before the response arrived."""


class ProtocolError(BinanceError):
    """The response contains neither a result nor an error."""


class DecodeError(BinanceError):
    """A field of the response is missing, ambiguous or of the wrong type; `path` names it, without its value."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class ExchangeError(BinanceError):
    """Binance's own error; `text` is scrubbed of IP addresses and shortened.

    `retry_at_ms` and `server_time_ms` are epoch milliseconds by the exchange's clock, None where not reported.
    """

    def __init__(
        self,
        status: int | None,
        code: int | None,
        text: str,
        *,
        retry_at_ms: int | None = None,
        server_time_ms: int | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.text = scrub(text)
        # The only use of the unscrubbed text: the end of a ban.
        self.retry_at_ms = retry_at_ms or _banned_until_ms(text)
        self.server_time_ms = server_time_ms
        super().__init__(f"{self.text or 'no message'} (code {code}, status {status})")


_ACTION_BY_CODE: Final[dict[int, Action]] = (
    dict.fromkeys((-1000, -1001, -1006, -1007, -1008, -1016, -2023), Action.RETRY)
    | {-1021: Action.RESYNC, -1003: Action.WAIT, -5000: Action.BUG}
    | dict.fromkeys(
        (-1002, -1011, -1022, -1099, -1109, -2008, -2014, -2015, -2017, -4056, -4057, -4084, -4109, -4402),
        Action.REFUSED,
    )
)
_BAD_REQUEST_CODES: Final = range(-1199, -1099)  # -11xx
_ACTION_BY_STATUS: Final = {
    429: Action.WAIT,
    418: Action.WAIT,
    401: Action.REFUSED,
    403: Action.REFUSED,
    404: Action.BUG,
}
_REASON_BY_ACTION: Final = {
    Action.RETRY: Reason.EXCHANGE,
    Action.RESYNC: Reason.CLOCK,
    Action.WAIT: Reason.RATE_LIMITED,
    Action.REFUSED: Reason.REFUSED,
    Action.BUG: Reason.REFUSED,
}


def classify(error: BinanceError) -> Verdict:
    """Return what to do about a failure and under which reason it is counted.

    Binance's code decides; the HTTP-like status counts only if the code is missing or unknown. A listed code takes
    precedence over its range.
    """
    match error:
        case NotConnected() | ConnectionLost():
            return Verdict(Action.RETRY, Reason.CONNECTION)
        case Paused():
            return Verdict(Action.WAIT, error.reason)
        case OverBudget():
            return Verdict(Action.WAIT, Reason.RATE_LIMITED)
        case NoResponse():
            return Verdict(Action.RETRY, Reason.TIMEOUT)
        case DecodeError():
            return Verdict(Action.RETRY, Reason.DECODE)
        case ExchangeError():
            action = _classify_response(error.status, error.code)
            banned = action is Action.WAIT and (error.status == 418 or "banned" in error.text)
            return Verdict(action, Reason.BANNED if banned else _REASON_BY_ACTION[action])
        case _:
            return Verdict(Action.RETRY, Reason.PROTOCOL)


def _classify_response(status: int | None, code: int | None) -> Action:
    if code in _ACTION_BY_CODE:
        return _ACTION_BY_CODE[code]
    if code in _BAD_REQUEST_CODES:
        return Action.BUG
    return _ACTION_BY_STATUS.get(status or 0, Action.RETRY)


def is_unknown_method(error: BinanceError) -> bool:
    """Whether the exchange reports that it does not know the requested method."""
    return (
        isinstance(error, ExchangeError)
        and classify(error).action is Action.BUG
        and (error.code == -5000 or error.status == 404)
    )


# Broader than addresses are: hiding too much of an error's text is better than too little. Times of day are kept.
_IPV6: Final = re.compile(
    r"(?<![0-9A-Fa-f])(?!\d?\d:\d\d:\d\d(?!\d|:[0-9A-Fa-f:]))(?:[0-9A-Fa-f]{0,4}:){2,}[0-9A-Fa-f.:]*[0-9A-Fa-f:]"
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{0,4}::(?![A-Za-z])"
)
# Only from the start of a run of digits, and possessive: a long run would otherwise take quadratic time.
_IPV4: Final = re.compile(r"(?<!\d)\d++(?:\.\d++){3,}")
# An echoed signature or address may be escaped as in JSON or a URL, or both.
_ESCAPE: Final = re.compile(r"(?:\\u00|%)([2-7][0-9A-Fa-f])|\\(/)")
_MAX_NESTED_ESCAPES: Final = 3
_MAX_TEXT_LENGTH: Final = 300


def scrub(text: str) -> str:
    """Return an exchange's text without IP addresses, secrets and control characters, at most 300 characters long."""
    return shorten(text, _MAX_TEXT_LENGTH, _clean)


def _clean(text: str) -> str:
    for _ in range(_MAX_NESTED_ESCAPES):
        text = _ESCAPE.sub(lambda match: match[2] or chr(int(match[1], 16)), text)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return redact(_IPV4.sub("[ip]", _IPV6.sub("[ip]", text)))


def _banned_until_ms(text: str) -> int | None:
    match = re.search(r"banned until (\d{13})\b", text)
    return int(match[1]) if match else None
