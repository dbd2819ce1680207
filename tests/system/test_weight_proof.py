"""Request weight, end to end: the exporter's polling over real sockets, weighed by the exchange."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.counting_exchange import (
    REDIALLING,
    RESTART_WEIGHT,
    Exchange,
    Host,
    repeating,
    running,
    successful_polls,
)
from support.virtual_time import START, now

from exporter.account.asset_mode import AssetMode
from exporter.simulator.answer_edits import field, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.answer_edits import Replacement

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.mark.parametrize("limit", [2400, 6000])
async def test_share_holds_in_every_minute(limit: int) -> None:
    """With too much to poll and connections that end every few seconds, no minute exceeds the share."""
    async with Exchange(20, weight_limit=limit) as exchange:
        async with (
            repeating([0.5, 3.0, 8.0], lambda: exchange.add_other_traffic(limit // 50)),
            repeating([5.0, 0.3, 9.0, 2.0], exchange.drop_connections),
            running(exchange, share=0.2, timing=REDIALLING, interval_seconds=1.0),
        ):
            await asyncio.sleep(220)
        weights = exchange.own_weights()

    assert [] == [weight for weight in weights.values() if weight > 0.2 * limit]
    assert [] == exchange.rejected()
    assert 0.7 * 0.2 * limit < max(weights.values())


@pytest.mark.parametrize(
    "replacement",
    [
        *(field("rateLimits.*.limit", limit) for limit in (0, -1, 99, 10**12, None, "many")),
        *(field("rateLimits.*.count", count) for count in (-1, 10**12, None)),
        field("rateLimits", None),
        field("rateLimits", "none"),
        without("rateLimits"),
    ],
)
async def test_share_holds_whatever_limit_is_reported(replacement: Replacement) -> None:
    """With an invalid limit, or without rateLimits, the share is that of the lowest known limit."""
    async with Exchange(5) as exchange:
        with exchange.replace_answer(None, None, replacement):
            async with running(exchange, share=0.05, interval_seconds=2.0) as fleet:
                await asyncio.sleep(100)
        weights = exchange.own_weights()

    assert [] == [weight for weight in weights.values() if weight > 0.05 * 2400]
    assert successful_polls(fleet)


async def test_handshakes_alone_keep_within_the_share() -> None:
    """If the exchange closes every connection at once, reconnects keep within the share."""
    async with Exchange() as exchange:
        with exchange.close_after(0):
            async with running(exchange, share=0.05, timing=REDIALLING):
                await asyncio.sleep(160)
        weights = exchange.own_weights()

    assert [] == [weight for weight in weights.values() if weight > 0.05 * 2400]
    assert 0.7 * 0.05 * 2400 < max(weights.values())  # the rest was kept for queries that were never heard


@pytest.mark.parametrize(("others", "most"), [(1900, 2160), (2150, 2160), (2300, 2310)])
async def test_other_programs_go_first(others: int, most: int) -> None:
    """Requests keep a minute below nine tenths, except the poll that learns how much others have spent."""
    async with Exchange(20) as exchange:
        async with running(exchange, interval_seconds=5.0):
            await asyncio.sleep(41)
            with exchange.share_weight(others):
                await asyncio.sleep(140)
        spent = [arrival.spent for arrival in exchange.arrivals if arrival.at > START + 100]

    assert others < max(spent) <= most
    assert [] == exchange.rejected()


@pytest.mark.parametrize("wrong", [0.0, 30.0, -30.0, 3600.0])
async def test_restarts_in_a_loop_share_one_share(wrong: float) -> None:
    """However often it is restarted within a minute, it spends the share once, and 7 more per restart."""
    # A new run knows nothing until its first answer, which comes after the dial (5) and the request for the time (2).
    # It treats the IP's count in that answer as its own weight. So the bound of a minute is share + 7 x restarts.
    restarts = 0
    async with Exchange(30) as exchange:
        await asyncio.sleep(41)
        for seconds in (2.0, 9.0, 0.1, 6.0, 4.0, 10.0, 1.0, 7.0, 0.5, 8.0, 5.0):
            async with running(exchange, Host(wrong), share=0.2, interval_seconds=1.0, asset_mode=AssetMode.SINGLE):
                restarts += 1
                await asyncio.sleep(seconds)
        weights = exchange.own_weights()

    assert [1] == list(weights)
    assert 480 < weights[1] <= 480 + RESTART_WEIGHT * restarts


@pytest.mark.parametrize("lost_after", [None, 0.0, 7.0])
@pytest.mark.parametrize(("data", "text"), [(True, True), (True, False), (False, True)])
async def test_nothing_is_sent_during_a_ban_with_a_known_end(
    lost_after: float | None, *, data: bool, text: bool
) -> None:
    """After the poll that meets a ban nothing is sent before its end, not even a handshake."""
    async with Exchange(5, ban_data=data, ban_text=text) as exchange, running(exchange):
        await asyncio.sleep(20.1234567)
        began = now()
        exchange.ban(100)
        if lost_after is not None:
            await asyncio.sleep(lost_after)
            exchange.drop_connections()
        await asyncio.sleep(120)
        after = [arrival for arrival in exchange.arrivals if arrival.at >= began]

    finding = [arrival for arrival in after if arrival.at < began + 100]
    assert {418} == {arrival.status for arrival in finding}
    assert len(finding) <= 2  # both queries of one poll
    assert finding[-1].at - finding[0].at < 0.01
    assert {200} == {arrival.status for arrival in after[len(finding) :]}


async def test_end_of_a_ban_from_a_handshake() -> None:
    """A Retry-After in whole seconds may be up to one too short: no handshake comes before the ban's true end."""
    async with Exchange() as exchange, running(exchange, timing=REDIALLING):
        await asyncio.sleep(20)
        exchange.ban(100.4)
        exchange.drop_connections()
        await asyncio.sleep(120)

    assert 1 == len(exchange.rejected())


