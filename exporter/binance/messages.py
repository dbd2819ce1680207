"""The closed list of queries, encoding a request, decoding an answer. Nothing here does I/O or keeps state."""

from __future__ import annotations

import re
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from exporter.binance.errors import DecodeError, ExchangeError
from exporter.binance.rows import AccountFlags, AccountStatus, PositionRisk

if TYPE_CHECKING:
    from collections.abc import Mapping


class Method(StrEnum):
    """Every method this program is able to send: queries of one's own account, nothing that changes anything."""

    ACCOUNT_STATUS = "v2/account.status"
    ACCOUNT_POSITION = "v2/account.position"
    ACCOUNT_STATUS_V1 = "account.status"
    SESSION_STATUS = "session.status"


WEIGHT: Final[Mapping[Method, int]] = {
    Method.ACCOUNT_STATUS: 5,
    Method.ACCOUNT_POSITION: 5,
    # By the WebSocket API reference of USDⓈ-M futures in Binance's developer documentation, as of August 2026. An
    # announcement of 2024 said 10.
    Method.ACCOUNT_STATUS_V1: 5,
    Method.SESSION_STATUS: 2,
}
HANDSHAKE_WEIGHT: Final = 5

_LAST_MS: Final = 10**14  # in the year 5138
ServerTime = Annotated[int, Meta(ge=1_500_000_000_000, le=_LAST_MS)]  # an exchange that says 1970 does not know


class SessionStatus(Struct, frozen=True, kw_only=True):
    """The ``result`` of ``session.status``, of which only the exchange's clock is of use."""

    server_time_ms: ServerTime = field(name="serverTime")


class RateLimit(Struct, frozen=True, kw_only=True):
    """One row of ``rateLimits``; `count` is the whole IP's in the current minute, this request included."""

    kind: str = field(name="rateLimitType")
    interval: str
    interval_num: int = field(name="intervalNum")
    limit: int
    count: int


class _ErrorBody(Struct, frozen=True):
    """An error; its parts stay undecoded, since any may be missing or of another type."""

    code: Raw = Raw()
    msg: Raw = Raw()
    data: Raw = Raw()


class _ErrorData(Struct, frozen=True):
    """The times that an error may carry, epoch milliseconds; documented for Spot alone."""

    retry_after: Raw = field(name="retryAfter", default=Raw())
    server_time: Raw = field(name="serverTime", default=Raw())


class _Event(Struct, frozen=True):
    """An unsolicited event, of which only the name is used."""

    name: str = field(name="e", default="")


class FrameKind(Enum):
    """What a text frame is, before anybody is found to whom it belongs."""

    ANSWER = "answer"
    NULL_ID = "null_id"
    EVENT = "event"


class Envelope(Struct, frozen=True, kw_only=True):
    """The frame around every answer; its parts stay undecoded until someone asks for them."""

    id: int | str | None = None
    status: int | None = None
    result: Raw = Raw()
    error: Raw = Raw()
    event: Raw = Raw()
    rate_limits: Raw = field(name="rateLimits", default=Raw())

    @property
    def kind(self) -> FrameKind:
        """Tell answers from errors without an id and from events nobody asked for."""
        if self.id is not None:
            return FrameKind.ANSWER
        return FrameKind.EVENT if self.status is None and not self.failed else FrameKind.NULL_ID

    @property
    def failed(self) -> bool:
        """Whether the answer holds an error; null is none."""
        return bool(self.error) and bytes(self.error) != b"null"


_Wire = TypeVar("_Wire")
_encoder = msgspec.json.Encoder()
_envelopes = msgspec.json.Decoder(Envelope, strict=False)
_account_statuses = msgspec.json.Decoder(AccountStatus, strict=False)
_position_risks = msgspec.json.Decoder(tuple[PositionRisk, ...], strict=False)
_account_flags = msgspec.json.Decoder(AccountFlags)
_session_statuses = msgspec.json.Decoder(SessionStatus, strict=False)
_rate_limits = msgspec.json.Decoder(list[Raw])
_rate_limit = msgspec.json.Decoder(RateLimit, strict=False)
_error_bodies = msgspec.json.Decoder(_ErrorBody)
_error_data = msgspec.json.Decoder(_ErrorData)
_events = msgspec.json.Decoder(_Event)
_texts = msgspec.json.Decoder(str)
_codes = msgspec.json.Decoder(Annotated[int, Meta(ge=-(10**9), le=10**9)], strict=False)
_server_times = msgspec.json.Decoder(ServerTime, strict=False)
_objects = msgspec.json.Decoder(dict[str, Any])
# Larger than this, a part that is decoded without a type is not looked at: it would cost time and memory to no end.
_LARGEST_UNTYPED_BYTES: Final = 16 * 1024


