"""Polling one account: the grid, failures and their retries, position risk, and the age of data."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import POSITION, STATUS
from support.polling import Answer, Polled, altered, connected, credentials_of, error, pass_time
from support.waiting import DEADLINE_SECONDS, until

from exporter.account.asset_mode import AssetMode
from exporter.account.availability import MethodAvailability
from exporter.account.margin import cross_pools
from exporter.binance.errors import Reason
from exporter.binance.signing import Credentials, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator import SimulatedExchange


def status_queries(exchange: SimulatedExchange) -> int:
    """Count the account queries that the exchange has got."""
    return sum(received.method == STATUS for received in exchange.received)


def position_queries(exchange: SimulatedExchange) -> int:
    """Count the position risk queries that the exchange has got."""
    return sum(received.method == POSITION for received in exchange.received)


async def test_good_poll_publishes(exchange: SimulatedExchange) -> None:
    """A good answer becomes one complete snapshot, and the account is up and fresh."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        state = await polled.poll()
        now = connection.clock.monotonic()

    (snapshot,) = polled.snapshots
    assert ["BTCUSDT"] == [position.symbol for position in snapshot.positions]
    assert AssetMode.SINGLE is snapshot.asset_mode is state.asset_mode
    assert (1, 0, 1) == (state.polls, sum(state.failures.values()), polled.polls_over)
    assert snapshot.answered_at == state.answered_at
    assert state.is_up(now)
    assert state.first_poll_finished
    assert state.last_success_unix


async def test_null_error_is_none(exchange: SimulatedExchange) -> None:
    """An answer whose error is null is a good one."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", lambda answer: answer | {"error": None}):
            state = await polled.poll()

    assert state.last_poll_succeeded


async def test_closed_position_is_dropped_at_the_next_poll(exchange: SimulatedExchange) -> None:
    """A position that was closed is not in the next snapshot."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        exchange.account("alice").close("BTCUSDT")
        await polled.poll()

    assert [1, 0] == [snapshot.open_positions for snapshot in polled.snapshots]


async def test_configured_mode_wins(exchange: SimulatedExchange) -> None:
    """The asset mode of the configuration is believed over what the figures look like."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.MULTI)
        await polled.poll()

    assert "USD" == polled.snapshots[0].currency


async def test_wrong_secret_is_refused_and_left_alone(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A wrong secret is logged once with advice, is retried less and less often, and does not affect other accounts."""
    monotonic = Monotonic()
    api_key = Secret(exchange.accounts["alice"].api_key)
    wrong = Credentials.hmac(api_key, Secret("not-the-secret"))
    async with connected(exchange.url, monotonic=monotonic) as connection:
        alice = Polled(exchange, connection, credentials=wrong)
        requests = []
        for _ in range(8):
            before = status_queries(exchange)
            await alice.poll()
            requests.append(status_queries(exchange) - before)
            pass_time(exchange, connection, monotonic, 15)
        bob = await Polled(exchange, connection, "bob").poll()

    assert bob.last_poll_succeeded
    assert [1, 1, 0, 1, 0, 0, 0, 1] == requests
    assert {Reason.REFUSED: 8} == alice.state.failures
    assert not alice.state.last_poll_succeeded
    (event,) = [event for event in logged if event["event"] == "poll failed"]
    assert event["advice"].startswith("check that the secret or private key belongs to this API key")
    assert ("alice", "refused", "warning") == (event["account"], event["reason"], event["log_level"])
    assert 15.0 == event["retry_in_seconds"]


async def test_restored_key_is_taken_up(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A key that is repaired without a restart is polled again at the next interval."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        alice = Polled(exchange, connection)
        exchange.revoke("alice")
        await alice.poll()
        exchange.restore("alice")
        monotonic.ahead += 15
        state = await alice.poll()

    assert state.last_poll_succeeded
    assert ["poll failed", "poll succeeded again"] == [one["event"] for one in logged if "poll" in one["event"]]


async def test_stepped_clock_costs_no_poll(exchange: SimulatedExchange) -> None:
    """If the exchange rejects the timestamp, the time is read again and the poll still succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.skew_clock(20.0):
            state = await polled.poll()

    assert state.last_poll_succeeded
    assert 2 == status_queries(exchange)


async def test_clock_that_cannot_be_corrected(exchange: SimulatedExchange) -> None:
    """A timestamp that is refused even after learning the time fails the poll with reason clock."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", error(400, -1021)):
            state = await polled.poll()

    assert {Reason.CLOCK: 1} == state.failures
    assert 2 == status_queries(exchange)


