"""The methods that may be requested, how requests are encoded and how responses are decoded; without I/O and state."""

from __future__ import annotations

import re
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from exporter.binance.errors import DecodeError, ExchangeError
from exporter.binance.rows import AccountStatus, PositionRisk

if TYPE_CHECKING:
    from collections.abc import Mapping


class Method(StrEnum):
    """Every method that this program can request: they only read the account, none changes anything."""

    ACCOUNT_STATUS = "v2/account.status"
    ACCOUNT_POSITION = "v2/account.position"
    ACCOUNT_STATUS_V1 = "account.status"
    SESSION_STATUS = "session.status"


WEIGHT: Final[Mapping[Method, int]] = {
    Method.ACCOUNT_STATUS: 5,
    Method.ACCOUNT_POSITION: 5,
    # According to the WebSocket API reference of USDⓈ-M futures in Binance's developer documentation of August 2026; an
    # announcement of 2024 said 10.
    Method.ACCOUNT_STATUS_V1: 5,
    Method.SESSION_STATUS: 2,
}
HANDSHAKE_WEIGHT: Final = 5

_MAX_MS: Final = 10**14  # in the year 5138
ServerTimeMs = Annotated[
    int, Meta(ge=1_500_000_000_000, le=_MAX_MS)
]  # a time of 1970 comes from a clock that was never set


class SessionStatus(Struct, frozen=True, kw_only=True):
    """The ``result`` of ``session.status``, of which only the exchange's time is used."""

    server_time_ms: ServerTimeMs = field(name="serverTime")


class RateLimit(Struct, frozen=True, kw_only=True):
    """One row of ``rateLimits``; `count` is the whole IP's in the current minute, including this request."""

    kind: str = field(name="rateLimitType")
    interval: str
    interval_num: int = field(name="intervalNum")
    limit: int
    count: int


class _ErrorBody(Struct, frozen=True):
    """An error; its fields stay undecoded, since any may be missing or of another type."""

    code: Raw = Raw()
    msg: Raw = Raw()
    data: Raw = Raw()


class _ErrorData(Struct, frozen=True):
    """The times that an error may contain, in epoch milliseconds; documented only for Spot."""

    retry_after: Raw = field(name="retryAfter", default=Raw())
    server_time: Raw = field(name="serverTime", default=Raw())


class _Event(Struct, frozen=True):
    """An unsolicited event, of which only the name is used."""

    name: str = field(name="e", default="")


class FrameKind(Enum):
    """What a text frame is, before it is matched to a request."""

    RESPONSE = "response"
    NULL_ID = "null_id"
    EVENT = "event"


class Envelope(Struct, frozen=True, kw_only=True):
    """The frame around every response; its fields stay undecoded until they are needed."""

    id: int | str | None = None
    status: int | None = None
    result: Raw = Raw()
    error: Raw = Raw()
    event: Raw = Raw()
    rate_limits: Raw = field(name="rateLimits", default=Raw())

    @property
    def kind(self) -> FrameKind:
        """Distinguish responses from errors without an id and from unsolicited events."""
        if self.id is not None:
            return FrameKind.RESPONSE
        return FrameKind.EVENT if self.status is None and not self.failed else FrameKind.NULL_ID

    @property
    def failed(self) -> bool:
        """Whether the response contains an error; null counts as none."""
        return bool(self.error) and bytes(self.error) != b"null"


_Decoded = TypeVar("_Decoded")
_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(Envelope, strict=False)
_account_status_decoder = msgspec.json.Decoder(AccountStatus, strict=False)
_position_risk_decoder = msgspec.json.Decoder(tuple[PositionRisk, ...], strict=False)
_session_status_decoder = msgspec.json.Decoder(SessionStatus, strict=False)
_rate_limits_decoder = msgspec.json.Decoder(list[Raw])
_rate_limit_decoder = msgspec.json.Decoder(RateLimit, strict=False)
_error_body_decoder = msgspec.json.Decoder(_ErrorBody)
_error_data_decoder = msgspec.json.Decoder(_ErrorData)
_event_decoder = msgspec.json.Decoder(_Event)
_text_decoder = msgspec.json.Decoder(str)
_code_decoder = msgspec.json.Decoder(Annotated[int, Meta(ge=-(10**9), le=10**9)], strict=False)
_server_time_decoder = msgspec.json.Decoder(ServerTimeMs, strict=False)
_object_decoder = msgspec.json.Decoder(dict[str, Any])
# A larger field is not decoded without a type: it would only cost time and memory.
_MAX_UNTYPED_BYTES: Final = 16 * 1024


def encode_request(request_id: int, method: Method, params: Mapping[str, str | int]) -> str:
    """Return the text frame of a request.

    Raises:
        ValueError: `method` is not a :class:`Method`.
    """
    request: dict[str, object] = {"id": request_id, "method": Method(method).value}
    if params:
        request["params"] = params
    return _encoder.encode(request).decode()


