"""An account's asset mode: which source counts, how often v1 is requested, and that no poll fails with it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.methods import POSITION, STATUS, V1
from support.polling import Polled, altered, connected, error, pass_time, traders
from support.waiting import until

from exporter.account.asset_mode import AssetMode
from exporter.account.availability import MethodAvailability
from exporter.binance.errors import Reason
from exporter.simulator import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.snapshot import AccountSnapshot

Answer = dict[str, Any]
HOUR = 3600.0


def count_v1_requests(exchange: SimulatedExchange, name: str | None = None) -> int:
    """Count the requests for v1 account.status, by one account or by all."""
    api_key = name and exchange.accounts[name].api_key
    return sum(
        request.method == V1 and api_key in {None, request.params.get("apiKey")} for request in exchange.received
    )


def reporting(*, multi: bool) -> Callable[[Answer], Answer]:
    """Make v1 report a mode."""
    return altered(lambda result: result.update(multiAssetsMargin=multi))


def with_other_totals(result: Answer) -> None:
    """Make the totals of an answer those of multi-assets mode, by the rule."""
    result["totalWalletBalance"] = "1.0"


def modes(snapshots: list[AccountSnapshot]) -> list[AssetMode]:
    """Return the modes of what was published."""
    return [snapshot.asset_mode for snapshot in snapshots]


@pytest.mark.parametrize("configured", AssetMode)
@pytest.mark.parametrize("multi", [True, False])
async def test_configuration_beats_all(exchange: SimulatedExchange, configured: AssetMode, *, multi: bool) -> None:
    """The configured mode takes precedence over an isolated position, v1 and the totals, and v1 is never requested."""
    exchange.account("alice").open("SOLUSDT", "1", isolated_wallet="100")
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=configured)
        with exchange.replace_answer(V1, "alice", reporting(multi=multi)):
            await polled.poll()

    assert [configured] == modes(polled.snapshots)
    assert 0 == count_v1_requests(exchange)


async def test_isolated_position_beats_v1(exchange: SimulatedExchange) -> None:
    """An isolated position proves single-asset mode, whatever v1 and the totals say."""
    exchange.account("alice").open("SOLUSDT", "1", isolated_wallet="100")
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with (
            exchange.replace_answer(V1, "alice", reporting(multi=True)),
            exchange.replace_answer(STATUS, "alice", altered(with_other_totals)),
        ):
            await polled.poll()

    assert [AssetMode.SINGLE] == modes(polled.snapshots)


async def test_v1_beats_totals_that_look_single(exchange: SimulatedExchange) -> None:
    """A multi-assets account that holds only USDT is detected as such, and v1 is not requested at every poll."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", reporting(multi=True)):
            for _ in range(3):
                await polled.poll()

    assert [AssetMode.MULTI] * 3 == modes(polled.snapshots)
    assert ["USD"] * 3 == [snapshot.currency for snapshot in polled.snapshots]
    assert 1 == count_v1_requests(exchange)


async def test_v1_beats_totals_that_look_multi(exchange: SimulatedExchange) -> None:
    """Totals that are not the USDT row's own figures count for nothing where v1 says single."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", altered(with_other_totals)):
            for _ in range(3):
                await polled.poll()

    assert [AssetMode.SINGLE] * 3 == modes(polled.snapshots)
    assert 1 == count_v1_requests(exchange)


async def test_v1_is_requested_at_the_first_poll_and_hourly(exchange: SimulatedExchange) -> None:
    """V1 is requested in parallel with the first poll and then once an hour, not at the polls between."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        for _ in range(3):
            await polled.poll()
        methods = [request.method for request in exchange.received if request.method != "session.status"]
        pass_time(exchange, connection, monotonic, HOUR - 60)
        await polled.poll()
        early = count_v1_requests(exchange)
        for _ in range(2):
            pass_time(exchange, connection, monotonic, 60)
            await polled.poll()

    assert [STATUS, POSITION, V1, *[STATUS, POSITION] * 2] == methods
    assert (1, 2) == (early, count_v1_requests(exchange))
    assert 6 == len(polled.snapshots)


