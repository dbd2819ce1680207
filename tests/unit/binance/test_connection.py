"""Connections: requests, reconnects, pauses and the exchange's time, against a simulated exchange."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.polling import FAST, connected, credentials_of
from support.waiting import until
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers

from exporter.binance.dialing import handshake_date_ms
from exporter.binance.errors import (
    ConnectionLost,
    DisconnectReason,
    ExchangeError,
    NoResponse,
    NotConnected,
    NotSent,
    OverBudget,
    Paused,
    ProtocolError,
    Reason,
    UnmatchedReason,
)
from exporter.binance.messages import Method, decode_account_status
from exporter.binance.request_sender import response_or_raise
from exporter.simulator import SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from exporter.binance.connection import Connection
    from exporter.binance.request_sender import Response
    from exporter.binance.weight import Reservation


def _lives(connection: Connection, count: int) -> bool:
    return connection.connections == count and connection.connected


async def request_status(
    connection: Connection, account: SimulatedAccount, *, timeout_seconds: float = 10.0, within: float = 15.0
) -> Response:
    """Ask for an account's status."""
    (outcome,) = await connection.request(
        Method.ACCOUNT_STATUS,
        credentials=credentials_of(account),
        recv_window_ms=5000,
        timeout_seconds=timeout_seconds,
        deadline=connection.clock.monotonic() + within,
    )
    return response_or_raise(outcome)


@pytest.mark.parametrize("key_type", ["HMAC", "RSA", "Ed25519"])
async def test_signs_with_every_type_of_key(key_type: Any) -> None:
    """A query signed by any of the three kinds of key is answered with the account's status."""
    account = SimulatedAccount("one", key_type)
    account.deposit("USDT", "123.45")
    async with SimulatedExchange([account]) as exchange, connected(exchange.url) as connection:
        answer = await request_status(connection, account)

    assert 123.45 == decode_account_status(answer.result).wallet_balance
    assert answer.asked_at <= answer.answered_at


async def test_accounts_share_one_socket(exchange: SimulatedExchange) -> None:
    """Concurrent requests of several accounts go over one socket, and each gets its own answer."""
    exchange.account("bob").deposit("USDT", "5")
    async with connected(exchange.url) as connection:
        answers = await asyncio.gather(
            *(request_status(connection, exchange.accounts[name]) for name in ["alice", "bob"] * 5)
        )

        assert 1 == connection.connections
        assert 1 == len(exchange.connections)
    balances = [decode_account_status(answer.result).wallet_balance for answer in answers]
    assert 2 == len(set(balances))
    assert balances[:2] * 5 == balances


async def test_dials_and_clock_are_charged(exchange: SimulatedExchange) -> None:
    """A connection costs a dial and a request for the time, whose response reports the exchange's count and limit."""
    async with connected(exchange.url) as connection:
        assert 7 == connection.budget.spent_total
        assert 7 == connection.budget.used
        assert 2400 == connection.budget.limit


async def test_unanswered_request_fails_alone(exchange: SimulatedExchange) -> None:
    """A request without an answer fails at its own deadline; the next one is served over the same socket."""
    async with connected(exchange.url) as connection:
        with exchange.lose_answers(), pytest.raises(NoResponse, match=r"no response within 0\.05 s"):
            await request_status(connection, exchange.accounts["alice"], timeout_seconds=0.05)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.connections


