"""Answers, events and handshakes that echo the exporter's requests: whole, in part and in many encodings.

Each text begins with `MARK`, so that a test can see that it was shown at all.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from exporter.simulator.answer_edits import accompanied, body, error, field, raw
from support.secrets_system import MARK

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.answer_edits import Answer, Frame
    from exporter.simulator.connection import Connection
    from support.secrets_system import Recorder

IPV4: Final = "203.0.113.77"
IPV6: Final = ("2001:db8:85a3::8a2e:370:7334", "::ffff:198.51.100.23", "fe80::d00d%eth0", "[2001:db8::beef]:8443")

# The texts of errors, from a request's frame and parameters.
TEXTS: Final[dict[str, Callable[[str, dict[str, Any]], str]]] = {
    "query": lambda _, params: "&".join(f"{name}={params[name]}" for name in params),
    "key alone": lambda _, params: params["apiKey"],
    "signature alone": lambda _, params: params["signature"],
    "key in words": lambda _, params: f"API-key {params['apiKey']}, signature '{params['signature']}' is not valid.",
    "key in a path": lambda _, params: f"/fapi/v1/{params['apiKey']}/{params['signature']}/x",
    "frame": lambda frame, _: frame,
    "frame as JSON text": lambda frame, _: json.dumps(frame),
    "frame as repr": lambda frame, _: repr(repr(frame.encode())),
    "frame as base64": lambda frame, _: b64encode(frame.encode()).decode(),
    "frame as hex": lambda frame, _: frame.encode().hex(),
    "key as base64": lambda _, params: b64encode(params["apiKey"].encode()).decode(),
    "key as hex": lambda _, params: params["apiKey"].encode().hex().upper(),
    "key cut": lambda _, params: params["apiKey"][:20],
    "end of a key": lambda _, params: f"…{params['apiKey'][-25:]}",
    "key at the limit": lambda _, params: f"{'- ' * 130}{params['apiKey']}",
    "addresses": lambda _, params: f"{params['apiKey']} from {IPV4}, {', '.join(IPV6)}",
    "lines": lambda _, params: f"\r\n{params['apiKey'][:32]}\n{params['apiKey'][32:]}\x1b[31m{params['signature']}",
}
# Signatures are not registered for redaction: they are recognized by their form, if at all.
CUT_SIGNATURES: Final[dict[str, Callable[[str, dict[str, Any]], str]]] = {
    "escaped slashes": lambda _, params: params["signature"].replace("/", "\\/").replace("+", "\\u002b"),
    "signature cut": lambda _, params: params["signature"][:39],
    "end of a signature": lambda _, params: f"…{params['signature'][-30:]}",
    "signature at the limit": lambda _, params: f"{'- ' * 130}{params['signature']}",
    "signature quoted": lambda _, params: quote(params["signature"], safe=""),
    "signature spaced": lambda _, params: " ".join(params["signature"][at : at + 20] for at in range(0, 60, 20)),
}


def _errors(text: Callable[[str, dict[str, Any]], str], exchange: Recorder) -> Callable[[Answer], Frame]:
    def refuse(answer: Answer) -> Frame | list[Frame]:
        msg = f"{MARK} {text(exchange.last, exchange.params)}"
        return error(400, code=-1102, msg=msg)(answer)

    return refuse  # type: ignore[return-value]


def _event(exchange: Recorder, answer: Answer) -> Any:
    event = {"event": {"e": f"{MARK} {exchange.params}"}}
    return accompanied(json.dumps(event), exchange.last)(answer)


def _with(make: Callable[[Recorder], Callable[[Answer], Any]]) -> Callable[[Recorder], Callable[[Answer], Any]]:
    """Build the replacement for each answer, since it depends on the request."""

    def replacement(exchange: Recorder) -> Callable[[Answer], Any]:
        def replace(answer: Answer) -> Any:
            return make(exchange)(answer)

        return replace

    return replacement


# Frames with the request in unexpected places.
FRAMES: Final[dict[str, Callable[[Recorder], Callable[[Answer], Any]]]] = {
    "request as answer": _with(lambda exchange: raw(exchange.last)),
    "request as binary": _with(lambda exchange: raw(exchange.last.encode())),
    "garbage with request": _with(lambda exchange: raw(f"{{]{exchange.last}")),
    "request cut": _with(lambda exchange: raw(exchange.last[: len(exchange.last) * 2 // 3])),
    "key as id": _with(lambda exchange: field("id", exchange.params["apiKey"])),
    "key as status": _with(lambda exchange: field("status", exchange.params["apiKey"])),
    "key as code": _with(lambda exchange: error(400, code=exchange.params["apiKey"], msg=exchange.params)),
    "body without code": _with(lambda exchange: body({exchange.params["apiKey"]: f"{MARK} {exchange.params}"})),
    "error as text": _with(lambda exchange: body({"status": 400, "error": exchange.last})),
    "error of other names": _with(
        lambda exchange: error(400, **{exchange.params["apiKey"]: f"{MARK} {exchange.last}"})
    ),
    "null id": _with(
        lambda exchange: lambda _: {"id": None, "status": 400, "error": {"code": -1, "msg": f"{MARK} {exchange.last}"}}
    ),
    "event": lambda exchange: lambda answer: _event(exchange, answer),
    "rate limits": _with(lambda exchange: field("rateLimits", [exchange.params, exchange.last])),
    "result as text": _with(lambda exchange: field("result", exchange.last)),
    "result as request": _with(lambda exchange: field("result", exchange.params)),
    "figure": _with(lambda exchange: field("result.totalWalletBalance", exchange.params["apiKey"])),
    "figures as request": _with(lambda exchange: field("result.assets.*.walletBalance", exchange.params)),
    "rows as request": _with(lambda exchange: field("result.positions", [exchange.params, exchange.last])),
    "ban": _with(
        lambda exchange: error(
            400,
            code=-1102,
            msg=f"{MARK} {exchange.last}",
            data={"serverTime": exchange.last, "retryAfter": exchange.params["signature"]},
        )
    ),
}


def switch_answers(exchange: Recorder, name: str) -> None:
    """Switch the echo on for the account of the same name."""
    if name in FRAMES:
        exchange.replace_answer(None, name, FRAMES[name](exchange))
    else:
        exchange.replace_answer(None, name, _errors((TEXTS | CUT_SIGNATURES)[name], exchange))


def _close(exchange: Recorder) -> None:
    async def end(connection: Connection) -> None:
        params = exchange.params
        if "apiKey" in params:
            reason = f"{MARK} {params['apiKey']} {params['signature']}"
            # At most 123 bytes; a signature that does not fit is left out.
            await connection.close(1008, reason if len(reason) <= 123 else f"{MARK} {params['apiKey']} {IPV4}")

    exchange._closings.switch_on((2, end))


def _key(exchange: Recorder) -> str:
    (account,) = exchange.accounts.values()
    return account.api_key


def _garbled(answer: str) -> Callable[[Recorder], object]:
    return lambda exchange: exchange.garble_handshake(answer.replace("KEY", _key(exchange)).encode())


# Connections and handshakes that echo the key.
CONNECTIONS: Final[dict[str, Callable[[Recorder], object]]] = {
    "close reason": _close,
    "refusal's headers": lambda exchange: exchange.reject_handshake(
        403, {"X-Key": _key(exchange), "Retry-After": _key(exchange)}
    ),
    "redirect": lambda exchange: exchange.reject_handshake(
        302, {"Location": f"ws://127.0.0.1:1/?apiKey={_key(exchange)}"}
    ),
    "handshake is garbage": _garbled("KEY\r\nKEY\r\n\r\n"),
    "handshake's status": _garbled("HTTP/1.1 500 KEY\r\nKEY: KEY\r\n\r\n"),
    "handshake's upgrade": _garbled("HTTP/1.1 101 X\r\nUpgrade: KEY\r\nConnection: Upgrade\r\n\r\n"),
    "handshake's accept": _garbled(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\r\n"
    ),
    "handshake's header": _garbled("HTTP/1.1 101 X\r\nUpgrade websocket KEY\r\n\r\n"),
}
