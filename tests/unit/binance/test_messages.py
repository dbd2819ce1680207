"""Requests as they are encoded, and responses as they are decoded: envelopes, errors and rate limits."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from exporter.binance.errors import Action, DecodeError, Reason, Verdict, classify
from exporter.binance.messages import (
    WEIGHT,
    FrameKind,
    Method,
    RateLimit,
    decode_envelope,
    decode_error,
    decode_event_name,
    decode_request_weight,
    decode_session_status,
    encode_request,
    find_request_id,
)

WEIGHT_ROW = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400, "count": 10}
WEIGHT_LIMIT = RateLimit(kind="REQUEST_WEIGHT", interval="MINUTE", interval_num=1, limit=2400, count=10)


class TestRequests:
    """What is sent."""

    def test_request_is_one_json_object(self) -> None:
        """A request holds its id, its method and its parameters, numbers as numbers."""
        params: dict[str, str | int] = {"apiKey": "币", "timestamp": 1, "recvWindow": 5000}
        frame = encode_request(7, Method.ACCOUNT_STATUS, params)

        assert {"id": 7, "method": "v2/account.status", "params": params} == json.loads(frame)

    def test_request_without_parameters_has_none(self) -> None:
        """A request without parameters says nothing of them."""
        assert {"id": 1, "method": "session.status"} == json.loads(encode_request(1, Method.SESSION_STATUS, {}))

    @pytest.mark.parametrize("method", ["order.place", "v2/account.balance", "session.logon", "", "V2/ACCOUNT.STATUS"])
    def test_other_methods_cannot_be_encoded(self, method: str) -> None:
        """A method that is not on the list cannot be sent."""
        with pytest.raises(ValueError, match="is not a valid Method"):
            encode_request(1, method, {})  # type: ignore[arg-type]

    def test_every_method_has_its_weight(self) -> None:
        """Only queries are on the list, and each has a weight above zero."""
        assert set(Method) == {method for method, weight in WEIGHT.items() if weight > 0}
        assert [] == [method for method in Method if not method.endswith((".status", ".position"))]


class TestSessionStatus:
    """The result of session.status."""

    @pytest.mark.parametrize(
        "result", [b'{"apiKey":null,"serverTime":1649729878532}', b'{"serverTime":"1649729878532"}']
    )
    def test_exchange_time_is_read(self, result: bytes) -> None:
        """The exchange's time is read, whatever else there is."""
        assert 1649729878532 == decode_session_status(Raw(result)).server_time_ms

    @pytest.mark.parametrize(
        ("result", "path"),
        [
            (b'{"serverTime":null}', "result.serverTime"),
            (b'{"serverTime":-1}', "result.serverTime"),
            (b'{"serverTime":1.5}', "result.serverTime"),
            (b"{}", "result.serverTime"),
            (b"null", "result"),
            (b"", "result"),
        ],
    )
    def test_answer_without_a_time_fails(self, result: bytes, path: str) -> None:
        """A response without a time fails with the path."""
        with pytest.raises(DecodeError) as caught:
            decode_session_status(Raw(result))

        assert path == caught.value.path


