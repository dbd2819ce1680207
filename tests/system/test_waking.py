"""Behaviour after a suspend, after a pause of the virtual machine, and after the wall clock is set ahead.

The exporter and its exchange run in virtual time. A suspend is simulated by time that passes while nothing runs, as for
a loop whose clock continues meanwhile; a pause by wall clocks that run ahead of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from support.counting_exchange import Exchange, Host, failures, running
from support.methods import SESSION, STATUS
from support.service import Samples, configured, scrape, serving, until_sample, until_scraped, value
from support.virtual_time import VirtualTimeLoop
from support.waiting import until

from exporter.account.asset_mode import AssetMode
from exporter.binance.dialing import Timing
from exporter.binance.errors import Reason
from exporter.simulator.answer_edits import error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from exporter.simulator import SimulatedExchange
    from exporter.simulator.answer_edits import Answer

pytestmark = pytest.mark.usefixtures("virtual_time")

HOURS: Final = 3 * 3600.0
_NO_KEEP_ALIVE: Final = httpx.Limits(max_keepalive_connections=0)


def pause(exchange: SimulatedExchange, host: Host) -> None:
    """Pause the virtual machine for three hours, which only the wall clocks show."""
    host.ahead_seconds += HOURS
    exchange.skew_clock(HOURS)


def set_ahead(_exchange: SimulatedExchange, host: Host) -> None:
    """Set the host's wall clock three hours ahead."""
    host.ahead_seconds += HOURS


def suspend(_exchange: SimulatedExchange, _host: Host) -> None:
    """Suspend the host for three hours."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.suspend(HOURS)


def request_count(exchange: SimulatedExchange, method: str = STATUS) -> int:
    """Return the number of requests of a method."""
    return sum(received.method == method for received in exchange.received)


def shown(samples: Samples, account: str = "alice") -> set[str]:
    """Return the names of an account's figures."""
    prefixes = ("binance_futures_account_", "binance_futures_asset_", "binance_futures_position_")
    named = {name for name, labels in samples if ("account", account) in labels and name.startswith(prefixes)}
    # The configuration is requested in parallel, and is in the next snapshot.
    return {name for name in named if not re.search("account_(info|fee|can|hedge|conf)|position_leverage", name)}


@contextlib.asynccontextmanager
async def exporting(
    exchange: SimulatedExchange, folder: Path, host: Host, interval_seconds: float = 3600.0
) -> AsyncIterator[httpx.AsyncClient]:
    """Run the exporter until both accounts are up; they are polled hourly and go stale after two."""
    loaded = configured(exchange, folder)
    accounts = tuple(
        replace(account, interval_seconds=interval_seconds, stale_after_seconds=2 * interval_seconds)
        for account in loaded.accounts
    )
    async with serving(replace(loaded, accounts=accounts), host.clocks()) as client:
        for name in ("alice", "bob"):
            await until_sample(client, 1.0, "up", account=name)
        # Connections that were idle for hours are closed.
        async with httpx.AsyncClient(base_url=client.base_url, limits=_NO_KEEP_ALIVE) as fresh:
            yield fresh


@pytest.mark.parametrize("event", [pause, set_ahead, suspend])
async def test_old_data_is_hidden_at_once_and_polled_again(
    exchange: SimulatedExchange, tmp_path: Path, event: Callable[[SimulatedExchange, Host], None]
) -> None:
    """Stale series are absent from the next scrape; accounts are soon up again over the same connection."""
    host = Host()
    async with exporting(exchange, tmp_path, host) as client:
        before = await scrape(client)
        event(exchange, host)
        with exchange.delay_answers(4.0):
            hidden = await scrape(client)
            page = (await client.get("/")).text
            for name in ("alice", "bob"):
                after = await until_sample(client, 1.0, "up", account=name)

    assert shown(before)
    assert shown(after) == shown(before)
    assert not shown(hidden)
    assert 0.0 == value(hidden, "up", account="alice") == value(hidden, "up", account="bob")
    assert "3 hours" in page
    assert 1.0 == value(after, "connections_total", endpoint=exchange_label(after))
    assert 0.0 == value(after, "poll_failures_total", account="alice", reason="clock")


def exchange_label(samples: Samples) -> str:
    """Return the label of the only endpoint."""
    (label,) = {dict(labels)["endpoint"] for name, labels in samples if name == "binance_futures_connected"}
    return label


