"""Data and clock after a suspend, a pause of the virtual machine, or a wall clock set ahead.

The exporter and its exchange run in virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from support.clock_events import THREE_HOURS, ClockEvent, pause, set_ahead, suspend
from support.counting_exchange import Host
from support.http_clients import http_client
from support.methods import SESSION, STATUS
from support.polling import count_requests
from support.service import Samples, configured, scrape, serving, until_sample, until_scraped, value
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from exporter.simulator import SimulatedExchange
    from exporter.simulator.answer_edits import Answer

pytestmark = pytest.mark.usefixtures("virtual_time")

_NO_KEEP_ALIVE: Final = httpx.Limits(max_keepalive_connections=0)


def shown(samples: Samples, account: str = "alice") -> set[str]:
    """Return the names of an account's figures."""
    prefixes = ("binance_futures_account_", "binance_futures_asset_", "binance_futures_position_")
    named = {name for name, labels in samples if ("account", account) in labels and name.startswith(prefixes)}
    # The configuration is requested in parallel, and is in the next snapshot.
    return {name for name in named if not re.search("account_(info|fee|can|hedge|conf)|position_leverage", name)}


def exchange_label(samples: Samples) -> str:
    """Return the label of the only endpoint."""
    (label,) = {dict(labels)["endpoint"] for name, labels in samples if name == "binance_futures_connected"}
    return label


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
        async with http_client(str(client.base_url), limits=_NO_KEEP_ALIVE) as fresh:
            yield fresh


@pytest.mark.parametrize("event", [pause, set_ahead, suspend])
async def test_old_data_is_hidden_at_once_and_polled_again(
    exchange: SimulatedExchange, tmp_path: Path, event: ClockEvent
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


@pytest.mark.parametrize(("event", "offset"), [(pause, 0.0), (set_ahead, -THREE_HOURS), (suspend, 0.0)])
async def test_clock_is_learnt_again_before_anything_is_signed(
    exchange: SimulatedExchange, tmp_path: Path, event: ClockEvent, offset: float
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
            polls, clock_requests = count_requests(exchange, STATUS), count_requests(exchange, SESSION)
            await until(lambda: count_requests(exchange, SESSION) > clock_requests)
            samples = await scrape(client)
            polls_before_the_answer = count_requests(exchange, STATUS)
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
async def test_dead_connection_is_replaced_soon(exchange: SimulatedExchange, tmp_path: Path, event: ClockEvent) -> None:
    """A connection that died meanwhile is replaced soon, and no stale series are shown until then."""
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
            requests_before = count_requests(exchange, STATUS)
            await until(lambda: count_requests(exchange, STATUS) > requests_before)
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


@pytest.mark.parametrize("step", [-THREE_HOURS, 29.0])
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
        before = count_requests(exchange, STATUS)
        for _ in range(60):
            host.ahead_seconds += 100.0
            await asyncio.sleep(10.0)
        polls = count_requests(exchange, STATUS) - before
        await until_sample(client, 1.0, "up", account="alice")

    assert 16 <= polls <= 22  # of two accounts in ten minutes
