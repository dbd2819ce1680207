"""Clocks, end to end: polls continue whether the host's or the exchange's clock is wrong or stepped.

Real sockets and the exporter's own pieces; minutes pass in milliseconds, as in the proof of the weight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
from support.counting_exchange import Exchange, Host, failures, running, successful_polls
from support.methods import POSITION, SESSION, STATUS
from support.polling import count_requests
from support.virtual_time import now

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason
from exporter.simulator.answer_edits import error

if TYPE_CHECKING:
    from exporter.simulator.answer_edits import Answer, Replacement

pytestmark = pytest.mark.usefixtures("virtual_time")

STEPS: Final = (30.0, -30.0, 3600.0, -3600.0)  # seconds


def rejections_by(exchange: Exchange) -> Counter[int]:
    """Return the codes of the requests that an exchange rejects from now on, as they are counted."""
    codes = Counter[int]()

    def see(answer: Answer) -> Answer:
        if "error" in answer:
            codes[answer["error"]["code"]] += 1
        return answer

    exchange.replace_answer(None, None, see)
    return codes


def rejected_time(exchange: Exchange, source: str) -> Replacement:
    """Reject session.status, with the time in the error's data or only in the handshake's Date."""

    def refuse(answer: Answer) -> Answer:
        data = {"serverTime": int(exchange.server_time() * 1000)}
        return error(500, code=-1000, msg="An unknown error occurred.", data=data)(answer)  # type: ignore[return-value]

    return refuse if source == "data" else error(404, code=-5000, msg="Method v1/session.status is invalid")


@pytest.mark.parametrize("wrong", STEPS)
async def test_host_clock_that_is_wrong_from_the_start(wrong: float) -> None:
    """Whatever the error of the host's clock, no poll fails and none needs a second attempt."""
    async with Exchange(3) as exchange:
        rejections = rejections_by(exchange)
        async with running(exchange, Host(wrong)) as fleet:
            await asyncio.sleep(120)

    assert Counter() == failures(fleet) == rejections
    assert (
        20 < successful_polls(fleet) <= count_requests(exchange, STATUS) <= successful_polls(fleet) + 1
    )  # one may have been running


async def test_host_clock_that_is_stepped() -> None:
    """Steps of the host's clock make no poll fail, and none needs a second attempt."""
    host = Host()
    async with Exchange(3) as exchange:
        rejections = rejections_by(exchange)
        async with running(exchange, host) as fleet:
            for step in (0.0, *STEPS):
                host.ahead_seconds += step
                await asyncio.sleep(25)

    assert Counter() == failures(fleet) == rejections
    assert 20 < successful_polls(fleet) <= count_requests(exchange, STATUS) <= successful_polls(fleet) + 1


@pytest.mark.parametrize("wrong", [0.0, 3600.0])
async def test_exchange_clock_that_is_stepped(wrong: float) -> None:
    """After each step of the exchange's clock one poll needs a second attempt of both queries."""
    async with Exchange(3) as exchange:
        rejections = rejections_by(exchange)
        async with running(exchange, Host(wrong), asset_mode=AssetMode.SINGLE) as fleet:
            await asyncio.sleep(26)
            for skew in STEPS:
                with exchange.skew_clock(skew):
                    await asyncio.sleep(25)

    assert Counter() == failures(fleet)
    assert 20 < successful_polls(fleet)
    assert {-1021: 2 * len(STEPS)} == rejections
    assert 1 + len(STEPS) == count_requests(exchange, SESSION)


@pytest.mark.parametrize("source", ["date", "data"])
@pytest.mark.parametrize("wrong", STEPS)
async def test_time_from_another_source(wrong: float, source: str) -> None:
    """If session.status is rejected, the time is that of the handshake's Date or of the error's serverTime."""
    async with Exchange(3) as exchange:
        rejections = rejections_by(exchange)
        with exchange.replace_answer(SESSION, None, rejected_time(exchange, source)):
            async with running(exchange, Host(wrong)) as fleet:
                await asyncio.sleep(60)
                (offset,) = [connection.clock.offset_seconds for connection in fleet.connections]

    assert -wrong == pytest.approx(offset, abs=0.6 if source == "date" else 0.1)  # the Date has whole seconds
    assert Counter() == failures(fleet) == rejections
    assert 10 < successful_polls(fleet)


@pytest.mark.parametrize("source", ["date", "data"])
async def test_time_from_another_source_is_updated(source: str) -> None:
    """If session.status is rejected, a step of the exchange's clock is noticed by the next connection at the latest."""
    async with Exchange(3) as exchange:
        with exchange.replace_answer(SESSION, None, rejected_time(exchange, source)):
            async with running(exchange) as fleet:
                await asyncio.sleep(30)
                exchange.skew_clock(30.0)
                exchange.drop_connections()
                await asyncio.sleep(120)
                before = failures(fleet)
                await asyncio.sleep(60)

    assert before == failures(fleet)


@pytest.mark.parametrize("method", [STATUS, POSITION, None])
async def test_timestamp_that_is_never_right(method: str | None) -> None:
    """A permanent -1021 fails polls with reason clock, after two attempts each, with growing intervals."""
    async with Exchange() as exchange:
        with exchange.replace_answer(method, None, error(400, code=-1021, msg="Timestamp is outside the recvWindow.")):
            async with running(exchange, asset_mode=AssetMode.SINGLE, configuration=False) as fleet:
                await asyncio.sleep(600)

    # Polls are sent after 0, 15, 45, 105 seconds and then each minute.
    assert {Reason.CLOCK} == set(failures(fleet))
    assert 0 == successful_polls(fleet)
    assert 20 <= count_requests(exchange, method or STATUS) <= 26
    assert count_requests(exchange, STATUS) <= 26
    assert count_requests(exchange, POSITION) <= 26
    assert count_requests(exchange, SESSION) <= 16


async def test_v1_that_rejects_every_timestamp() -> None:
    """If v1 rejects every timestamp it is requested twice each time, with growing intervals, and no poll fails."""
    async with Exchange() as exchange:
        with exchange.replace_answer("account.status", None, error(400, code=-1021, msg="Timestamp is outside.")):
            async with running(exchange) as fleet:
                await asyncio.sleep(300)

    assert Counter() == failures(fleet)
    assert 15 < successful_polls(fleet)
    assert 2 * 5 == count_requests(exchange, "account.status")  # twice each after 0, 1, 3, 7 and 15 intervals


async def test_end_of_a_ban_is_by_the_exchanges_clock() -> None:
    """A ban whose end is only in its text, met by the first request, is waited out also by a host that is ahead."""
    async with Exchange() as exchange:
        ban = error(418, code=-1003, msg=f"Way too many requests; banned until {int((now() + 100) * 1000)}.")
        with exchange.replace_answer(None, None, ban):
            async with running(exchange, Host(30.0)):
                await asyncio.sleep(99)

    assert [5, 2] == [arrival.weight for arrival in exchange.arrivals]