@pytest.mark.usefixtures("virtual_time")
async def test_time_that_is_not_reported_before_the_deadline(exchange: SimulatedExchange) -> None:
    """A poll ends by its deadline even if the request for the time is not answered."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with (
            exchange.replace_answer(STATUS, "alice", error(400, -1021)),
            exchange.replace_answer("session.status", None, lambda _: "unanswered"),
        ):
            state = await polled.poll(within=4.0)

    assert {Reason.CLOCK: 1} == state.failures


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(500, -1000), Reason.EXCHANGE),
        (error(400, -2015), Reason.REFUSED),
        (error(404, -5000), Reason.REFUSED),
        (error(429, -1003), Reason.RATE_LIMITED),
        (error(418, -1003), Reason.BANNED),
        (lambda answer: {"id": answer["id"]}, Reason.PROTOCOL),
        (lambda answer: {"id": answer["id"], "status": 200}, Reason.DECODE),
        (lambda answer: {"id": answer["id"], "status": 200, "result": None}, Reason.DECODE),
        (altered(lambda result: result.pop("positions")), Reason.DECODE),
        (altered(lambda result: result["assets"].append(result["assets"][0])), Reason.DECODE),
        (altered(lambda result: result["positions"][0].update(notional="NaN")), Reason.DECODE),
        (altered(lambda result: result.update(totalWalletBalance=[])), Reason.DECODE),
    ],
)
async def test_failures_are_counted_by_reason(
    exchange: SimulatedExchange, answer: Callable[[Answer], Answer], reason: Reason
) -> None:
    """A failed poll publishes nothing, counts one reason, and touches no other account."""
    async with connected(exchange.url) as connection:
        alice, bob = Polled(exchange, connection), Polled(exchange, connection, "bob")
        await bob.poll()
        with exchange.replace_answer(STATUS, "alice", answer):
            state = await alice.poll()

    assert [] == alice.snapshots
    assert {reason: 1} == state.failures
    assert state.last_failure
    assert reason is state.last_failure.reason
    assert state.first_poll_finished
    assert {} == bob.state.failures


async def test_decode_failure_names_the_field(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A broken response is reported with the path of the field, and the next poll succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        broken = altered(lambda result: result["positions"][0].update(positionAmt=None))
        with exchange.replace_answer(STATUS, "alice", broken):
            await polled.poll()
        polled.poller._held_until = 0.0
        state = await polled.poll()

    assert state.last_poll_succeeded
    (event,) = [event for event in logged if event["event"] == "poll failed"]
    assert "result.positions[0].positionAmt: Expected `float`, got `null`" == event["error"]


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda text: text[: len(text) // 2], "response: Input data was truncated"),
        (
            lambda text: text.replace('"status":200', '"status":"good"'),
            "response.status: Expected `int | null`, got `str`",
        ),
        (lambda text: text.replace('"updateTime":', '"updateTime":NaN,"was":', 1), "response: JSON is malformed"),
        (lambda text: text.replace('"BTCUSDT"', '"\\ud800"', 1), "response"),
        (lambda text: text.replace('"updateTime":', '"updateTime":1' + "0" * 400 + ',"was":', 1), "result.assets[0]"),
    ],
    ids=["truncated", "status", "NaN", "surrogate", "huge"],
)
async def test_broken_response_fails_only_its_poll_at_once(
    exchange: SimulatedExchange, breaking: Callable[[str], str], words: str
) -> None:
    """An answer that cannot be decoded is not waited for until the timeout: its poll fails with what is broken."""

    def broken(answer: Answer) -> str:
        return breaking(json.dumps(answer, separators=(",", ":")))

    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", broken):
            state = await polled.poll()

    assert {Reason.DECODE: 1} == state.failures
    assert state.last_failure
    assert state.last_failure.message.startswith(words)


async def test_rejected_handshake_is_reported_as_such(exchange: SimulatedExchange) -> None:
    """While a refused handshake pauses the endpoint, due polls fail with the pause's reason, not the connection's."""
    with exchange.reject_handshake(429):
        async with connected(exchange.url, wait=False) as connection:
            await until(lambda: connection.budget.paused)
            state = await Polled(exchange, connection).poll()

    assert {Reason.RATE_LIMITED: 1} == state.failures


@pytest.mark.usefixtures("virtual_time")
async def test_dial_that_waits_for_weight_is_reported_as_such(exchange: SimulatedExchange) -> None:
    """While the next dial waits for the IP's weight, due polls fail for want of weight, not of a connection."""
    async with connected(exchange.url) as connection:
        exchange.add_other_traffic(2145)
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, position_risk=False)
        await polled.poll()  # tells the budget how full the minute is
        exchange.drop_connections()
        await until(lambda: not connection.connected and connection._current.dial_waits_for_weight)
        state = await polled.poll()

    assert {Reason.RATE_LIMITED: 1} == state.failures


