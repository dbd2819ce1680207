"""One exception tree, and the one function that says what each failure means.

BinanceError
├── NotSent: the request never left this machine
│   ├── NotConnected
│   ├── Paused: after 429 or 418 nothing is sent for a while
│   └── OverBudget: the weight budget found no room for it within the deadline
├── NoAnswer: nothing came back within the deadline
├── ConnectionLost: the socket went away while the request was under way
├── ExchangeError: Binance answered with an error
├── ProtocolError: Binance answered with neither a result nor an error
└── DecodeError: a field of the result is missing or not of its kind
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from exporter.redaction import redact, shorten


class Reason(StrEnum):
    """Why a due poll failed: the closed set of the `reason` label."""

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
    """Why there is no connection: the closed set of the `reason` label of disconnections."""

    CLOSED = "closed"
    RESET = "reset"
    SILENT = "silent"
    ROTATION = "rotation"
    SHUTDOWN = "shutdown"
    UNREACHABLE = "unreachable"  # no TCP connection to the exchange, through the proxy where there is one
    REJECTED = "rejected"  # the handshake was answered with another HTTP status, or not as a WebSocket server does
    TLS = "tls"
    DNS = "dns"


class UnmatchedReason(StrEnum):
    """Why a frame belongs to nobody: the closed set of the `reason` label of ignored frames."""

    UNKNOWN_ID = "unknown_id"  # also answers that come after their deadline
    NULL_ID = "null_id"
    EVENT = "event"
    BINARY = "binary"
    GARBAGE = "garbage"
    OVERSIZED = "oversized"


class Action(Enum):
    """What to do about a failure."""

    RETRY = "retry with backoff"
    RESYNC = "learn the exchange's time and ask once more"
    WAIT = "send nothing to this endpoint for a while"
    REFUSED = "ask again after doubling delays: it may be spurious, or an operator may fix the key"
    BUG = "as refused, but it is this program or the exchange that must change"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means."""

    action: Action
    reason: Reason


class BinanceError(Exception):
    """Any failure of a request; its text holds no secret and no IP address and may be logged and shown."""


class NotSent(BinanceError):
    """The request never left this machine."""