class TestEnvelopes:
    """The frame around every answer."""

    @pytest.mark.parametrize(
        ("frame", "kind"),
        [
            ('{"id":1,"status":200,"result":{}}', FrameKind.RESPONSE),
            ('{"id":"1","status":400,"error":{}}', FrameKind.RESPONSE),
            ('{"id":0,"event":{"e":"x"}}', FrameKind.RESPONSE),
            ('{"id":null,"status":401,"error":{"code":-2015,"msg":"revoked"}}', FrameKind.NULL_ID),
            ('{"status":200,"result":{}}', FrameKind.NULL_ID),
            ('{"error":{"code":-1000}}', FrameKind.NULL_ID),
            ('{"event":{"e":"serverShutdown","E":1}}', FrameKind.EVENT),
            ('{"id":null,"event":{"e":"serverShutdown"},"new":[1]}', FrameKind.EVENT),
            ('{"id":null,"error":null,"event":{"e":"serverShutdown"}}', FrameKind.EVENT),
            ("{}", FrameKind.EVENT),
        ],
    )
    def test_frame_is_a_response_an_error_without_id_or_an_event(self, frame: str, kind: FrameKind) -> None:
        """A frame with an id is a response, one with only a status or an error has no request, the rest are events."""
        assert kind is decode_envelope(frame).kind

    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            ('{"id":1,"status":"200"}', (1, 200)),
            ('{"id":"1"}', ("1", None)),
            ('{"id":"abc","status":418}', ("abc", 418)),
        ],
    )
    def test_id_and_status_are_read(self, frame: str, expected: tuple[int | str, int | None]) -> None:
        """The id keeps its type, number or text; the status is a number."""
        assert expected == (decode_envelope(frame).id, decode_envelope(frame).status)

    @pytest.mark.parametrize(
        "frame",
        [
            *("", "hello", "null", "[]", '"x"', "1", '{"id":1', '{"id":true}', '{"id":1.5}', '{"id":1} {"id":2}'),
            *('{"id":1,"status":"x"}', '{"id":[]}', '{"id":"\\ud800"}', "\ud800", "<html>"),
            '{"id":1,"result":' + "[" * 100_000 + "]" * 100_000 + "}",
        ],
        ids=lambda frame: ascii(frame[:20]),
    )
    def test_anything_else_is_refused_with_its_path(self, frame: str) -> None:
        """A frame that is not an envelope is a decode error, never another exception."""
        with pytest.raises(DecodeError) as caught:
            decode_envelope(frame)

        assert caught.value.path.partition(".")[0] == "response"

    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            ('{"id":7,"status":200,"result":{"total', 7),
            (' { "id" : 12 , "status": NaN}', 12),
            ('{"id":"7","status":', None),
            ('{"status":200,"id":7', None),
            ("[7", None),
            ("", None),
        ],
    )
    def test_id_of_a_broken_answer_is_found(self, frame: str, expected: int | None) -> None:
        """The id of a frame that cannot be decoded is read where it stands first, as in Binance's answers."""
        assert expected == find_request_id(frame)

    @pytest.mark.parametrize(
        ("event", "name"),
        [(b'{"e":"serverShutdown","E":1}', "serverShutdown"), (b'{"e":5}', ""), (b"{}", ""), (b"[]", ""), (b"", "")],
    )
    def test_event_is_named_where_it_has_a_name(self, event: bytes, name: str) -> None:
        """An event's name is its text `e`, else nothing."""
        assert name == decode_event_name(Raw(event))