@pytest.mark.usefixtures("virtual_time")
async def test_no_answer_counts_as_timeout(exchange: SimulatedExchange) -> None:
    """A poll without an answer ends at the request's timeout, or when the next one is due, whichever comes first."""
    async with connected(exchange.url) as connection:
        patient = Polled(exchange, connection, asset_mode=AssetMode.SINGLE, request_timeout_seconds=60.0)
        impatient = Polled(exchange, connection, "bob", asset_mode=AssetMode.SINGLE, request_timeout_seconds=5.0)
        took = []
        with exchange.lose_answers():
            for polled in (patient, impatient):
                began = connection.clock.monotonic()
                await polled.poll(within=15.0)
                took.append(connection.clock.monotonic() - began)

    assert {Reason.TIMEOUT: 1} == patient.state.failures == impatient.state.failures
    assert [15.0, 5.0] == pytest.approx(took, abs=0.1)


async def test_no_connection_counts_as_connection(exchange: SimulatedExchange) -> None:
    """A scheduled poll without a connection fails with that reason, and later polls are not held back."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        rejection = exchange.reject_handshake(503)
        exchange.drop_connections()
        await until(lambda: not connection.connected)
        await polled.poll()
        rejection.close()
        await until(lambda: connection.connected)
        state = await polled.poll()

    assert {Reason.CONNECTION: 1} == state.failures
    assert state.last_poll_succeeded


async def test_ban_counts_every_due_poll(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """While the IP is banned scheduled polls fail unsent, which is logged once, and polling resumes by itself."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.ban(600):
            for _ in range(4):
                await polled.poll()
        banned = polled.state.failures[Reason.BANNED]
        pass_time(exchange, connection, monotonic, 700)
        state = await polled.poll()

    assert (4, 2) == (banned, status_queries(exchange))
    assert state.last_poll_succeeded
    assert 1 == len([event for event in logged if event["event"] == "poll failed"])


async def test_retries_back_off(exchange: SimulatedExchange) -> None:
    """After failures of the exchange polls are sent after 1, 2 and 4 intervals; unsent ones count as failed."""
    monotonic = Monotonic()
    sent = []
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", error(500, -1000)):
            for _ in range(12):
                before = status_queries(exchange)
                await polled.poll()
                sent.append(status_queries(exchange) - before)
                pass_time(exchange, connection, monotonic, 15)
        state = await polled.poll()

    assert [1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] == sent
    assert {Reason.EXCHANGE: 12 + 1} == state.failures
    assert 13 == state.polls


