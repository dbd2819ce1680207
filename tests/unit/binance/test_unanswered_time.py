"""An exchange that rejects `session.status` or leaves it unanswered is polled nevertheless; in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import SESSION
from support.polling import FAST, Polled, connected, count_requests, error, request_status
from support.virtual_time import now
from support.waiting import until

from exporter.binance.errors import DisconnectReason, ExchangeError, NoResponse, Reason

if TYPE_CHECKING:
    from exporter.binance.connection import Connection
    from exporter.simulator import SimulatedExchange

SHUTDOWN = '{"event": {"e": "serverShutdown", "E": 1}}'
PROBLEM = "could not read server time from session.status"
TIMING = replace(FAST, clock_timeout=10.0)  # as in production

pytestmark = pytest.mark.usefixtures("virtual_time")


async def request_alice(connection: Connection, exchange: SimulatedExchange, timeout_seconds: float = 30.0) -> None:
    """Ask for alice's status."""
    await request_status(connection, exchange.accounts["alice"], timeout_seconds=timeout_seconds, within=60.0)


async def test_polls_do_not_wait_for_the_answer(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """The first poll is sent after a moment, the first one of later connections at once, signed with the Date."""
    waits = []
    with exchange.skew_clock(30.0), exchange.lose_answers(SESSION):
        async with connected(exchange.url, timing=TIMING) as connection:
            for connections in (1, 2, 3):
                began = now()
                await until(lambda at_least=connections: connection.connections >= at_least and connection.connected)  # type: ignore[misc]
                await request_alice(connection, exchange)
                waits.append(now() - began)
                await asyncio.sleep(30.0)  # meanwhile the request for the time is given up
                if connections < 3:
                    exchange.drop_connections()

            assert exchange.server_time() == pytest.approx(connection.clock.seconds, abs=3.0)
            assert connection.clock.exact_offset_seconds is None
            assert {DisconnectReason.RESET: 2} == connection.disconnections
    assert max(waits) < 5.0
    assert ["handshake Date header"] == [event["using"] for event in logged if event["event"] == PROBLEM]
    assert [None] * 3 == [event["clock_offset_seconds"] for event in logged if event["event"] == "connected"]


async def test_rotation_costs_no_request(exchange: SimulatedExchange) -> None:
    """Connections that answer a ping replace each other, and no request is lost."""
    timing = replace(TIMING, rotate_between=(12.0, 15.0), stable_after=0.0)
    with exchange.lose_answers(SESSION):
        async with connected(exchange.url, timing=timing) as connection:
            while connection.disconnections[DisconnectReason.ROTATION] < 3:
                await request_alice(connection, exchange)
                await asyncio.sleep(1.0)

                assert connection.connected
            assert {DisconnectReason.ROTATION} == set(connection.disconnections)


async def test_link_in_use_survives_a_successor_that_does_not_respond(exchange: SimulatedExchange) -> None:
    """If the time used to be reported, a new link that leaves a request for it unanswered is not used at first."""
    async with connected(exchange.url, timing=TIMING) as connection:
        with exchange.lose_answers(SESSION):
            await exchange.send_raw(SHUTDOWN)
            await until(lambda: connection.disconnections[DisconnectReason.SILENT] == 1)
            await request_alice(connection, exchange)

            assert connection.connected
            await until(lambda: connection.disconnections[DisconnectReason.SHUTDOWN] == 1)
            assert 3 == connection.connections
            await request_alice(connection, exchange)


async def test_late_response_sets_the_time(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """An answer that polls did not wait for still sets the clock, and no problem is logged."""
    with exchange.delay_answers(0.5, SESSION):
        async with connected(exchange.url, timing=replace(TIMING, clock_grace=0.1)) as connection:
            exact_at_first = connection.clock.exact_offset_seconds
            await until(lambda: connection.clock.exact_offset_seconds is not None)

    assert exact_at_first is None
    assert [] == [event for event in logged if event["event"] == PROBLEM]


async def test_exchange_may_stop_answering_and_begin_again(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """Requests that are unanswered for a while are logged once, and have no other effect."""
    async with connected(exchange.url, timing=replace(TIMING, clock_interval=1.0)) as connection:
        with exchange.lose_answers(SESSION):
            earlier = count_requests(exchange, SESSION)
            await until(lambda: count_requests(exchange, SESSION) >= earlier + 3)
            synchronized_at = connection.clock.synchronized_at
        await until(lambda: connection.clock.synchronized_at > synchronized_at)

        assert 1 == connection.connections
        assert not connection.disconnections
    assert 1 == len([event for event in logged if event["event"] == PROBLEM])


async def test_unanswered_time_requests_keep_a_link_without_polls(exchange: SimulatedExchange) -> None:
    """A link without polls is kept, however often requests for the time are unanswered."""
    with exchange.lose_answers(SESSION):
        async with connected(exchange.url, timing=TIMING) as connection:
            await asyncio.sleep(2000.0)

            assert count_requests(exchange, SESSION) >= 4
            assert 1 == connection.connections
            assert not connection.disconnections


async def test_link_that_answers_nothing_is_dropped(exchange: SimulatedExchange) -> None:
    """Pongs alone do not keep a link on which polls are unanswered."""
    monotonic = Monotonic()
    with exchange.lose_answers():
        async with connected(exchange.url, timing=TIMING, monotonic=monotonic) as connection:
            monotonic.ahead += 100
            with pytest.raises(NoResponse):
                await request_alice(connection, exchange, timeout_seconds=10.0)
            await until(lambda: connection.connections == 2)

            assert {DisconnectReason.SILENT: 1} == connection.disconnections


@pytest.mark.parametrize("answer", ["none", "error"])
async def test_wrong_time_is_corrected_by_the_next_handshake(exchange: SimulatedExchange, answer: str) -> None:
    """After -1021 a connection that is not young is replaced, and the handshake's Date corrects the time."""
    unknown_method = error(404, -5000, "Method v1/session.status is invalid")
    unanswered = (
        exchange.lose_answers(SESSION) if answer == "none" else exchange.replace_answer(SESSION, None, unknown_method)
    )
    with unanswered:
        async with connected(exchange.url, timing=replace(TIMING, stable_after=0.0)) as connection:
            await request_alice(connection, exchange)
            with exchange.skew_clock(-3.0):
                sent_at = connection.clock.monotonic()
                with pytest.raises(ExchangeError, match="-1021"):
                    await request_alice(connection, exchange)
                await connection.resync_clock(sent_at)
                await until(lambda: connection.disconnections[DisconnectReason.ROTATION] == 1)
                await request_alice(connection, exchange)

            assert 2 == connection.connections


async def test_wrong_time_does_not_replace_connections_for_ever(exchange: SimulatedExchange) -> None:
    """A timestamp that is never accepted costs one new connection in ten minutes, and no more."""
    with exchange.lose_answers(SESSION):
        async with connected(exchange.url, timing=replace(TIMING, stable_after=0.0)) as connection:
            for _ in range(5):
                await connection.resync_clock(connection.clock.monotonic())
                await until(lambda: connection.connections == 2 and connection.connected)
                await request_alice(connection, exchange)

            assert 2 == connection.connections


async def test_wrong_time_on_a_young_connection_is_reported(exchange: SimulatedExchange) -> None:
    """-1021 that nothing can correct fails the poll with its own reason and advice, and does not redial."""
    with exchange.lose_answers(SESSION):
        async with connected(exchange.url, timing=TIMING) as connection:
            with exchange.skew_clock(-30.0):
                state = await Polled(exchange, connection).poll()

            assert 1 == connection.connections
    assert Reason.CLOCK is state.last_failure.reason  # type: ignore[union-attr]
    assert "clock (NTP)" in state.last_failure.advice  # type: ignore[union-attr]


async def test_error_that_reports_the_time_is_enough(exchange: SimulatedExchange) -> None:
    """-1021 with the exchange's time in its data corrects the clock at once."""

    def refuse(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["status"] == 200:
            return answer
        return answer | {"error": answer["error"] | {"data": {"serverTime": int(exchange.server_time() * 1000)}}}

    with exchange.lose_answers(SESSION), exchange.replace_answer("v2/account.status", None, refuse):
        async with connected(exchange.url, timing=replace(TIMING, stable_after=0.0)) as connection:
            with exchange.skew_clock(-30.0):
                with pytest.raises(ExchangeError, match="-1021"):
                    await request_alice(connection, exchange)
                await connection.resync_clock(connection.clock.synchronized_at)
                await request_alice(connection, exchange)

            assert 1 == connection.connections
            assert connection.clock.exact_offset_seconds is not None


@pytest.mark.parametrize("fault", ["none", "unanswered"])
@pytest.mark.parametrize(("skew", "warnings"), [(300.0, 1), (-300.0, 1), (0.0, 0)])
async def test_wrong_clock_of_this_host_is_a_warning(
    exchange: SimulatedExchange, logged: list[Any], fault: str, skew: float, warnings: int
) -> None:
    """A host clock that is minutes wrong is logged once, even if only a handshake's Date reports the time."""
    losing = exchange.lose_answers(SESSION) if fault == "unanswered" else contextlib.nullcontext()
    with exchange.skew_clock(skew), losing:
        async with connected(exchange.url, timing=TIMING, wall=now) as connection:
            await until(lambda: count_requests(exchange, SESSION))
            for at_least in (2, 3):
                exchange.drop_connections()
                await until(lambda at_least=at_least: connection.connections >= at_least and connection.connected)  # type: ignore[misc]
    warnings_logged = [event for event in logged if event["event"] == "host clock is wrong"]

    assert warnings == len(warnings_logged)
    assert all(event["log_level"] == "warning" and event["endpoint"] == "exchange" for event in warnings_logged)
    assert all(skew == pytest.approx(event["clock_offset_seconds"], abs=10) for event in warnings_logged)