def encode_request(request_id: int, method: Method, params: Mapping[str, str | int]) -> str:
    """Return the text frame of a request.

    Raises:
        ValueError: `method` is none of :class:`Method`.
    """
    request: dict[str, object] = {"id": request_id, "method": Method(method).value}
    if params:
        request["params"] = params
    return _encoder.encode(request).decode()


def decode_envelope(frame: str) -> Envelope:
    """Return the frame's envelope.

    Raises:
        DecodeError: it is no JSON object of that shape.
    """
    return _decode(_envelopes, frame, "answer")


def find_id(frame: str) -> int | None:
    """Return the request's id in a frame that cannot be decoded: it stands at its beginning."""
    found = re.match(r'\s*\{\s*"id"\s*:\s*(\d{1,18})\s*,', frame)
    return int(found[1]) if found else None


def decode_account_status(result: Raw) -> AccountStatus:
    """Decode the ``result`` of ``v2/account.status``.

    Raises:
        DecodeError: it lacks what an account cannot be without, or holds a value of the wrong kind.
    """
    return _decode_result(_account_statuses, result)


def decode_position_risk(result: Raw) -> tuple[PositionRisk, ...]:
    """Decode the ``result`` of ``v2/account.position``.

    Raises:
        DecodeError: it is no list, or a row lacks its identity or holds a value of the wrong kind.
    """
    return _decode_result(_position_risks, result)


def decode_multi_assets(result: Raw) -> bool:
    """Decode ``multiAssetsMargin`` of v1 ``account.status``.

    Raises:
        DecodeError: it is missing or no boolean.
    """
    return _decode_result(_account_flags, result).multi_assets


def decode_session_status(result: Raw) -> SessionStatus:
    """Decode the ``result`` of ``session.status``.

    Raises:
        DecodeError: it tells no time.
    """
    return _decode_result(_session_statuses, result)


def decode_error(envelope: Envelope) -> ExchangeError:
    """Return the error that an answer tells, or all of it that can be made out."""
    body = _lenient(_error_bodies, envelope.error) or _ErrorBody()
    data = _lenient(_error_data, body.data) or _ErrorData()
    text = _lenient(_texts, body.msg) or _lenient(_texts, envelope.error)
    if not text:
        # Maintenance has been seen to send {"239999": "The system is under maintenance"}, without code or msg.
        values = (_lenient(_objects, envelope.error, _LARGEST_UNTYPED_BYTES) or {}).values()
        text = next((value for value in values if isinstance(value, str) and value), "")
    return ExchangeError(
        envelope.status,
        _lenient(_codes, body.code),
        text,
        retry_at_ms=_retry_at_ms(data.retry_after),
        server_time_ms=_lenient(_server_times, data.server_time),
    )


def decode_request_weight(rate_limits: Raw) -> RateLimit | None:
    """Return the row of the request weight a minute, or None where it is hidden or makes no sense."""
    for raw in _lenient(_rate_limits, rate_limits, _LARGEST_UNTYPED_BYTES) or ():
        row = _lenient(_rate_limit, raw)
        if row and (row.kind, row.interval, row.interval_num) == ("REQUEST_WEIGHT", "MINUTE", 1):
            return row
    return None


def decode_event_name(event: Raw) -> str:
    """Return the ``e`` of an event, or an empty text."""
    return (_lenient(_events, event) or _Event()).name


def _retry_at_ms(raw: Raw) -> int | None:
    """Return a moment in epoch milliseconds, sent as an integer, a float or text; None where it is none of these."""
    try:
        at_ms = float(bytes(raw).strip(b'"'))
    except ValueError:
        return None
    return int(min(at_ms, _LAST_MS)) if at_ms >= 0 else None  # not NaN either


def _decode(decoder: msgspec.json.Decoder[_Wire], encoded: Raw | str, name: str) -> _Wire:
    try:
        return decoder.decode(encoded)
    except RecursionError:
        raise DecodeError(name, "is nested too deeply") from None
    except UnicodeError:
        raise DecodeError(name, "is no Unicode text") from None
    except msgspec.DecodeError as fault:
        # msgspec names types and the path, never a value: "Expected `str`, got `int` - at `$.assets[1].asset`"
        what, _, where = str(fault).partition(" - at `$")
        path = name + where.rstrip("`")
        if missing := re.fullmatch(r"Object missing required field `(.+)`", what):
            raise DecodeError(f"{path}.{missing[1]}", "is missing") from None
        raise DecodeError(path, what) from None


def _decode_result(decoder: msgspec.json.Decoder[_Wire], result: Raw) -> _Wire:
    if not result:
        raise DecodeError("result", "is missing")
    return _decode(decoder, result, "result")


def _lenient(decoder: msgspec.json.Decoder[_Wire], raw: Raw, most_bytes: int | None = None) -> _Wire | None:
    if not raw or (most_bytes is not None and len(memoryview(raw)) > most_bytes):
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