async def test_removed_method_is_logged_as_an_error(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """What an operator cannot fix is logged at error level, every five minutes and not at every poll."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", error(404, -5000)):
            for _ in range(3):
                await polled.poll()
                pass_time(exchange, connection, monotonic, 301)

    assert ["error"] * 3 == [event["log_level"] for event in logged if event["event"] == "poll failed"]


async def test_own_fault_does_not_end_polling(
    exchange: SimulatedExchange, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error fails the poll and is logged with its traceback, and the next poll succeeds."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with monkeypatch.context() as patch:
            patch.setattr(polled.poller, "_publish", None)
            await polled.poll()
        pass_time(exchange, connection, monotonic, 15)
        state = await polled.poll()

    assert {Reason.PROTOCOL: 1} == state.failures
    assert state.last_poll_succeeded
    assert "poll failed, internal error" in {event["event"] for event in logged}


@pytest.mark.usefixtures("virtual_time")
async def test_polls_on_its_grid(exchange: SimulatedExchange) -> None:
    """Polls go on, one at each point of the account's grid, until cancelled."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=5.0)
        running = asyncio.create_task(polled.poller.run())
        await until(lambda: len(polled.snapshots) == 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    requests = [snapshot.asked_at for snapshot in polled.snapshots]
    assert [5.0] * 4 == pytest.approx([later - earlier for earlier, later in pairwise(requests)], abs=0.1)


@pytest.mark.usefixtures("virtual_time")
async def test_first_poll_is_soon_however_long_the_interval(exchange: SimulatedExchange) -> None:
    """The first poll comes at once; the next one comes on the grid."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0, asset_mode=AssetMode.SINGLE)
        polled.poller.phase = 0.5
        running = asyncio.create_task(polled.poller.run())
        await asyncio.sleep(160)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        began = connection.first_attempt_finished_at

    assert [0.0, 90.0, 150.0] == pytest.approx([one.asked_at - began for one in polled.snapshots], abs=0.2)


@pytest.mark.usefixtures("virtual_time")
async def test_polls_that_take_their_whole_interval_are_due_at_each(exchange: SimulatedExchange) -> None:
    """A poll that ends when the next one is due does not cost that one."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=5.0, asset_mode=AssetMode.SINGLE)
        with exchange.lose_answers():
            running = asyncio.create_task(polled.poller.run())
            await asyncio.sleep(101)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert 20 <= polled.state.polls <= 21


@pytest.mark.parametrize(
    ("phase", "interval", "now", "expected"),
    [
        (0.0, 10.0, 3.0, 10.0),
        (0.5, 10.0, 5.1, 15.0),
        (0.5, 10.0, 27.0, 35.0),  # points that passed meanwhile are not made up for
        (0.25, 20.0, 12.0, 25.0),  # a stretched interval has moved the grid
        (0.0, 10.0, 9.9999999, 20.0),  # a clock that woke a little early does not poll twice
    ],
)
async def test_next_point_of_the_grid(
    exchange: SimulatedExchange, phase: float, interval: float, now: float, expected: float
) -> None:
    """The next scheduled poll is the grid's first point after now."""
    async with connected(exchange.url) as connection:
        poller = Polled(exchange, connection, interval_seconds=interval).poller
    poller.phase = phase
    poller._monotonic = lambda: now

    assert expected == pytest.approx(poller._next_due(0.0, now))


async def test_both_answers_make_one_snapshot(exchange: SimulatedExchange) -> None:
    """A poll requests position risk right after the status on the same socket, and publishes both together."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        for _ in range(2):
            await polled.poll()

    assert [STATUS, POSITION] * 2 == [one.method for one in exchange.received if one.method != "session.status"]
    assert 1 == connection.connections
    (risk,) = polled.snapshots[1].risks
    (position,) = polled.snapshots[1].held
    assert ("BTCUSDT", "BOTH", "USDT") == (risk.symbol, risk.position_side, position.margin_asset)
    assert risk.mark_price
    assert risk.entry_price


async def test_position_risk_can_be_switched_off(exchange: SimulatedExchange) -> None:
    """Without position_risk it is never requested; the snapshots have all figures except those of risk."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, position_risk=False)
        for _ in range(2):
            await polled.poll()

    assert 0 == position_queries(exchange)
    assert [(), ()] == [snapshot.risks for snapshot in polled.snapshots]
    assert [["USDT"]] * 2 == [[one.margin_asset for one in snapshot.held] for snapshot in polled.snapshots]


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(500, -1000), Reason.EXCHANGE),
        (error(400, -2015), Reason.REFUSED),
        (error(400, -1102), Reason.REFUSED),
        (error(429, -1003), Reason.RATE_LIMITED),
        (error(418, -1003), Reason.BANNED),
        (lambda _: "unanswered", Reason.TIMEOUT),
        (lambda answer: {"id": answer["id"]}, Reason.PROTOCOL),
        (lambda answer: {"id": answer["id"], "status": 200, "result": None}, Reason.DECODE),
        (lambda answer: {"id": answer["id"], "status": 200, "result": {}}, Reason.DECODE),
        (altered(lambda result: result.append(result[0])), Reason.DECODE),
        (altered(lambda result: result[0].pop("positionSide")), Reason.DECODE),
        (altered(lambda result: result[0].update(liquidationPrice="NaN")), Reason.DECODE),
    ],
)
async def test_second_answer_that_fails_fails_the_poll(
    exchange: SimulatedExchange, answer: Callable[[Answer], Answer], reason: Reason
) -> None:
    """Without its position risk a poll publishes nothing, not even the good status, and counts that reason."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer(POSITION, "alice", answer):
            state = await polled.poll()

    assert [] == polled.snapshots
    assert {reason: 1} == state.failures
    assert not state.last_poll_succeeded
    assert (1, 1) == (status_queries(exchange), position_queries(exchange))


@pytest.mark.parametrize(
    ("expected", "broken"),
    [
        ("result[0].positionAmt: is missing", lambda result: result[0].pop("positionAmt")),
        ("result[1]: duplicates result[0]", lambda result: result.append(result[0])),
        ("result[0].adl: Expected `int | null`, got `array`", lambda result: result[0].update(adl=[])),
    ],
)
async def test_decode_failure_of_the_second_answer_names_the_field(
    exchange: SimulatedExchange, expected: str, broken: Callable[[Answer], object]
) -> None:
    """A broken position risk response is reported with the path of the field."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(POSITION, "alice", altered(broken)):
            state = await polled.poll()

    assert state.last_failure
    assert expected == state.last_failure.message