async def test_switched_account_is_detected_by_the_same_poll(exchange: SimulatedExchange) -> None:
    """When the totals stop agreeing with v1, it is requested again before the snapshot is published."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        exchange.account("alice").deposit("BTC", "1")
        exchange.account("alice").multi_assets = True
        for _ in range(2):
            await polled.poll()

    assert [AssetMode.SINGLE, AssetMode.MULTI, AssetMode.MULTI] == modes(polled.snapshots)
    assert 2 == count_v1_requests(exchange)
    assert {} == polled.state.failures


async def test_totals_that_stop_agreeing_do_not_overrule_v1(exchange: SimulatedExchange) -> None:
    """If v1 reports the same mode again, the mode is kept, and v1 is not requested at every poll from then on."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        with exchange.replace_answer(STATUS, "alice", altered(with_other_totals)):
            for _ in range(3):
                await polled.poll()

    assert [AssetMode.SINGLE] * 4 == modes(polled.snapshots)
    assert 2 == count_v1_requests(exchange)


async def test_unknown_v1_applies_to_the_whole_endpoint(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """Without v1 polls use the totals; this is logged once, one account tries v1 hourly, and it is used again."""
    monotonic = Monotonic()
    counts = []
    async with connected(exchange.url, monotonic=monotonic) as connection:
        availability = MethodAvailability(connection)
        pair = [Polled(exchange, connection, name, availability=availability) for name in ("alice", "bob")]
        with (
            exchange.replace_answer(V1, None, error(404, -5000)),
            exchange.replace_answer(STATUS, "bob", altered(with_other_totals)),
        ):
            for _ in range(3):
                for polled in (*pair, *pair):
                    await polled.poll()
                counts.append(count_v1_requests(exchange))
                pass_time(exchange, connection, monotonic, HOUR)
        for polled in pair:
            await polled.poll()
            await polled.queries_finished()

    assert [1, 2, 3] == counts
    assert 3 + 2 == count_v1_requests(exchange)
    assert [AssetMode.SINGLE] * 7 == modes(pair[0].snapshots)
    assert [*[AssetMode.MULTI] * 6, AssetMode.SINGLE] == modes(pair[1].snapshots)
    assert [{}, {}] == [polled.state.failures for polled in pair]
    assert [("method unavailable", V1)] == [
        (event["event"], event["method"]) for event in logged if event["log_level"] in {"warning", "error"}
    ]


@pytest.mark.parametrize(
    "answer",
    [
        error(500, -1000),
        error(400, -1102),
        error(400, -2015),
        error(403, -5002),
        lambda answer: {"id": answer["id"]},
        lambda answer: {"id": answer["id"], "status": 200},
        lambda answer: {"id": answer["id"], "status": 200, "result": None},
        altered(lambda result: result.pop("multiAssetsMargin")),
        altered(lambda result: result.update(multiAssetsMargin="false")),
        lambda answer: f'{{"id":{answer["id"]},"status":200,"result":{{"multiAssetsMargin":tr',
    ],
)
async def test_v1_that_fails_costs_no_poll(
    exchange: SimulatedExchange, logged: list[Any], answer: Callable[[Answer], Answer]
) -> None:
    """Whatever v1 responds, polls succeed with the totals, without a warning and without a v1 request at each."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", answer):
            for _ in range(3):
                await polled.poll()
        before = count_v1_requests(exchange)
        pass_time(exchange, connection, monotonic, HOUR)
        await polled.poll()

    assert [AssetMode.SINGLE] * 4 == modes(polled.snapshots)
    assert (1, 2) == (before, count_v1_requests(exchange))
    assert {} == polled.state.failures
    assert [] == [event for event in logged if event["log_level"] in {"warning", "error"}]


async def test_v1_is_requested_as_soon_as_it_can_be(exchange: SimulatedExchange) -> None:
    """If v1 could not be requested at the first poll, it is requested at the next one, not an hour later."""
    rejection = exchange.reject_handshake(503)
    async with connected(exchange.url, wait=False) as connection:
        await connection.first_attempt_finished.wait()
        polled = Polled(exchange, connection)
        await polled.poll()
        rejection.close()
        await until(lambda: connection.connected)
        await polled.poll()

    assert 1 == count_v1_requests(exchange)
    assert {Reason.CONNECTION: 1} == polled.state.failures


@pytest.mark.no_cover
@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(
    ("patience", "answer"), [(4.0, lambda _: "unanswered"), (60.0, lambda _: "unanswered"), (10.0, error(500, -1000))]
)
async def test_v1_that_does_not_respond_is_requested_less_and_less(
    exchange: SimulatedExchange, patience: float, answer: Callable[[Answer], Answer]
) -> None:
    """Without a successful response v1 is requested again after 1, 2, 4 ... intervals, then hourly; no poll fails."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0, request_timeout_seconds=patience)
        with exchange.replace_answer(V1, "alice", answer):
            running = asyncio.create_task(polled.poller.run())
            await asyncio.sleep(2.2 * HOUR)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    times = [request.params["timestamp"] / 1000 for request in exchange.received if request.method == V1]

    delays = [*(60.0 * 2**n for n in range(6)), HOUR]
    assert delays == pytest.approx([later - earlier for earlier, later in pairwise(times)], abs=8.0)
    assert {} == polled.state.failures


@pytest.mark.no_cover
@pytest.mark.usefixtures("virtual_time")
async def test_v1_that_stops_responding_is_requested_less_and_less(exchange: SimulatedExchange) -> None:
    """If v1 responded once and then never again, it is not requested at every poll, and the reported mode is kept."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0)
        running = asyncio.create_task(polled.poller.run())
        await until(lambda: polled.snapshots)
        with exchange.replace_answer(V1, "alice", lambda _: "unanswered"):
            await asyncio.sleep(2 * HOUR)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert 1 + 6 == count_v1_requests(exchange)  # after an hour, and 1, 3, 7, 15 and 31 minutes later
    assert {AssetMode.SINGLE} == set(modes(polled.snapshots))


@pytest.mark.no_cover
@pytest.mark.usefixtures("virtual_time")
async def test_v1_that_contradicts_an_isolated_position_is_requested_less_and_less(exchange: SimulatedExchange) -> None:
    """If v1 keeps reporting what an isolated position disproves, it is not requested at every poll."""
    exchange.account("alice").open("SOLUSDT", "1", isolated_wallet="100")
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0)
        running = asyncio.create_task(polled.poller.run())
        with exchange.replace_answer(V1, "alice", reporting(multi=True)):
            await asyncio.sleep(HOUR)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert 6 == count_v1_requests(exchange)  # after 0, 1, 3, 7, 15 and 31 minutes
    assert {AssetMode.SINGLE} == set(modes(polled.snapshots))


async def test_v1_with_a_different_clock_costs_no_poll(exchange: SimulatedExchange) -> None:
    """If v1 rejects every timestamp, the time is read again once, and polls still succeed."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", error(400, -1021)):
            for _ in range(3):
                await polled.poll()

    assert {} == polled.state.failures
    assert 3 == len(polled.snapshots)


