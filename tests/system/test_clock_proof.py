"""The promise of the clock, end to end: whosever clock is wrong or stepped, polls go on.

Real sockets and the exporter's own pieces; minutes pass in milliseconds, as in the proof of the weight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
from support.counting_exchange import Exchange, Host, failures, good_polls, in_virtual_time, running
from support.virtual_time import now

from exporter.account.snapshot import AssetMode
from exporter.binance.errors import Reason
from exporter.simulator.answer_edits import error

if TYPE_CHECKING:
    from exporter.simulator.answer_edits import Answer, Replacement

STATUS: Final = "v2/account.status"
POSITION: Final = "v2/account.position"
CLOCK: Final = "session.status"
STEPS: Final = (30.0, -30.0, 3600.0, -3600.0)  # seconds


class Witness:
    """Counts what an exchange is asked, and the codes that it refuses with by itself."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.refusals = Counter[int]()
        exchange.replace_answer(None, None, self._see)

    def asked(self, method: str) -> int:
        """Count the requests of a method."""
        return sum(received.method == method for received in self._exchange.received)

    def _see(self, answer: Answer) -> Answer:
        if "error" in answer:
            self.refusals[answer["error"]["code"]] += 1
        return answer


def time_refused(exchange: Exchange, told: str) -> Replacement:
    """Refuse to tell the time where it is asked for; tell it in the error's data, or nowhere but in the Date."""

    def refuse(answer: Answer) -> Answer:
        data = {"serverTime": int(exchange.server_time() * 1000)}
        return error(500, code=-1000, msg="An unknown error occurred.", data=data)(answer)  # type: ignore[return-value]

    return refuse if told == "data" else error(404, code=-5000, msg="Method v1/session.status is invalid")


@pytest.mark.parametrize("wrong", STEPS)
@in_virtual_time
async def test_host_clock_that_is_wrong_from_the_start(wrong: float) -> None:
    """However wrong the host's clock is, no poll fails and none needs a second try."""
    async with Exchange(3) as exchange:
        witness = Witness(exchange)
        async with running(exchange, Host(wrong)) as wired:
            await asyncio.sleep(120)

    assert Counter() == failures(wired) == witness.refusals
    assert 20 < good_polls(wired) <= witness.asked(STATUS) <= good_polls(wired) + 1  # one may have been under way


@in_virtual_time
async def test_host_clock_that_is_stepped() -> None:
    """Steps of the host's clock while it runs fail no poll, and none needs a second try."""
    host = Host()
    async with Exchange(3) as exchange:
        witness = Witness(exchange)
        async with running(exchange, host) as wired:
            for step in (0.0, *STEPS):
                host.wrong += step
                await asyncio.sleep(25)

    assert Counter() == failures(wired) == witness.refusals
    assert 20 < good_polls(wired) <= witness.asked(STATUS) <= good_polls(wired) + 1


@pytest.mark.parametrize("wrong", [0.0, 3600.0])
@in_virtual_time
async def test_exchange_clock_that_is_stepped(wrong: float) -> None:
    """Each step of the exchange's clock costs one poll a second try of both questions, and the exchange one more."""
    async with Exchange(3) as exchange:
        witness = Witness(exchange)
        async with running(exchange, Host(wrong), asset_mode=AssetMode.SINGLE) as wired:
            await asyncio.sleep(26)
            for skew in STEPS:
                with exchange.skew_clock(skew):
                    await asyncio.sleep(25)

    assert Counter() == failures(wired)
    assert 20 < good_polls(wired)
    assert {-1021: 2 * len(STEPS)} == witness.refusals
    assert 1 + len(STEPS) == witness.asked(CLOCK)


@pytest.mark.parametrize("told", ["date", "data"])
@pytest.mark.parametrize("wrong", STEPS)
@in_virtual_time
async def test_time_that_is_told_elsewhere(wrong: float, told: str) -> None:
    """Where session.status is refused the handshake's Date, or the refusal's own serverTime, tells the time."""
    async with Exchange(3) as exchange:
        witness = Witness(exchange)
        with exchange.replace_answer(CLOCK, None, time_refused(exchange, told)):
            async with running(exchange, Host(wrong)) as wired:
                await asyncio.sleep(60)
                (offset,) = [connection.clock.offset_seconds for connection in wired.connections]

    assert -wrong == pytest.approx(offset, abs=0.6 if told == "date" else 0.1)  # the Date names no part of a second
    assert Counter() == failures(wired) == witness.refusals
    assert 10 < good_polls(wired)


@pytest.mark.parametrize("told", ["date", "data"])
@in_virtual_time
async def test_time_that_is_told_elsewhere_is_learnt_anew(told: str) -> None:
    """Where session.status is refused a step of the exchange's clock is over with the next connection at the latest."""
    async with Exchange(3) as exchange:
        with exchange.replace_answer(CLOCK, None, time_refused(exchange, told)):
            async with running(exchange) as wired:
                await asyncio.sleep(30)
                exchange.skew_clock(30.0)
                exchange.drop_connections()
                await asyncio.sleep(120)
                before = failures(wired)
                await asyncio.sleep(60)

    assert before == failures(wired)


@pytest.mark.parametrize("method", [STATUS, POSITION, None])
@in_virtual_time
async def test_timestamp_that_is_never_right(method: str | None) -> None:
    """A -1021 that never ends fails polls for reason clock, two tries each and ever further apart."""
    async with Exchange() as exchange:
        witness = Witness(exchange)
        with exchange.replace_answer(method, None, error(400, code=-1021, msg="Timestamp is outside the recvWindow.")):
            async with running(exchange, asset_mode=AssetMode.SINGLE) as wired:
                await asyncio.sleep(600)

    # Polls are sent after 0, 15, 45, 105 seconds and then each minute.
    assert {Reason.CLOCK} == set(failures(wired))
    assert 0 == good_polls(wired)
    assert 20 <= witness.asked(method or STATUS) <= 26
    assert witness.asked(STATUS) <= 26
    assert witness.asked(POSITION) <= 26
    assert witness.asked(CLOCK) <= 16


@in_virtual_time
async def test_mode_question_whose_timestamp_is_never_right() -> None:
    """V1 that refuses every timestamp is asked twice each time, ever less often, and costs no poll."""
    async with Exchange() as exchange:
        witness = Witness(exchange)
        with exchange.replace_answer("account.status", None, error(400, code=-1021, msg="Timestamp is outside.")):
            async with running(exchange) as wired:
                await asyncio.sleep(300)

    assert Counter() == failures(wired)
    assert 15 < good_polls(wired)
    assert 2 * 5 == witness.asked("account.status")  # twice each after 0, 1, 3, 7 and 15 intervals


@in_virtual_time
async def test_end_of_a_ban_is_by_the_exchanges_clock() -> None:
    """A ban that only its text tells, found by the first question, is waited out also by a host that is ahead."""
    async with Exchange() as exchange:
        ban = error(418, code=-1003, msg=f"Way too many requests; banned until {int((now() + 100) * 1000)}.")
        with exchange.replace_answer(None, None, ban):
            async with running(exchange, Host(30.0)):
                await asyncio.sleep(99)

    assert [5, 2] == [arrival.weight for arrival in exchange.arrivals]