async def test_failed_second_answer_keeps_the_last_snapshot(exchange: SimulatedExchange) -> None:
    """A poll that fails by its second answer leaves the last snapshot and its age as they were."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        answered_at = polled.state.answered_at
        with exchange.replace_answer(POSITION, "alice", error(500, -1000)):
            state = await polled.poll()
        failed_at = state.answered_at
        pass_time(exchange, connection, monotonic, 15)
        await polled.poll()

    assert answered_at == failed_at == polled.snapshots[0].answered_at
    assert 2 == len(polled.snapshots)


@pytest.mark.usefixtures("virtual_time")
async def test_snapshot_is_dated_by_the_status(exchange: SimulatedExchange) -> None:
    """An answer about positions that comes later makes the snapshot no younger than the account's status."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.delay_answers(7.0, POSITION):
            state = await polled.poll()
        now = connection.clock.monotonic()

    (snapshot,) = polled.snapshots
    assert snapshot.asked_at <= snapshot.answered_at <= now - 6.9
    assert snapshot.answered_at == state.answered_at


@pytest.mark.usefixtures("virtual_time")
async def test_slow_answers_fit_into_a_short_interval(exchange: SimulatedExchange) -> None:
    """Answers that take most of the interval fail no poll, those about the asset mode included."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.delay_answers(0.7):
            for _ in range(3):
                state = await polled.poll(within=1.0)

    assert {} == state.failures
    assert 3 == len(polled.snapshots)


async def test_timestamp_that_the_second_response_rejects_is_corrected(exchange: SimulatedExchange) -> None:
    """If the timestamp of the second request is rejected, the time is read again, and both are sent again."""
    refusals = [error(400, -1021)]
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer(POSITION, "alice", lambda answer: refusals.pop()(answer) if refusals else answer):
            state = await polled.poll()

    assert {} == state.failures
    assert (2, 2) == (status_queries(exchange), position_queries(exchange))
    assert 1 == len(polled.snapshots)


@pytest.mark.parametrize("unknown_method", [error(404, -5000, "Method v2/account.position is invalid"), error(404, -1)])
async def test_unknown_position_risk_applies_to_the_whole_endpoint(
    exchange: SimulatedExchange, logged: list[Any], unknown_method: Callable[[Answer], Answer]
) -> None:
    """Without position risk polls use the status; one account tries it hourly, it is logged once, and used again."""
    monotonic = Monotonic()
    counts = []
    async with connected(exchange.url, monotonic=monotonic) as connection:
        availability = MethodAvailability(connection)
        pair = [
            Polled(exchange, connection, name, availability=availability, asset_mode=AssetMode.SINGLE)
            for name in ("alice", "bob")
        ]
        with exchange.replace_answer(POSITION, None, unknown_method):
            for _ in range(3):
                for polled in (*pair, *pair):
                    await polled.poll()
                counts.append(position_queries(exchange))
                pass_time(exchange, connection, monotonic, 3600)
        for polled in pair:
            await polled.poll()

    assert [1, 2, 3] == counts
    for polled in pair:
        assert [*[()] * 6, ("BTCUSDT",)] == [tuple(r.symbol for r in one.risks) for one in polled.snapshots]
        assert ["USDT"] * 7 == [position.margin_asset for one in polled.snapshots for position in one.held]
        assert {} == polled.state.failures
    assert ["endpoint"] == [next(iter(event)) for event in logged if event["log_level"] == "error"]
    assert ["alice", "bob"] == sorted(event["account"] for event in logged if event["log_level"] == "warning")


@pytest.mark.usefixtures("virtual_time")
async def test_position_risk_that_is_never_answered_is_given_up(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """The third unanswered position risk request in a row does not fail the poll: only the status is used."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.lose_answers(POSITION):
            for _ in range(4):
                await polled.poll()
                await asyncio.sleep(60)
            requests = position_queries(exchange)
        await asyncio.sleep(300)
        state = await polled.poll()

    assert ({Reason.TIMEOUT: 2}, 3) == (state.failures, requests)
    assert [0, 0, 1] == [len(snapshot.risks) for snapshot in polled.snapshots]
    assert [1, 1, 0] == [len(snapshot.risk_missing or ()) for snapshot in polled.snapshots]
    assert 1 == len([event for event in logged if event["log_level"] == "error"])


