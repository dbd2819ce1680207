"""The wire format: encoded requests, well-formed responses, and the errors of malformed ones."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support.builders import any_text

from exporter.binance.errors import Action, DecodeError, Reason, Verdict, classify
from exporter.binance.messages import (
    WEIGHT,
    Envelope,
    FrameKind,
    Method,
    RateLimit,
    decode_account_status,
    decode_envelope,
    decode_error,
    decode_event_name,
    decode_position_risk,
    decode_request_weight,
    decode_session_status,
    encode_request,
    find_request_id,
)
from exporter.binance.rows import AccountStatus, AssetBalance, Position, PositionRisk

TIME_MS = 1625474304765
TOTALS = {
    "totalInitialMargin": ("initial_margin", 21.5921),
    "totalMaintMargin": ("maintenance_margin", 0.863684),
    "totalWalletBalance": ("wallet_balance", 103.12345678),
    "totalUnrealizedProfit": ("unrealized_pnl", -1.23),
    "totalMarginBalance": ("margin_balance", 101.89345678),
    "totalPositionInitialMargin": ("position_initial_margin", 21.25),
    "totalOpenOrderInitialMargin": ("open_order_initial_margin", 0.3421),
    "totalCrossWalletBalance": ("cross_wallet_balance", 99.5),
    "totalCrossUnPnl": ("cross_unrealized_pnl", -1.5),
    "availableBalance": ("available_balance", 80.30135678),
    "maxWithdrawAmount": ("max_withdraw_amount", 79.0),
}
ASSET = {
    "walletBalance": ("wallet_balance", 1.0),
    "unrealizedProfit": ("unrealized_pnl", -2.25),
    "marginBalance": ("margin_balance", 3.0),
    "maintMargin": ("maintenance_margin", 4.0),
    "initialMargin": ("initial_margin", 5.0),
    "positionInitialMargin": ("position_initial_margin", 6.0),
    "openOrderInitialMargin": ("open_order_initial_margin", 7.0),
    "crossWalletBalance": ("cross_wallet_balance", 8.0),
    "crossUnPnl": ("cross_unrealized_pnl", -9.0),
    "availableBalance": ("available_balance", 10.0),
    "maxWithdrawAmount": ("max_withdraw_amount", 11.0),
}
POSITION = {
    "unrealizedProfit": ("unrealized_pnl", -1.23),
    "isolatedMargin": ("isolated_margin", 12.0),
    "notional": ("notional", -215.921),
    "isolatedWallet": ("isolated_wallet_balance", 13.0),
    "initialMargin": ("initial_margin", 14.0),
    "maintMargin": ("maintenance_margin", 15.0),
}
# Where each figure stands, as a path within the result.
FIGURES = [
    *((name,) for name in TOTALS),
    *(("assets", 0, name) for name in ASSET),
    *(("positions", 0, name) for name in (*POSITION, "positionAmt")),
]
OPTIONAL = [
    *FIGURES[:-1],
    ("assets", 0, "marginAvailable"),
    ("assets", 0, "updateTime"),
    ("positions", 0, "updateTime"),
]
REQUIRED: list[tuple[tuple[str | int, ...], object]] = [
    (("assets",), {}),
    (("assets",), "[]"),
    (("assets", 0), "USDT"),
    (("assets", 0, "asset"), 1),
    (("positions",), False),
    (("positions", 0), []),
    (("positions", 0, "symbol"), 1),
    (("positions", 0, "positionSide"), True),
    (("positions", 0, "positionAmt"), {}),
]


def texts(figures: dict[str, tuple[str, float]]) -> dict[str, object]:
    """Return the figures as Binance writes them."""
    return {name: f"{value:.8f}" for name, (_, value) in figures.items()}


def attributes(figures: dict[str, tuple[str, float]]) -> dict[str, Any]:
    """Return the figures under our names."""
    return dict(figures.values())


def a_result() -> dict[str, Any]:
    """Return a result of v2/account.status with every field, each figure different."""
    asset = {"asset": "USDT", **texts(ASSET), "marginAvailable": True, "updateTime": TIME_MS}
    position = {"symbol": "币安人生USDT", "positionSide": "SHORT", "positionAmt": "-0.002", **texts(POSITION)}
    return {**texts(TOTALS), "assets": [asset], "positions": [{**position, "updateTime": TIME_MS + 1}]}


def corrupted(path: tuple[str | int, ...], json_value: str | None) -> Raw:
    """Return the full result with other JSON at `path`, or without it."""
    result = a_result()
    inner: Any = result
    for step in path[:-1]:
        inner = inner[step]
    if json_value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = "@@"
    return Raw(json.dumps(result).replace('"@@"', json_value or "").encode())


def path_text(path: tuple[str | int, ...]) -> str:
    """Return a path as errors show it."""
    return "result" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def fault_of(result: Raw) -> tuple[str, str]:
    """Return the path and the text of the fault in a result."""
    with pytest.raises(DecodeError) as caught:
        decode_account_status(result)
    return caught.value.path, str(caught.value)


def envelope(frame: str) -> Envelope:
    """Return the envelope of a frame that has one."""
    decoded = decode_envelope(frame)
    assert decoded is not None
    return decoded


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


class TestAccountStatus:
    """The result of v2/account.status."""

    def test_every_field_lands_where_it_belongs(self) -> None:
        """Every total, asset figure and position figure is read under its own name."""
        asset = AssetBalance(asset="USDT", margin_available=True, update_time_ms=TIME_MS, **attributes(ASSET))
        position = Position(
            symbol="币安人生USDT",
            position_side="SHORT",
            amount=-0.002,
            update_time_ms=TIME_MS + 1,
            **attributes(POSITION),
        )
        expected = AccountStatus(assets=(asset,), positions=(position,), **attributes(TOTALS))
        whole = envelope(json.dumps({"id": "1", "status": 200, "result": a_result()}))

        assert expected == decode_account_status(whole.result)

    @pytest.mark.parametrize("json_value", [None, "null"])
    @pytest.mark.parametrize("path", OPTIONAL, ids=path_text)
    def test_missing_figure_is_none_and_alone(self, path: tuple[str | int, ...], json_value: str | None) -> None:
        """A figure that is missing or null is None, and nothing else changes."""
        decoded = msgspec.to_builtins(decode_account_status(corrupted(path, json_value)))
        whole = msgspec.to_builtins(decode_account_status(corrupted(path, "1")))
        for step in path[:-1]:
            decoded, whole = decoded[step], whole[step]

        assert None is decoded.pop(path[-1])
        assert (whole.pop(path[-1]), whole) == (1, decoded)

    @given(st.dictionaries(any_text, st.recursive(st.none() | st.floats() | any_text, st.lists, max_leaves=5)))
    def test_unknown_fields_are_ignored(self, unknown: dict[str, object]) -> None:
        """Unknown fields change nothing, at any place and with any content."""
        result = a_result()
        expected = decode_account_status(Raw(json.dumps(result).encode()))
        more = {f"new {name}": value for name, value in unknown.items()}
        more_of_all = more | result | {name: [more | result[name][0]] for name in ("assets", "positions")}

        assert expected == decode_account_status(Raw(msgspec.json.encode(more_of_all)))

    def test_empty_lists_are_an_account_without_positions(self) -> None:
        """An account without assets and positions is decoded as such."""
        decoded = decode_account_status(Raw(b'{"assets":[],"positions":[]}'))

        assert ((), (), None) == (decoded.assets, decoded.positions, decoded.wallet_balance)

    @pytest.mark.parametrize(
        ("json_value", "figure"),
        [
            ('"-0.00000000"', 0.0),
            ("1.5", 1.5),
            ("-3", -3.0),
            ('"1e-7"', 1e-7),
            ('"123456789.12345678"', 123456789.12345678),
        ],
    )
    def test_figure_is_a_number_or_its_text(self, json_value: str, figure: float) -> None:
        """A figure may come as a decimal string or as a number."""
        assert figure == decode_account_status(corrupted(("totalWalletBalance",), json_value)).wallet_balance

    @pytest.mark.parametrize(
        "json_value",
        [
            *('"NaN"', '"nan"', '"-nan"', '"inf"', '"-inf"', '"Infinity"', '"1e400"', '"-1e400"', "1e400"),
            *("true", "false", '""', '" "', '" 1 "', '"1_000"', '"0x10"', '"1,5"', '"abc"', "[]", "[1]", "{}"),
        ],
    )
    def test_figure_that_is_not_a_number_is_reported_with_its_path(self, json_value: str) -> None:
        """A figure that is not a finite number fails with its path, at every place of a figure."""
        assert [path_text(path) for path in FIGURES] == [fault_of(corrupted(path, json_value))[0] for path in FIGURES]

    @pytest.mark.parametrize(("path", "wrong"), REQUIRED, ids=str)
    def test_required_field_null_or_of_another_type_is_reported_with_its_path(
        self, path: tuple[str | int, ...], wrong: object
    ) -> None:
        """A required field that is null or of another type is reported with its path."""
        paths = [fault_of(corrupted(path, json_value))[0] for json_value in ("null", json.dumps(wrong))]

        assert [path_text(path)] * 2 == paths

    @pytest.mark.parametrize("path", [path for path, _ in REQUIRED if isinstance(path[-1], str)], ids=path_text)
    def test_missing_required_field_is_reported_with_its_path(self, path: tuple[str | int, ...]) -> None:
        """A missing field is reported with its path."""
        assert (path_text(path), f"{path_text(path)}: is missing") == fault_of(corrupted(path, None))

    @pytest.mark.parametrize(
        ("path", "json_value"),
        [
            (("positions", 0, "updateTime"), "-1"),
            (("positions", 0, "updateTime"), "1.5"),
            (("assets", 0, "updateTime"), '"soon"'),
            (("assets", 0, "marginAvailable"), '"perhaps"'),
            (("assets", 0, "marginAvailable"), "2"),
        ],
    )
    def test_time_or_flag_of_another_type_is_reported_with_its_path(
        self, path: tuple[str | int, ...], json_value: str
    ) -> None:
        """A time that is not in whole milliseconds and a flag that is not a boolean are reported with their paths."""
        assert path_text(path) == fault_of(corrupted(path, json_value))[0]

    def test_path_names_the_row(self) -> None:
        """An error in a later row is reported with the number of the row, and without the value."""
        result = a_result()
        result["positions"] += [{**result["positions"][0], "notional": "203.0.113.7"}]

        assert (
            "result.positions[1].notional",
            "result.positions[1].notional: Expected `float | null`, got `str`",
        ) == fault_of(Raw(json.dumps(result).encode()))

    @pytest.mark.parametrize(
        "result",
        [
            *(b"", b"null", b"[]", b'"x"', b"7", b'{"assets":[{"asset":"US', b"{]", b"\xff"),
            b'{"assets":[],"positions":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ],
        ids=lambda result: repr(result[:16]),
    )
    def test_result_that_is_not_an_object_is_rejected(self, result: bytes) -> None:
        """A result that is missing, null, not an object, truncated or too deep fails as a whole."""
        assert "result" == fault_of(Raw(result))[0]


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
        assert kind is envelope(frame).kind

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
        assert expected == (envelope(frame).id, envelope(frame).status)

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
        decoded = decode_error(envelope(f'{{"id":1,"status":400,"error":{error}}}'))

        assert (400, code, text, times) == (
            decoded.status,
            decoded.code,
            decoded.text,
            (decoded.retry_at_ms, decoded.server_time_ms),
        )

    def test_status_alone_is_an_error(self) -> None:
        """An answer with a bad status and no error is an error that the status decides."""
        decoded = decode_error(envelope('{"id":1,"status":418}'))

        assert Verdict(Action.WAIT, Reason.BANNED) == classify(decoded)


WEIGHT_ROW = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400, "count": 10}
WEIGHT_LIMIT = RateLimit(kind="REQUEST_WEIGHT", interval="MINUTE", interval_num=1, limit=2400, count=10)


def test_endless_parts_are_not_decoded() -> None:
    """Rate limits of a million rows, and an error of as many unknown fields, are passed over."""
    rows = Raw(b"[" + b"{}," * 10**6 + b"{}]")
    fields = ",".join(f'"{number}":"x"' for number in range(10**5))

    assert decode_request_weight(rows) is None
    assert "" == decode_error(envelope(f'{{"id":1,"status":500,"error":{{{fields}}}}}')).text


@pytest.mark.parametrize("path", ["assets.0.asset", "positions.0.symbol", "positions.0.positionSide"])
def test_endless_name_is_refused(path: str) -> None:
    """A name too long for a label fails the decoding, with its path."""
    part, _, name = path.split(".")
    result = {
        "assets": [{"asset": "USDT"}],
        "positions": [{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "1"}],
    }
    decode_account_status(Raw(msgspec.json.encode(result)))
    result[part][0][name] = "x" * 129
    with pytest.raises(DecodeError) as caught:
        decode_account_status(Raw(msgspec.json.encode(result)))

    assert caught.value.path in {f"result.{part}[0].{name}", f"result.{part}[...].{name}"}


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


WRONG_FLAGS = ("null", '"true"', "1", "[]")
RISK = {
    "entryPrice": ("entry_price", 1.0),
    "breakEvenPrice": ("break_even_price", 2.0),
    "markPrice": ("mark_price", 3.0),
    "liquidationPrice": ("liquidation_price", 4.0),
    "openOrderInitialMargin": ("open_order_initial_margin", 5.0),
    "bidNotional": ("bid_notional", 6.0),
    "askNotional": ("ask_notional", 7.0),
}
RISK_IDENTITY = {"symbol": "币安人生USDT", "positionSide": "SHORT", "positionAmt": "-0.002"}


def risk_fault_of(row: object) -> str:
    """Return the fault in a result of v2/account.position with this row."""
    with pytest.raises(DecodeError) as caught:
        decode_position_risk(Raw(json.dumps([row]).encode()))
    return str(caught.value)


class TestPositionRisk:
    """The result of v2/account.position."""

    def test_every_field_lands_where_it_belongs(self) -> None:
        """Every figure of a row is decoded under its name; those that the status also contains are ignored."""
        row = {
            **RISK_IDENTITY,
            **texts(RISK),
            "marginAsset": "USDT",
            "adl": 4,
            "unRealizedProfit": "1",
            "updateTime": 5,
        }
        expected = PositionRisk(
            symbol="币安人生USDT",
            position_side="SHORT",
            amount=-0.002,
            margin_asset="USDT",
            adl_quantile=4,
            **attributes(RISK),
        )

        assert (expected,) == decode_position_risk(Raw(json.dumps([row]).encode()))
        assert () == decode_position_risk(Raw(b"[]"))

    @pytest.mark.parametrize("sent", [{}, dict.fromkeys((*RISK, "marginAsset", "adl"), None)])
    def test_missing_and_null_figures_are_none(self, sent: dict[str, None]) -> None:
        """A row requires only its identity and amount; what is missing or null is None."""
        expected = PositionRisk(symbol="币安人生USDT", position_side="SHORT", amount=-0.002)

        assert (expected,) == decode_position_risk(Raw(json.dumps([{**RISK_IDENTITY, **sent}]).encode()))

    @pytest.mark.parametrize("name", [*RISK, "positionAmt"])
    @pytest.mark.parametrize("value", ["NaN", "inf", "-Infinity", "1e301", "", "word", [], {}])
    def test_figures_that_are_not_numbers_are_rejected(self, name: str, value: object) -> None:
        """A figure that is not a finite number fails with its path."""
        assert risk_fault_of({**RISK_IDENTITY, name: value}).startswith(f"result[0].{name}: ")

    @pytest.mark.parametrize("name", RISK_IDENTITY)
    def test_identity_and_amount_must_be_there(self, name: str) -> None:
        """A row without its symbol, side or amount fails with its path."""
        missing = {key: value for key, value in RISK_IDENTITY.items() if key != name}

        assert f"result[0].{name}: is missing" == risk_fault_of(missing)
        assert risk_fault_of({**RISK_IDENTITY, name: None}).startswith(f"result[0].{name}: ")
        assert risk_fault_of({**RISK_IDENTITY, name: []}).startswith(f"result[0].{name}: ")

    @pytest.mark.parametrize("result", ["", "null", "{}", '"[]"', "[1]", "[null]"])
    def test_result_must_be_a_list_of_rows(self, result: str) -> None:
        """A result that is missing or no list of rows is refused."""
        with pytest.raises(DecodeError, match=r"^result"):
            decode_position_risk(Raw(result.encode()))