async def test_failure_does_not_forget_what_v1_said(exchange: SimulatedExchange) -> None:
    """If v1 fails an hour later, the reported mode is kept."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(V1, "alice", reporting(multi=True)):
            await polled.poll()
        pass_time(exchange, connection, monotonic, HOUR)
        with exchange.replace_answer(V1, "alice", error(500, -1000)):
            await polled.poll()

    assert [AssetMode.MULTI] * 2 == modes(polled.snapshots)


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("patience", "within"), [(4.0, 60.0), (60.0, 15.0)])
async def test_unanswered_v1_costs_no_poll(exchange: SimulatedExchange, patience: float, within: float) -> None:
    """V1 that never answers is given up at its timeout, or after half of the poll's time; the poll succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, request_timeout_seconds=patience)
        with exchange.replace_answer(V1, "alice", lambda _: "unanswered"):
            state = await polled.poll(within)

    assert {} == state.failures
    assert [AssetMode.SINGLE] == modes(polled.snapshots)


@pytest.mark.usefixtures("virtual_time")
async def test_turn_that_does_not_come_costs_no_poll(exchange: SimulatedExchange) -> None:
    """If the plan leaves little weight for v1, one account requests it at a time, the other at a later poll."""
    async with connected(exchange.url) as connection:
        connection.budget.plan([(10, 1e-5)])
        availability = MethodAvailability(connection)
        pair = [Polled(exchange, connection, name, availability=availability) for name in ("alice", "bob")]
        for polled in pair:
            await polled.poll(within=2.0)
        first = [count_v1_requests(exchange, name) for name in ("alice", "bob")]
        await asyncio.sleep(20)
        for polled in pair:
            await polled.poll(within=2.0)

    assert [1, 0] == first
    assert [1, 1] == [count_v1_requests(exchange, name) for name in ("alice", "bob")]
    assert [{}, {}] == [polled.state.failures for polled in pair]