@pytest.mark.parametrize("lost", [False, True])
async def test_repeated_bans_double_the_wait(*, lost: bool) -> None:
    """If its end is unknown, a ban is tested after two, four and eight minutes, and nothing is sent between."""
    async with Exchange(3) as exchange, running(exchange):
        await asyncio.sleep(20)
        exchange.ban(3 * 86400, data=False, text=False)
        if lost:
            exchange.drop_connections()
        await asyncio.sleep(15 * 60)
        tries = exchange.arrivals.index(exchange.rejected()[0])

    assert {418} == {arrival.status for arrival in exchange.arrivals[tries:]}
    assert [120, 240, 480] == pytest.approx(exchange.waits(), abs=6)  # the next poll on the grid
    assert [] == [wait for least, wait in zip((120, 240, 480), exchange.waits(), strict=True) if wait < least]


async def test_limit_that_others_exceed() -> None:
    """While other programs exceed the limit the wait for the next minute doubles, and the IP is never banned."""
    async with Exchange(3) as exchange, running(exchange):
        await asyncio.sleep(20)
        with exchange.share_weight(2500):
            await asyncio.sleep(15 * 60)

    assert {429} == {arrival.status for arrival in exchange.rejected()}
    assert [20, 120, 240, 480] == pytest.approx(exchange.waits(), abs=6)


@pytest.mark.parametrize(
    ("after", "disturb", "pause", "watched", "least", "most"),
    [
        (40, lambda exchange: exchange.ban(60), 60, 20, 30, 2 * 4),  # 60 requests in 16 seconds are 4 a second
        (60, lambda exchange: exchange.add_other_traffic(2000), 40, 10, 10, 30),  # half of the 60 requests that waited
    ],
    ids=["ban", "full minute"],
)
async def test_polls_after_a_pause_are_spread(
    after: float, disturb: Callable[[Exchange], object], pause: float, watched: float, least: int, most: int
) -> None:
    """After a ban, or a minute whose weight is spent, the polls of 30 accounts that have waited do not come at once."""
    async with Exchange(30) as exchange, running(exchange, asset_mode=AssetMode.SINGLE) as fleet:
        await asyncio.sleep(after)
        disturb(exchange)
        await asyncio.sleep(pause)
        before, began = successful_polls(fleet), now()
        await asyncio.sleep(watched)
        polls = successful_polls(fleet) - before

    assert least < polls
    assert most >= exchange.most_in_a_second(began)