async def test_late_answer_is_counted_and_dropped(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A response that arrives after its deadline matches no request: it is counted, logged once and dropped."""
    async with connected(exchange.url) as connection:
        with exchange.delay_answers(0.1):
            for _ in range(2):
                with pytest.raises(NoResponse):
                    await request_status(connection, exchange.accounts["alice"], timeout_seconds=0.01)
        await until(lambda: connection.unmatched_frames.counts[UnmatchedReason.UNKNOWN_ID] == 2)

    assert 1 == len([event for event in logged if event["event"] == "frame ignored"])


async def test_half_open_link_is_dropped(exchange: SimulatedExchange) -> None:
    """A socket that is silent for long despite requests is dropped and dialled again."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        with exchange.lose_answers():
            monotonic.ahead += 100
            with pytest.raises(NoResponse):
                await request_status(connection, exchange.accounts["alice"], timeout_seconds=0.01)
        await until(lambda: connection.connections == 2 and connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == sum(connection.disconnections.values())


async def test_lost_connection_fails_what_is_under_way(exchange: SimulatedExchange) -> None:
    """When the socket ends its requests fail at once, and a new socket is opened."""
    async with connected(exchange.url) as connection:
        with exchange.lose_answers():
            request = asyncio.create_task(request_status(connection, exchange.accounts["alice"]))
            await until(lambda: any(received.method == "v2/account.status" for received in exchange.received))
            exchange.drop_connections()
            with pytest.raises(ConnectionLost):
                await request
        await until(lambda: connection.connections == 2 and connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.disconnections[DisconnectReason.RESET]


async def test_connection_lost_while_waiting_for_weight(
    exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose connection went away while it waited for its weight is not sent, and leaves nothing in flight."""
    async with connected(exchange.url) as connection:
        acquire = connection.budget.acquire

        async def acquire_late(weight: int) -> Reservation:
            rejection.enter_context(exchange.reject_handshake(503))
            exchange.drop_connections()
            await until(lambda: not connection.connected)
            return await acquire(weight)

        with contextlib.ExitStack() as rejection, monkeypatch.context() as patch:
            patch.setattr(connection.budget, "acquire", acquire_late)
            with pytest.raises(NotSent):
                await request_status(connection, exchange.accounts["alice"])

        assert 0 == connection.budget._in_flight


async def test_unreachable_exchange_says_why() -> None:
    """Without a connection a request fails after a short grace, with the reason of the last dial."""
    async with SimulatedExchange([]) as stopped:
        url = stopped.url
    async with connected(url, wait=False) as connection:
        await connection.first_attempt_finished.wait()
        with pytest.raises(NotConnected, match="not connected to exchange: connection refused"):
            await request_status(connection, SimulatedAccount("one"))

        assert not connection.connected
        assert 0 == connection.connections
        assert 0 < connection.disconnections[DisconnectReason.UNREACHABLE]


async def test_accept_then_close_backs_off() -> None:
    """Connections that end before they lived long never reset the backoff."""

    async def close(connection: ServerConnection) -> None:
        await connection.close()

    async with serve(close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connected(f"ws://127.0.0.1:{port}", wait=False) as connection:
            await until(lambda: connection._backoff._attempts >= 4)

            assert connection.disconnections[DisconnectReason.CLOSED] >= 4
            assert not connection.connected


async def test_close_while_sending_leaves_no_unretrieved_error(caplog: pytest.LogCaptureFixture) -> None:
    """A socket that ends while a request is being sent leaves no unretrieved exception."""

    async def close(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with serve(close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connected(f"ws://127.0.0.1:{port}", wait=False) as connection:
            await until(lambda: sum(connection.disconnections.values()) >= 20)
    gc.collect()

    assert [] == [record.message for record in caplog.records if "never retrieved" in record.message]


async def test_impossible_server_time_is_ignored(exchange: SimulatedExchange) -> None:
    """A server time of 1970 is ignored: the handshake's Date is used."""
    impossible = {"status": 200, "result": {"serverTime": 0}}
    with exchange.replace_answer("session.status", None, lambda answer: {"id": answer["id"], **impossible}):
        async with connected(exchange.url) as connection:
            await request_status(connection, exchange.accounts["alice"])

            assert 0.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_long_life_resets_the_backoff(exchange: SimulatedExchange) -> None:
    """A connection that responded and lived long enough resets the backoff."""
    async with connected(exchange.url, timing=replace(FAST, stable_after=0.0)) as connection:
        for lives in (2, 3, 4):
            exchange.drop_connections()
            await until(partial(_lives, connection, lives))

        assert 1 == connection._backoff._attempts


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"id": 999999, "status": 200, "result": {}}', UnmatchedReason.UNKNOWN_ID),
        ('{"id": null, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}}', UnmatchedReason.NULL_ID),
        ('{"event": {"e": "somethingNew", "E": 1}}', UnmatchedReason.EVENT),
        (b"\x00\x01", UnmatchedReason.BINARY),
        ("{nonsense", UnmatchedReason.GARBAGE),
        ("[" * 100_000, UnmatchedReason.GARBAGE),
        ('{"id": 1.5}', UnmatchedReason.GARBAGE),
    ],
)
async def test_foreign_frames_are_survived(
    exchange: SimulatedExchange, logged: list[Any], frame: str | bytes, kind: UnmatchedReason
) -> None:
    """Frames that match no request are counted by reason, logged once a minute, and have no other effect."""
    async with connected(exchange.url) as connection:
        for _ in range(3):
            await exchange.send_raw(frame)
        await until(lambda: connection.unmatched_frames.counts[kind] == 3)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.connections
    assert [kind.value] == [event["reason"] for event in logged if event["event"] == "frame ignored"]


async def test_oversized_frame_costs_the_connection_only(exchange: SimulatedExchange) -> None:
    """A frame over 8 MiB ends the socket and is counted, and the next socket is used."""
    async with connected(exchange.url) as connection:
        await exchange.send_raw("x" * (8 * 2**20 + 1))
        await until(lambda: connection.connections == 2 and connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.unmatched_frames.counts[UnmatchedReason.OVERSIZED]
        assert 1 == connection.disconnections[DisconnectReason.CLOSED]


async def test_error_without_id_is_heard_when_it_bans(exchange: SimulatedExchange) -> None:
    """A refusal for weight that names no request still stops everything on the endpoint."""
    async with connected(exchange.url) as connection:
        await exchange.send_raw('{"id": null, "status": 418, "error": {"code": -1003, "msg": "banned"}}')
        await until(lambda: connection.budget.paused is Reason.BANNED)


async def test_refusal_for_weight_stops_the_endpoint(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """After a 418 nothing more is sent until the time that the exchange reported."""
    async with connected(exchange.url) as connection:
        with exchange.ban(600):
            with pytest.raises(ExchangeError) as refusal:
                await request_status(connection, exchange.accounts["alice"])
            sent = len(exchange.received)
            with pytest.raises(Paused, match="banned this IP"):
                await request_status(connection, exchange.accounts["bob"])

        assert 418 == refusal.value.status
        assert sent == len(exchange.received)
        assert connection.budget.paused is Reason.BANNED
        assert 500 < connection.budget.pause_seconds <= 610
    assert ["banned"] == [event["reason"] for event in logged if event["event"] == "requests paused"]


async def test_status_418_stops_whatever_the_code(exchange: SimulatedExchange) -> None:
    """A status of 418 pauses the endpoint even if its code means something else."""
    refuse = {"status": 418, "error": {"code": -1000, "msg": "An unknown error occurred."}}
    with exchange.replace_answer("v2/account.status", None, lambda answer: {"id": answer["id"], **refuse}):
        async with connected(exchange.url) as connection:
            with pytest.raises(ExchangeError):
                await request_status(connection, exchange.accounts["alice"])

            assert connection.budget.paused is Reason.BANNED


async def test_clock_keeper_that_fails_ends_the_link(
    exchange: SimulatedExchange, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error while reading the time does not leave an unused link: the endpoint is dialled again."""
    with monkeypatch.context() as patch:
        patch.setattr("exporter.binance.server_time.decode_session_status", None)
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.connections >= 2)
            patch.undo()
            await until(lambda: connection.connected)
    assert "connection failed, internal error" in {event["event"] for event in logged}
    assert connection.connections - 1 <= sum(connection.disconnections.values())


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("status", "reason"), [(418, Reason.BANNED), (429, Reason.RATE_LIMITED)])
async def test_refused_handshake_stops_dialling(exchange: SimulatedExchange, status: int, reason: Reason) -> None:
    """A handshake refused with 418 or 429 pauses the endpoint, dials included."""
    with exchange.reject_handshake(status):
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.budget.paused)
            spent = connection.budget.spent_total
            await asyncio.sleep(50)  # a pause takes at least a minute

            assert connection.budget.paused is reason
            assert 1 == connection.disconnections[DisconnectReason.REJECTED]
            assert spent == connection.budget.spent_total


@pytest.mark.parametrize("retry_after", ["1e308", "inf", "9" * 5000, "345601", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_ban_of_absurd_length_is_capped(exchange: SimulatedExchange, retry_after: str) -> None:
    """A ban at the handshake holds whatever end it reports, for at most four days."""
    with exchange.reject_handshake(418, {"Retry-After": retry_after}):
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.disconnections[DisconnectReason.REJECTED])

            assert 3.9 * 86400 < connection.budget.pause_seconds <= 4 * 86400


@pytest.mark.parametrize("status", [401, 403, 451, 500, 503])
async def test_refused_handshake_is_survived(exchange: SimulatedExchange, status: int) -> None:
    """Whatever HTTP status rejects a handshake, dialling goes on, and succeeds once handshakes are accepted."""
    rejection = exchange.reject_handshake(status)
    async with connected(exchange.url, wait=False) as connection:
        await until(lambda: connection.disconnections[DisconnectReason.REJECTED] >= 2)
        rejection.close()
        await until(lambda: connection.connected)


async def test_synchronizes_with_the_exchanges_clock(exchange: SimulatedExchange) -> None:
    """Requests are signed with the exchange's time, however wrong this host's clock is."""
    with exchange.skew_clock(30.0):
        async with connected(exchange.url) as connection:
            await request_status(connection, exchange.accounts["alice"])

            assert 30.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_resyncs_the_clock_once_for_all(exchange: SimulatedExchange) -> None:
    """If the timestamps of many accounts are rejected, the time is requested once."""
    async with connected(exchange.url) as connection:
        began = connection.clock.monotonic()
        with exchange.skew_clock(-30.0):
            with pytest.raises(ExchangeError) as refusal:
                await request_status(connection, exchange.accounts["alice"])
            await asyncio.gather(*(connection.resync_clock(began) for _ in range(5)))
            await request_status(connection, exchange.accounts["alice"])

        assert -1021 == refusal.value.code
        assert 2 == len([received for received in exchange.received if received.method == "session.status"])


async def test_clock_from_the_handshake_when_the_method_is_unknown(exchange: SimulatedExchange) -> None:
    """If session.status is rejected, the handshake's Date is accurate enough."""
    unknown_method = {"status": 404, "error": {"code": -5000, "msg": "Method v1/session.status is invalid"}}
    with (
        exchange.skew_clock(30.0),
        exchange.replace_answer("session.status", None, lambda answer: {"id": answer["id"], **unknown_method}),
    ):
        async with connected(exchange.url) as connection:
            await request_status(connection, exchange.accounts["alice"])

            assert 30.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_clock_from_an_error_that_reports_it(exchange: SimulatedExchange) -> None:
    """An error that carries the exchange's time teaches it, where nothing else has."""

    def refuse(answer: dict[str, Any]) -> dict[str, Any]:
        data = {"serverTime": int((exchange.server_time() + 40) * 1000)}
        return {"id": answer["id"], "status": 500, "error": {"code": -1000, "msg": "no", "data": data}}

    with exchange.replace_answer("session.status", None, refuse):
        async with connected(exchange.url) as connection:
            assert 40.0 == pytest.approx(connection.clock.offset_seconds, abs=10.0)


async def test_link_that_does_not_answer_is_not_used(exchange: SimulatedExchange) -> None:
    """A socket without a response or a pong is never used for a poll."""
    with exchange.stall_after(0):
        timing = replace(FAST, clock_timeout=0.02)
        async with connected(exchange.url, wait=False, timing=timing) as connection:
            await until(lambda: connection.connections >= 2)

            assert not connection.connected
            assert "no response to the first request" == connection._current._message
            assert 1 <= connection.disconnections[DisconnectReason.SILENT]


async def test_clock_is_kept_fresh(exchange: SimulatedExchange) -> None:
    """The exchange's time is requested at regular intervals while connected."""
    async with connected(exchange.url, timing=replace(FAST, clock_interval=0.01)):
        await until(lambda: len([request for request in exchange.received if request.method == "session.status"]) >= 3)


@pytest.mark.parametrize("body", [{}, {"status": None}, {"rateLimits": []}])
async def test_answer_without_result_or_error(exchange: SimulatedExchange, body: dict[str, Any]) -> None:
    """A response with neither a result nor an error is a protocol error."""
    replaced = exchange.replace_answer("v2/account.status", None, lambda answer: {"id": answer["id"], **body})
    async with connected(exchange.url) as connection:
        with replaced, pytest.raises(ProtocolError):
            await request_status(connection, exchange.accounts["alice"])


async def test_crowded_minute_fails_the_request_by_its_deadline(exchange: SimulatedExchange) -> None:
    """A request that other programs' traffic leaves no room for is not sent, and fails by its deadline."""
    exchange.add_other_traffic(2150)
    async with connected(exchange.url) as connection:
        with pytest.raises(OverBudget):
            await request_status(connection, exchange.accounts["alice"], within=0.05)

        assert "v2/account.status" not in {received.method for received in exchange.received}


async def test_stretched_plan_is_logged_once(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A plan that does not fit the limit stretches the intervals, with one warning."""
    async with connected(exchange.url, wait=False) as connection:
        connection.budget.plan([(5, 1.0)] * 20)
        await until(lambda: connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert connection.budget.stretch > 2
    warnings = [
        event for event in logged if event["event"] == "poll intervals stretched to fit the request-weight budget"
    ]
    assert [round(connection.budget.stretch, 3)] == [event["factor"] for event in warnings]


async def test_supervisor_survives_its_own_faults(
    exchange: SimulatedExchange, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected internal error does not end the supervision of the connection."""
    monkeypatch.setattr("exporter.binance.connection.Link", None)
    async with connected(exchange.url, wait=False) as connection:
        await until(lambda: connection.connections >= 2)
    assert "connection failed, internal error" in {event["event"] for event in logged}


@pytest.mark.parametrize("frame", ['{"id":null,"status":418}', '{"status":418}', '{"id":77,"status":418,"error":null}'])
async def test_ban_without_an_error_is_respected(exchange: SimulatedExchange, frame: str) -> None:
    """A frame that reports a ban only by its status pauses the requests, although it matches none of them."""
    async with connected(exchange.url) as connection:
        await exchange.send_raw(frame)
        await until(lambda: connection.budget.paused)

        assert Reason.BANNED is connection.budget.paused


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "soon"])
def test_impossible_date_is_ignored(date: str) -> None:
    """A handshake's Date that no exchange can mean is not taken for its time."""
    socket = SimpleNamespace(response=SimpleNamespace(headers=Headers({"Date": date})))

    assert handshake_date_ms(socket) is None  # type: ignore[arg-type]
