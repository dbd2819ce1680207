"""Key files that are read again after the key was refused: they neither hold up a poll nor undo a reload."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from support.polling import Polled, connected, credentials_of
from support.waiting import DEADLINE_SECONDS, until

from exporter.binance.errors import Reason
from exporter.binance.signing import Credentials, Secret

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


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