def decode_envelope(frame: str) -> Envelope:
    """Return the frame's envelope.

    Raises:
        DecodeError: it is not a JSON object of that shape.
    """
    return decode(_envelope_decoder, frame, "response")


def find_request_id(frame: str) -> int | None:
    """Return the request's id in a frame that cannot be decoded; the id is its first field."""
    match = re.match(r'\s*\{\s*"id"\s*:\s*(\d{1,18})\s*,', frame)
    return int(match[1]) if match else None


def decode_account_status(result: Raw) -> AccountStatus:
    """Decode the ``result`` of ``v2/account.status``.

    Raises:
        DecodeError: a required field is missing, or a value has the wrong type.
    """
    return decode_result(_account_status_decoder, result)


def decode_position_risk(result: Raw) -> tuple[PositionRisk, ...]:
    """Decode the ``result`` of ``v2/account.position``.

    Raises:
        DecodeError: it is not a list, or a row lacks its identity or has a value of the wrong type.
    """
    return decode_result(_position_risk_decoder, result)


def decode_session_status(result: Raw) -> SessionStatus:
    """Decode the ``result`` of ``session.status``.

    Raises:
        DecodeError: it does not contain a time.
    """
    return decode_result(_session_status_decoder, result)


def decode_error(envelope: Envelope) -> ExchangeError:
    """Return the error of a response, with as much of it as can be decoded."""
    body = decode_or_none(_error_body_decoder, envelope.error) or _ErrorBody()
    data = decode_or_none(_error_data_decoder, body.data) or _ErrorData()
    text = decode_or_none(_text_decoder, body.msg) or decode_or_none(_text_decoder, envelope.error)
    if not text:
        # During maintenance Binance has sent {"239999": "The system is under maintenance"}, without code or msg.
        values = (decode_or_none(_object_decoder, envelope.error, _MAX_UNTYPED_BYTES) or {}).values()
        text = next((value for value in values if isinstance(value, str) and value), "")
    return ExchangeError(
        envelope.status,
        decode_or_none(_code_decoder, body.code),
        text,
        retry_at_ms=_retry_at_ms(data.retry_after),
        server_time_ms=decode_or_none(_server_time_decoder, data.server_time),
    )


def decode_request_weight(rate_limits: Raw) -> RateLimit | None:
    """Return the row of the request weight per minute, or None if it is missing or malformed."""
    for raw in decode_or_none(_rate_limits_decoder, rate_limits, _MAX_UNTYPED_BYTES) or ():
        row = decode_or_none(_rate_limit_decoder, raw)
        if row and (row.kind, row.interval, row.interval_num) == ("REQUEST_WEIGHT", "MINUTE", 1):
            return row
    return None


def decode_event_name(event: Raw) -> str:
    """Return the ``e`` of an event, or an empty text."""
    return (decode_or_none(_event_decoder, event) or _Event()).name


def _retry_at_ms(raw: Raw) -> int | None:
    """Return a moment in epoch milliseconds, sent as an integer, a float or text; None if it is none of these."""
    try:
        at_ms = float(bytes(raw).strip(b'"'))
    except ValueError:
        return None
    return int(min(at_ms, _MAX_MS)) if at_ms >= 0 else None  # not NaN either


def decode(decoder: msgspec.json.Decoder[_Decoded], encoded: Raw | str, name: str) -> _Decoded:
    """Decode a frame, or a part of one that errors call `name`.

    Raises:
        DecodeError: `encoded` is not what the decoder expects.
    """
    try:
        return decoder.decode(encoded)
    except RecursionError:
        raise DecodeError(name, "is nested too deeply") from None
    except UnicodeError:
        raise DecodeError(name, "is not valid Unicode text") from None
    except msgspec.DecodeError as error:
        # msgspec names types and the path, never a value: "Expected `str`, got `int` - at `$.assets[1].asset`"
        problem, _, location = str(error).partition(" - at `$")
        path = name + location.rstrip("`")
        if missing := re.fullmatch(r"Object missing required field `(.+)`", problem):
            raise DecodeError(f"{path}.{missing[1]}", "is missing") from None
        raise DecodeError(path, problem) from None


def decode_result(decoder: msgspec.json.Decoder[_Decoded], result: Raw) -> _Decoded:
    """Decode a ``result``.

    Raises:
        DecodeError: it is missing, or not what the decoder expects.
    """
    if not result:
        raise DecodeError("result", "is missing")
    return decode(decoder, result, "result")


def decode_or_none(decoder: msgspec.json.Decoder[_Decoded], raw: Raw, max_bytes: int | None = None) -> _Decoded | None:
    """Return the decoded value, or None if it is missing, malformed or larger than `max_bytes`."""
    if not raw or (max_bytes is not None and len(memoryview(raw)) > max_bytes):
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