async def test_timestamp_that_v1_rejects_is_corrected(exchange: SimulatedExchange) -> None:
    """If v1 rejects the timestamp, the time is read again, all requests are sent once more, and the poll succeeds."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.skew_clock(20.0):
            state = await polled.poll()
        time_requests = sum(request.method == "session.status" for request in exchange.received)

    assert {} == state.failures
    assert 2 == time_requests == count_v1_requests(exchange)
    assert 2 == sum(request.method == STATUS for request in exchange.received)


async def test_v1_of_all_symbols(logged: list[Any]) -> None:
    """V1's answer of 1,800 rows more is decoded for its one flag."""
    accounts = traders()
    accounts[0].multi_assets = True
    async with SimulatedExchange(accounts, extra_symbols=1800) as exchange, connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", altered(with_usdt_totals)):
            await polled.poll()

    assert [AssetMode.MULTI] == modes(polled.snapshots)
    assert [] == [event for event in logged if event["log_level"] not in {"info", "debug"}]


def with_usdt_totals(result: Answer) -> None:
    """Make the totals of an answer those of the USDT row: by the rule the account is in single-asset mode."""
    usdt = next(row for row in result["assets"] if row["asset"] == "USDT")
    for name in [name for name in result if name not in {"assets", "positions"}]:
        own = name.removeprefix("total")
        result[name] = usdt[own[0].lower() + own[1:]]


async def test_proof_outlives_its_position(exchange: SimulatedExchange) -> None:
    """A mode that an isolated position has disproved is not used again: v1 is requested again."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        said_multi = exchange.replace_answer(V1, "alice", altered(lambda result: result.update(multiAssetsMargin=True)))
        exchange.account("alice").close("BTCUSDT")
        await polled.poll()
        said_multi.close()
        exchange.account("alice").open("ETHUSDT", "1", leverage=10, isolated_wallet="500")
        await polled.poll()
        exchange.account("alice").close("ETHUSDT")
        pass_time(exchange, connection, monotonic, 15)
        await polled.poll()

    assert [AssetMode.MULTI, AssetMode.SINGLE, AssetMode.SINGLE] == modes(polled.snapshots)
    assert 2 == count_v1_requests(exchange)


async def test_switch_is_noticed_though_v1_fails_once(exchange: SimulatedExchange) -> None:
    """If v1 fails at the moment when the figures stop agreeing, it is requested again with the next poll."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        switched = altered(lambda result: result.update(totalWalletBalance="77777"))
        with exchange.replace_answer(STATUS, "alice", switched):
            failing = exchange.replace_answer(V1, "alice", error(500, -1000))
            await polled.poll()
            failing.close()
            exchange.replace_answer(V1, "alice", altered(lambda result: result.update(multiAssetsMargin=True)))
            await polled.poll()

    assert [AssetMode.SINGLE, AssetMode.SINGLE, AssetMode.MULTI] == modes(polled.snapshots)


async def test_v1_that_goes_on_failing_leaves_it_to_the_figures(exchange: SimulatedExchange) -> None:
    """When v1 cannot settle what the figures say for several polls, the figures are believed."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        switched = altered(lambda result: result.update(totalWalletBalance="77777"))
        with (
            exchange.replace_answer(STATUS, "alice", switched),
            exchange.replace_answer(V1, "alice", error(500, -1000)),
        ):
            for _ in range(5):
                await polled.poll()

    assert [AssetMode.SINGLE] * 4 + [AssetMode.MULTI] * 2 == modes(polled.snapshots)
