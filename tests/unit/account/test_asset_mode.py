"""An account's asset mode: which source counts, and how often v1 is requested."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.asset_modes import OTHER_TOTALS, reporting
from support.clocks import Monotonic
from support.methods import POSITION, SESSION, STATUS, V1
from support.polling import Polled, altered, connected, count_requests, pass_time, traders
from support.waiting import running_task

from exporter.account.asset_mode import AssetMode
from exporter.simulator import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.polling import Answer

HOUR = 3600.0


def with_usdt_totals(result: Answer) -> None:
    """Make the totals of an answer those of the USDT row: by the rule the account is in single-asset mode."""
    usdt = next(row for row in result["assets"] if row["asset"] == "USDT")
    for name in [name for name in result if name not in {"assets", "positions"}]:
        own = name.removeprefix("total")
        result[name] = usdt[own[0].lower() + own[1:]]


@pytest.mark.parametrize("configured", AssetMode)
@pytest.mark.parametrize("multi", [True, False])
async def test_configuration_beats_all(exchange: SimulatedExchange, configured: AssetMode, *, multi: bool) -> None:
    """The configured mode takes precedence over an isolated position, v1 and the totals, and v1 is never requested."""
    exchange.account("alice").open("SOLUSDT", "1", isolated_wallet="100")
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, asset_mode=configured)
        with exchange.replace_answer(V1, "alice", reporting(multi=multi)):
            await polled.poll()

    assert [configured] == polled.modes
    assert 0 == count_requests(exchange, V1)


async def test_isolated_position_beats_v1(exchange: SimulatedExchange) -> None:
    """An isolated position proves single-asset mode, whatever v1 and the totals say."""
    exchange.account("alice").open("SOLUSDT", "1", isolated_wallet="100")
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with (
            exchange.replace_answer(V1, "alice", reporting(multi=True)),
            exchange.replace_answer(STATUS, "alice", OTHER_TOTALS),
        ):
            await polled.poll()

    assert [AssetMode.SINGLE] == polled.modes


@pytest.mark.parametrize(
    ("method", "answer", "mode", "currency"),
    [(V1, reporting(multi=True), AssetMode.MULTI, "USD"), (STATUS, OTHER_TOTALS, AssetMode.SINGLE, "USDT")],
)
async def test_v1_beats_the_totals(
    exchange: SimulatedExchange, method: str, answer: Callable[[Answer], Answer], mode: AssetMode, currency: str
) -> None:
    """V1 decides although the totals look like those of the other mode, and is not requested at every poll."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(method, "alice", answer):
            for _ in range(3):
                await polled.poll()

    assert [mode] * 3 == polled.modes
    assert [currency] * 3 == [snapshot.currency for snapshot in polled.snapshots]
    assert 1 == count_requests(exchange, V1)


async def test_v1_is_requested_at_the_first_poll_and_hourly(exchange: SimulatedExchange) -> None:
    """V1 is requested in parallel with the first poll and then once an hour, not at the polls between."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        for _ in range(3):
            await polled.poll()
        methods = [request.method for request in exchange.received if request.method != SESSION]
        pass_time(exchange, connection, monotonic, HOUR - 60)
        await polled.poll()
        early = count_requests(exchange, V1)
        for _ in range(2):
            pass_time(exchange, connection, monotonic, 60)
            await polled.poll()

    assert [STATUS, POSITION, V1, *[STATUS, POSITION] * 2] == methods
    assert (1, 2) == (early, count_requests(exchange, V1))
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

    assert [AssetMode.SINGLE, AssetMode.MULTI, AssetMode.MULTI] == polled.modes
    assert 2 == count_requests(exchange, V1)
    assert {} == polled.state.failures


async def test_totals_that_stop_agreeing_do_not_overrule_v1(exchange: SimulatedExchange) -> None:
    """If v1 reports the same mode again, the mode is kept, and v1 is not requested at every poll from then on."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        with exchange.replace_answer(STATUS, "alice", OTHER_TOTALS):
            for _ in range(3):
                await polled.poll()

    assert [AssetMode.SINGLE] * 4 == polled.modes
    assert 2 == count_requests(exchange, V1)


@pytest.mark.no_cover
@pytest.mark.usefixtures("virtual_time")
async def test_v1_that_contradicts_an_isolated_position_is_requested_less_and_less(exchange: SimulatedExchange) -> None:
    """If v1 keeps reporting what an isolated position disproves, it is not requested at every poll."""
    exchange.account("alice").open("SOLUSDT", "1", isolated_wallet="100")
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, interval_seconds=60.0)
        with exchange.replace_answer(V1, "alice", reporting(multi=True)):
            async with running_task(polled.poller.run()):
                await asyncio.sleep(HOUR)

    assert 6 == count_requests(exchange, V1)  # after 0, 1, 3, 7, 15 and 31 minutes
    assert {AssetMode.SINGLE} == set(polled.modes)


async def test_v1_of_all_symbols(logged: list[Any]) -> None:
    """A response of v1 with 1,800 more symbols gives the mode, without a warning."""
    accounts = traders()
    accounts[0].multi_assets = True
    async with SimulatedExchange(accounts, extra_symbols=1800) as exchange, connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", altered(with_usdt_totals)):
            await polled.poll()

    assert [AssetMode.MULTI] == polled.modes
    assert [] == [event for event in logged if event["log_level"] not in {"info", "debug"}]


async def test_proof_outlives_its_position(exchange: SimulatedExchange) -> None:
    """A mode that an isolated position has disproved is not used again: v1 is requested again."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        said_multi = exchange.replace_answer(V1, "alice", reporting(multi=True))
        exchange.account("alice").close("BTCUSDT")
        await polled.poll()
        said_multi.close()
        exchange.account("alice").open("ETHUSDT", "1", leverage=10, isolated_wallet="500")
        await polled.poll()
        exchange.account("alice").close("ETHUSDT")
        pass_time(exchange, connection, monotonic, 15)
        await polled.poll()

    assert [AssetMode.MULTI, AssetMode.SINGLE, AssetMode.SINGLE] == polled.modes
    assert 2 == count_requests(exchange, V1)