class TestErrors:
    """The error of an answer."""

    @pytest.mark.parametrize(
        ("error", "code", "text", "times"),
        [
            ('{"code":-1121,"msg":"Invalid symbol."}', -1121, "Invalid symbol.", (None, None)),
            ('{"code":"-1121","msg":"Invalid symbol."}', -1121, "Invalid symbol.", (None, None)),
            (
                '{"code":-1003,"msg":"Banned","data":{"serverTime":1659146300000,"retryAfter":1659146400000}}',
                *(-1003, "Banned", (1659146400000, 1659146300000)),
            ),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":"1659146400000"}}', -1003, "x", (1659146400000, None)),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":"1659146400000.5"}}', -1003, "x", (1659146400000, None)),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":1659146400000.0}}', -1003, "x", (1659146400000, None)),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":1e308}}', -1003, "x", (10**14, None)),
            (f'{{"code":-1003,"msg":"x","data":{{"retryAfter":{"9" * 5000}}}}}', -1003, "x", (10**14, None)),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":-1}}', -1003, "x", (None, None)),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":"nan"}}', -1003, "x", (None, None)),
            ('{"code":-1003,"msg":"x","data":{"retryAfter":[]}}', -1003, "x", (None, None)),
            ('{"code":-1021,"msg":"x","data":{"serverTime":7}}', -1021, "x", (None, None)),
            ('{"code":-1021,"msg":"x","data":{"serverTime":1e300}}', -1021, "x", (None, None)),
            ('{"code":[-1121],"msg":"x"}', None, "x", (None, None)),
            (f'{{"code":{"9" * 5000},"msg":"x"}}', None, "x", (None, None)),
            ('{"code":-1003,"msg":"x","data":null}', -1003, "x", (None, None)),
            ('{"code":-1003,"msg":"x","data":[]}', -1003, "x", (None, None)),
            ('{"code":-1003}', -1003, "", (None, None)),
            ('{"msg":"words"}', None, "words", (None, None)),
            ('{"239999":"The system is under maintenance"}', None, "The system is under maintenance", (None, None)),
            (
                '"IP banned until 1659146400000"',
                *(None, "IP banned until 1659146400000", (1659146400000, None)),
            ),
            ('{"1":2,"3":"","239999":"maintenance"}', None, "maintenance", (None, None)),
            *((error, None, "", (None, None)) for error in ("{}", "null", "[]", '""', "7", '{"x":{}}')),
        ],
    )
    def test_everything_decodable_is_reported(
        self, error: str, code: int | None, text: str, times: tuple[int | None, int | None]
    ) -> None:
        """The code, text and times of an error are decoded if they are there, and nothing fails if not."""
        decoded = decode_error(decode_envelope(f'{{"id":1,"status":400,"error":{error}}}'))

        assert (400, code, text, times) == (
            decoded.status,
            decoded.code,
            decoded.text,
            (decoded.retry_at_ms, decoded.server_time_ms),
        )

    def test_status_alone_is_an_error(self) -> None:
        """An answer with a bad status and no error is an error that the status decides."""
        decoded = decode_error(decode_envelope('{"id":1,"status":418}'))

        assert Verdict(Action.WAIT, Reason.BANNED) == classify(decoded)


class TestRateLimits:
    """The rateLimits of an answer."""

    @pytest.mark.parametrize(
        "rows",
        [
            [WEIGHT_ROW],
            [WEIGHT_ROW | {"limit": "2400", "count": "10"}],
            [WEIGHT_ROW, WEIGHT_ROW | {"count": 99}],
            [
                *(WEIGHT_ROW | {"rateLimitType": "ORDERS"}, WEIGHT_ROW | {"interval": "DAY"}),
                *(WEIGHT_ROW | {"intervalNum": 5}, {}, None, 7, "x", WEIGHT_ROW | {"limit": None}),
                WEIGHT_ROW,
            ],
        ],
        ids=["alone", "as text", "twice", "among others"],
    )
    def test_weight_per_minute_is_found(self, rows: list[object]) -> None:
        """The row of the request weight a minute is found among others and broken ones."""
        assert WEIGHT_LIMIT == decode_request_weight(Raw(json.dumps(rows).encode()))

    @pytest.mark.parametrize(
        "rate_limits",
        [b"", b"null", b"[]", b"{}", b'"x"', b"[null]", b"[", json.dumps([WEIGHT_ROW | {"count": 1.5}]).encode()],
    )
    def test_hidden_or_broken_limits_are_none(self, rate_limits: bytes) -> None:
        """Limits that are hidden or make no sense are None, never an exception."""
        assert None is decode_request_weight(Raw(rate_limits))


def test_endless_parts_are_not_decoded() -> None:
    """Rate limits of a million rows, and an error of as many unknown fields, are passed over."""
    rows = Raw(b"[" + b"{}," * 10**6 + b"{}]")
    fields = ",".join(f'"{number}":"x"' for number in range(10**5))

    assert decode_request_weight(rows) is None
    assert "" == decode_error(decode_envelope(f'{{"id":1,"status":500,"error":{{{fields}}}}}')).text