@pytest.mark.parametrize(("event", "offset"), [(pause, 0.0), (set_ahead, -HOURS), (suspend, 0.0)])
async def test_clock_is_learnt_again_before_anything_is_signed(
    exchange: SimulatedExchange, tmp_path: Path, event: Callable[[SimulatedExchange, Host], None], offset: float
) -> None:
    """The clock offset is absent until the exchange has sent its time again, and no request is signed before."""
    host, refusals = Host(), list[Any]()
    async with exporting(exchange, tmp_path, host) as client:
        label = exchange_label(await scrape(client))

        def record(answer: Answer) -> Answer:
            refusals.extend(answer.get("error", ()))
            return answer

        exchange.replace_answer(None, None, record)
        with exchange.delay_answers(4.0, SESSION):
            event(exchange, host)
            polls, clock_requests = request_count(exchange), request_count(exchange, SESSION)
            await until(lambda: request_count(exchange, SESSION) > clock_requests)
            samples = await scrape(client)
            polls_before_the_answer = request_count(exchange)
        after = await until_scraped(
            client, lambda samples: value(samples, "clock_offset_seconds", endpoint=label) is not None
        )
        for name in ("alice", "bob"):
            await until_sample(client, 1.0, "up", account=name)

    assert None is value(samples, "clock_offset_seconds", endpoint=label)
    assert 0.0 == value(samples, "up", account="alice")
    assert polls == polls_before_the_answer
    assert value(after, "clock_offset_seconds", endpoint=label) == pytest.approx(offset, abs=3.0)
    assert [] == refusals