async def test_unknown_margin_asset_is_warned_of_once(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A position with an unknown margin asset leaves all cross ratios unknown, with a single warning."""
    strange = altered(lambda result: result["positions"][0].update(symbol="BTCEUR"))
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, position_risk=False)
        with exchange.replace_answer(STATUS, "alice", strange):
            for _ in range(3):
                await polled.poll()
        await polled.poll()

    unknown = [{pool.ratio for pool in cross_pools(snapshot)} for snapshot in polled.snapshots]
    assert [{None}] * 3 == unknown[:3]
    assert None not in unknown[3]
    (event,) = [event for event in logged if event["event"] == "margin ratios unknown"]
    assert ("alice", ["BTCEUR: margin asset unknown"]) == (event["account"], event["missing"])


async def test_stretched_interval_does_not_bring_back_stale_data(exchange: SimulatedExchange) -> None:
    """Figures that have vanished stay away when the intervals are stretched later, and their staleness with them."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        state = await polled.poll()
        monotonic.ahead += 61
        was_fresh = state.is_fresh(monotonic())
        state.stretch(10.0)

        assert not was_fresh
        assert not state.is_fresh(monotonic())


async def test_age_counts_from_the_request(exchange: SimulatedExchange) -> None:
    """A response that was long in transit is as old as its request, since the exchange may have sent it at once."""
    monotonic = Monotonic()

    def late(answer: dict[str, Any]) -> dict[str, Any]:
        monotonic.ahead += 7
        return answer

    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, position_risk=False, asset_mode=AssetMode.SINGLE)
        with exchange.replace_answer("v2/account.status", "alice", late):
            state = await polled.poll(within=60.0)

    assert state.answered_at is not None
    assert state.stale_at <= state.answered_at + 60.0 - 7.0


async def test_key_files_that_hang_do_not_hold_up_a_poll(exchange: SimulatedExchange) -> None:
    """A poll ends by its deadline although the key files hang; they are read once, and used when they respond."""
    right = credentials_of(exchange.accounts["alice"])
    release = threading.Event()
    reads: list[None] = []

    def reread() -> Credentials:
        reads.append(None)
        release.wait(DEADLINE_SECONDS)
        return right

    async with connected(exchange.url) as connection:
        wrong = Credentials.hmac(right.api_key, Secret("not-the-secret"))
        alice = Polled(exchange, connection, credentials=wrong, reread=reread)
        await alice.poll()
        for _ in range(2):
            await alice.poll(within=0.05)
        refused = dict(alice.state.failures)
        await until(lambda: reads)  # by the thread
        read = len(reads)
        release.set()
        state = await alice.poll()

    assert ({Reason.REFUSED: 3}, 1) == (refused, read)
    assert state.last_poll_succeeded


async def test_reload_wins_over_key_files_of_before(exchange: SimulatedExchange) -> None:
    """Settings that a reload brings while the key files of before are read stay as the reload has set them."""
    right = credentials_of(exchange.accounts["alice"])
    wrong = Credentials.hmac(right.api_key, Secret("not-the-secret"))
    release, reading = threading.Event(), threading.Event()

    def reread() -> Credentials:
        reading.set()
        release.wait(DEADLINE_SECONDS)
        return right

    async with connected(exchange.url) as connection:
        alice = Polled(exchange, connection, credentials=wrong, reread=reread)
        await alice.poll()
        poll = asyncio.create_task(alice.poll())
        await until(reading.is_set)
        reloaded = replace(alice.state.settings, reread=lambda: None)
        alice.state.settings = reloaded
        release.set()
        await poll

    assert reloaded is alice.state.settings
    assert {Reason.REFUSED: 2} == alice.state.failures