class NotConnected(NotSent):
    """There is no connection to the endpoint; `advice` fits the reason why the last one ended or was refused."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice


class Paused(NotSent):
    """The weight budget holds requests back; `seconds` until it may let them through again."""

    def __init__(self, reason: Reason, seconds: float) -> None:
        # Without the time that is left: these words are shown long after it has passed.
        cause = "the exchange has banned this IP" if reason is Reason.BANNED else "the rate limit is reached"
        super().__init__(f"{cause}: nothing is sent until its pause is over")
        self.reason = reason
        self.seconds = seconds


class OverBudget(NotSent):
    """The weight budget found no room for the request within its deadline."""


class NoAnswer(BinanceError):
    """No answer came within the deadline."""


class ConnectionLost(BinanceError):
    """The connection ended before the answer came."""


class ProtocolError(BinanceError):
    """The answer holds neither a result nor an error."""


class DecodeError(BinanceError):
    """A field of the answer is missing, of the wrong kind or ambiguous; `path` names it, no value is told."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class ExchangeError(BinanceError):
    """Binance's own error; `text` is scrubbed of IP addresses and shortened.

    `retry_at_ms` and `server_time_ms` are epoch milliseconds by the exchange's clock, None where not told.
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
        # Only the end of a ban is taken from the unscrubbed text.
        self.retry_at_ms = retry_at_ms or _banned_until_ms(text)
        self.server_time_ms = server_time_ms
        super().__init__(f"{self.text or 'no message'} (code {code}, status {status})")


_LISTED: Final[dict[int, Action]] = (
    dict.fromkeys((-1000, -1001, -1006, -1007, -1008, -1016, -2023), Action.RETRY)
    | {-1021: Action.RESYNC, -1003: Action.WAIT, -5000: Action.BUG}
    | dict.fromkeys(
        (-1002, -1011, -1022, -1099, -1109, -2008, -2014, -2015, -2017, -4056, -4057, -4084, -4109, -4402),
        Action.REFUSED,
    )
)
_BAD_REQUEST_CODES: Final = range(-1199, -1099)  # -11xx
_BY_STATUS: Final = {
    429: Action.WAIT,
    418: Action.WAIT,
    401: Action.REFUSED,
    403: Action.REFUSED,
    404: Action.BUG,
}
_REASONS: Final = {
    Action.RETRY: Reason.EXCHANGE,
    Action.RESYNC: Reason.CLOCK,
    Action.WAIT: Reason.RATE_LIMITED,
    Action.REFUSED: Reason.REFUSED,
    Action.BUG: Reason.REFUSED,
}


def classify(error: BinanceError) -> Verdict:
    """Say what a failure means and under which reason it is counted.

    Binance's code decides; the HTTP-like status only where the code is missing or unknown; a listed code beats the
    range that it lies in.
    """
    match error:
        case NotConnected() | ConnectionLost():
            return Verdict(Action.RETRY, Reason.CONNECTION)
        case Paused():
            return Verdict(Action.WAIT, error.reason)
        case OverBudget():
            return Verdict(Action.WAIT, Reason.RATE_LIMITED)
        case NoAnswer():
            return Verdict(Action.RETRY, Reason.TIMEOUT)
        case DecodeError():
            return Verdict(Action.RETRY, Reason.DECODE)
        case ExchangeError():
            action = _classify_answer(error.status, error.code)
            banned = action is Action.WAIT and (error.status == 418 or "banned" in error.text)
            return Verdict(action, Reason.BANNED if banned else _REASONS[action])
        case _:
            return Verdict(Action.RETRY, Reason.PROTOCOL)


def _classify_answer(status: int | None, code: int | None) -> Action:
    if code in _LISTED:
        return _LISTED[code]
    if code in _BAD_REQUEST_CODES:
        return Action.BUG
    return _BY_STATUS.get(status or 0, Action.RETRY)


def is_method_gone(error: BinanceError) -> bool:
    """Whether the exchange says that it does not know the method that was asked for."""
    return (
        isinstance(error, ExchangeError)
        and classify(error).action is Action.BUG
        and (error.code == -5000 or error.status == 404)
    )


_ADVICE: Final[dict[int, str]] = {
    -1002: "the key may not ask for this account: check its permissions",
    -1011: "this machine's IP may not use the API: check the key's IP list and the exchange's regional rules",
    -1021: "check this machine's clock (NTP), and the network's delay against recv_window",
    -1022: (
        "check that the secret or private key belongs to this API key, without quotes around it and without another "
        "encoding such as base64"
    ),
    -1099: "check that the API key and its secret or private key belong together",
    -1109: "the exchange does not find a futures account for this key: open one, or try again later on testnet",
    -2008: "the exchange does not know this API key: check for typing errors, and that the key is of this endpoint",
    -2014: "check the API key for missing or extra characters",
    -2015: (
        "check that futures are enabled for the key, that this machine's IP is on the key's list, and that the key "
        "is of this endpoint (mainnet and testnet have keys of their own; those of demo trading are of testnet); "
        "accounts in portfolio margin mode are refused here with any key"
    ),
    -2017: "API keys are locked on this account: unlock them on the exchange's site",
    -4109: "the futures account is inactive: put funds into it or activate it on the exchange's site",
    -4402: "the exchange refuses this account for regulatory reasons: ask its support",
    -5000: "the exchange no longer knows this method: look for a newer release of this exporter",
}
_ADVICE_BY_REASON: Final = {
    Reason.CONNECTION: "check the network, the proxy and that the endpoint's URL is right",
    Reason.TIMEOUT: "the exchange is slow or the network loses packets: try again later",
    Reason.REFUSED: "check the key, its permissions and its IP list on the exchange's site",
    Reason.CLOCK: _ADVICE[-1021],
    Reason.RATE_LIMITED: (
        "this IP's request weight is used up: other programs share it; a longer interval or smaller weight_share helps"
    ),
    Reason.BANNED: "stop other programs on this IP from exceeding the limit, and wait until the ban is over",
    Reason.EXCHANGE: "the exchange reports trouble of its own: try again later",
    Reason.PROTOCOL: (
        "the exchange may be under maintenance: see its announcements; if its answers stay without a result and "
        "without an error, report it"
    ),
    Reason.DECODE: (
        "the exchange's answer is incomplete or contradicts itself: check the account on Binance's site, and look for "
        "a newer release of this exporter"
    ),
}


def advise(error: BinanceError) -> str:
    """Return what an operator can do about a failure, as one phrase without a full stop."""
    if isinstance(error, ExchangeError) and error.code in _ADVICE:
        return _ADVICE[error.code]
    if isinstance(error, NotConnected) and error.advice:
        return error.advice
    verdict = classify(error)
    if verdict.action is Action.BUG:
        return "the exchange does not take what this exporter asks: look for a newer release, or report it"
    return _ADVICE_BY_REASON[verdict.reason]


# Broader than addresses are: too much hidden in an error's text is better than too little. Times of day stay.
_IPV6: Final = re.compile(
    r"(?<![0-9A-Fa-f])(?!\d?\d:\d\d:\d\d(?!\d|:[0-9A-Fa-f:]))(?:[0-9A-Fa-f]{0,4}:){2,}[0-9A-Fa-f.:]*[0-9A-Fa-f:]"
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{0,4}::(?![A-Za-z])"
)
# From the start of a run of digits only, and without giving any back: a long run would take quadratic time.
_IPV4: Final = re.compile(r"(?<!\d)\d++(?:\.\d++){3,}")
# An echoed signature or address may be escaped as in JSON or a URL, or both.
_ESCAPED: Final = re.compile(r"(?:\\u00|%)([2-7][0-9A-Fa-f])|\\(/)")
_NESTED_ESCAPES: Final = 3
_LONGEST_TEXT: Final = 300


def scrub(text: str) -> str:
    """Return an exchange's text fit to be shown: no IP address or secret, no control characters, 300 at the most."""
    return shorten(text, _LONGEST_TEXT, _clean)


def _clean(text: str) -> str:
    for _ in range(_NESTED_ESCAPES):
        text = _ESCAPED.sub(lambda found: found[2] or chr(int(found[1], 16)), text)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return redact(_IPV4.sub("[ip]", _IPV6.sub("[ip]", text)))


def _banned_until_ms(text: str) -> int | None:
    found = re.search(r"banned until (\d{13})\b", text)
    return int(found[1]) if found else None