async def test_exchange_that_does_not_send_its_time_again(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """If the request for the time is not answered, polls continue with the previous offset, which is not shown."""
    host = Host()
    async with exporting(exchange, tmp_path, host) as client:
        with exchange.lose_answers(SESSION):
            set_ahead(exchange, host)
            await until_sample(client, 0.0, "up", account="alice")
            for name in ("alice", "bob"):
                samples = await until_sample(client, 1.0, "up", account=name)
            label = exchange_label(samples)

    assert None is value(samples, "clock_offset_seconds", endpoint=label)
    assert 1.0 == value(samples, "connections_total", endpoint=label)


@pytest.mark.parametrize("event", [pause, suspend])
async def test_dead_connection_is_replaced_soon(
    exchange: SimulatedExchange, tmp_path: Path, event: Callable[[SimulatedExchange, Host], None]
) -> None:
    """A connection that died meanwhile is replaced within a minute, and no stale series are shown until then."""
    host = Host()
    async with exporting(exchange, tmp_path, host, 15.0) as client:
        with exchange.stall_connections():
            event(exchange, host)
            resumed_at = asyncio.get_running_loop().time()
            while not value(samples := await scrape(client), "up", account="alice"):
                assert not shown(samples)
                offset = value(samples, "clock_offset_seconds", endpoint=exchange_label(samples))
                assert offset is None or offset == pytest.approx(0.0, abs=2.0)
                await asyncio.sleep(1.0)
        took = asyncio.get_running_loop().time() - resumed_at

        while value(samples, "clock_offset_seconds", endpoint=exchange_label(samples)) is None:
            await asyncio.sleep(1.0)
            samples = await scrape(client)

    assert shown(samples)
    assert took < 90.0


async def test_answer_from_before_a_pause(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """An answer to a request from before the pause is as old as the wall clock says, and is not shown."""
    host = Host()
    async with exporting(exchange, tmp_path, host, 15.0) as client:
        first = await scrape(client)
        with exchange.delay_answers(5.0, STATUS):
            requests_before = request_count(exchange)
            await until(lambda: request_count(exchange) > requests_before)
        exchange.account("alice").close("BTCUSDT")  # not yet in the answer that is on its way
        pause(exchange, host)
        with exchange.lose_answers(STATUS):  # that answer is the last one
            for _ in range(20):
                samples = await scrape(client)
                assert 0.0 == value(samples, "up", account="alice")
                assert not shown(samples)
                await asyncio.sleep(0.5)

    assert shown(first)


async def test_small_jump_leaves_data_that_is_not_stale(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """After a jump that makes nothing stale the series stay, with their age, and accounts are down until polled."""
    host = Host()
    async with exporting(exchange, tmp_path, host) as client:
        host.ahead_seconds += 600.0
        with exchange.delay_answers(4.0):
            down = await until_sample(client, 0.0, "up", account="alice")
            page = (await client.get("/")).text
            await until_sample(client, 1.0, "up", account="alice")

    assert shown(down)
    assert "10 minutes" in page
    assert "its clock jumped ahead" in page


@pytest.mark.parametrize("step", [-HOURS, 29.0])
async def test_other_steps_have_no_effect(exchange: SimulatedExchange, tmp_path: Path, step: float) -> None:
    """A clock that is set back, or ahead by less than half a minute, drops no series and causes no requests."""
    host = Host()
    async with exporting(exchange, tmp_path, host) as client:
        before, requests = await scrape(client), len(exchange.received)
        host.ahead_seconds += step
        await asyncio.sleep(100.0)
        after = await scrape(client)

    assert shown(before) == shown(after)
    assert 1.0 == value(after, "up", account="alice")
    assert requests == len(exchange.received)


async def test_early_polls_are_limited_to_once_a_minute(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """While a clock jumps ahead repeatedly, every account is polled once a minute and no more often."""
    host = Host()
    async with exporting(exchange, tmp_path, host) as client:
        before = request_count(exchange)
        for _ in range(60):
            host.ahead_seconds += 100.0
            await asyncio.sleep(10.0)
        polls = request_count(exchange) - before
        await until_sample(client, 1.0, "up", account="alice")

    assert 16 <= polls <= 22  # of two accounts in ten minutes


@pytest.mark.parametrize(("event", "retries"), [(pause, 0), (set_ahead, 0), (suspend, 1)])
async def test_ban_is_waited_out(event: Callable[[SimulatedExchange, Host], None], retries: int) -> None:
    """A wall clock set ahead does not end a ban; a suspend does, since the time has really passed."""
    host, refuse = Host(), error(418, code=-1003, msg="Way too many requests.")
    async with Exchange(2) as exchange, waking(exchange, host) as fleet:
        (connection,) = fleet.connections
        with exchange.replace_answer(STATUS, None, refuse):
            await until(lambda: connection.budget.paused)
        requests = len(exchange.received)
        event(exchange, host)
        await asyncio.sleep(60.0)
        paused = connection.budget.paused

    assert (len(exchange.received) > requests) == bool(retries)
    assert paused is (None if retries else Reason.BANNED)


@pytest.mark.parametrize("event", [pause, set_ahead])
async def test_rejected_key_is_not_retried_early(event: Callable[[SimulatedExchange, Host], None]) -> None:
    """A wall clock set ahead does not cause an early retry with a rejected key."""
    host, refuse = Host(), error(401, code=-2015, msg="Invalid API-key, IP, or permissions for action.")
    async with Exchange(1) as exchange:
        exchange.replace_answer(STATUS, None, refuse)
        async with waking(exchange, host, interval_seconds=100.0) as fleet:
            await until(lambda: failures(fleet)[Reason.REFUSED])
            await asyncio.sleep(900.0)  # by now the delays between retries are long
            before = request_count(exchange)
            held_until = fleet.pollers[0]._held_until
            event(exchange, host)
            await asyncio.sleep(20.0)

    assert before == request_count(exchange)
    assert held_until == fleet.pollers[0]._held_until


@pytest.mark.parametrize(("event", "rotated"), [(pause, 1), (set_ahead, 1), (suspend, 2)])
async def test_rotation_is_by_the_time_that_has_passed(
    event: Callable[[SimulatedExchange, Host], None], rotated: int
) -> None:
    """A wall clock set ahead does not cause an early rotation; a suspend does."""
    host, timing = Host(), Timing(rotate_between=(HOURS, HOURS))
    async with Exchange(1) as exchange, waking(exchange, host, timing, interval_seconds=600.0) as fleet:
        (connection,) = fleet.connections
        await until(lambda: connection.connected)
        await asyncio.sleep(60.0)
        event(exchange, host)
        await asyncio.sleep(60.0)

    assert rotated == connection.connections
    assert not failures(fleet)


@contextlib.asynccontextmanager
async def waking(exchange: Exchange, host: Host, timing: Timing | None = None, **settings: Any) -> AsyncIterator[Any]:
    """Run the polling parts of the exporter and their watch of the clocks."""
    settings = {"asset_mode": AssetMode.SINGLE} | settings
    async with running(exchange, host, timing=timing, **settings) as fleet:
        watching = asyncio.create_task(fleet.host.watch(fleet.wake))
        try:
            yield fleet
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("event", [pause, suspend])
async def test_accounts_are_polled_again_in_turn(event: Callable[[SimulatedExchange, Host], None]) -> None:
    """After waking the accounts are polled spread over the first round, within the budget, not in a burst."""
    host = Host()
    async with Exchange(20) as exchange, waking(exchange, host, interval_seconds=60.0) as fleet:
        await until(lambda: all(state.last_poll_succeeded for state in fleet.states))
        event(exchange, host)
        resumed_at, polled = exchange.server_time(), request_count(exchange)
        await until(
            lambda: request_count(exchange) >= polled + 20 and all(state.last_poll_succeeded for state in fleet.states)
        )
        took = exchange.server_time() - resumed_at
        most = exchange.most_in_a_second(resumed_at)

    assert took < 30.0
    # Four or five accounts with two queries each, some of their configurations, and the request for the time.
    assert most <= 18
    assert not exchange.rejected()
