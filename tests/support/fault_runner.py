"""Runs one fault against the whole exporter: scrapes it repeatedly, and checks what each scrape shows."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from exporter.account.state import AccountSettings
from exporter.app.service import Service, WebSettings
from exporter.binance.clock import monotonic
from exporter.binance.dialing import Endpoint
from exporter.binance.host_clock import HostClock
from exporter.config.exporter_yml import Config
from exporter.rest.state import RestSettings
from exporter.web.listen_address import ListenAddress
from support.builders import samples
from support.fault_loop import running_loop
from support.fault_table import ACCOUNTS, account_of, counts_of, is_figure, is_up, setting_of, shortened
from support.methods import STATUS
from support.polling import credentials_of
from support.recording_exchange import RecordingExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from exporter.simulator import SimulatedExchange
    from support.fault_table import FaultRow, Result, Switch

# The settings are those of production: polls every 15 s, stale after 60 s, request timeout 10 s.
_SCRAPE_SECONDS: Final = 4.5
_SLACK_SECONDS: Final = 2.0  # time leaps by half a second, possibly twice while an answer is on its way
_SHARE: Final = 0.5
_MOST_CONNECTIONS: Final = 30


class FaultRun:
    """The exchange, the exporter and its scraper."""

    def __init__(self, exchange: RecordingExchange, url: str, running: asyncio.Task[None], result: Result) -> None:
        self.exchange = exchange
        self.loop = running_loop()
        self.result = result
        self._url = urlsplit(url)
        self._running = running

    async def scrape(self) -> dict[str, float]:
        """Scrape once and judge what is shown."""
        assert not self._running.done(), "the exporter has ended"
        began, now = time.perf_counter(), self.loop.time()
        async with asyncio.timeout(30):
            head, body = await self._get()
        # A scrape should take at most one second. The table shows it, but it is not asserted, since a busy machine
        # takes longer.
        seconds = time.perf_counter() - began
        self.result.slowest_scrape_seconds = max(self.result.slowest_scrape_seconds, seconds)

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ncontent-length: %d\r\n" % len(body) in head
        shown = samples(body)
        values: dict[str, dict[str, float]] = {account: {} for account in ACCOUNTS}
        for series, value in shown.items():
            if account := account_of(series):
                values[account][series] = value
        counts = counts_of(shown)
        for account in ACCOUNTS:
            failed = sum(count for (owner, _), count in counts.items() if owner == account)
            self._check(account, shown, values[account], failed, now)
        return shown

    async def _get(self) -> tuple[bytes, bytes]:
        """Return head and body of an uncompressed scrape over a new connection, faster than an HTTP client would."""
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        try:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        return head + b"\r\n", body

    async def watch(self, seconds: float) -> None:
        """Scrape repeatedly for so long."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            await self.scrape()
            await asyncio.sleep(_SCRAPE_SECONDS)

    async def recover(self, since: float, within_seconds: float) -> float:
        """Scrape until both accounts are up with answers sent after `since`; return how long that took."""
        while True:
            shown = await self.scrape()
            seconds = self.loop.time() - since
            if all(is_up(shown, name) and self.result.shown_at[name] > since for name in ACCOUNTS):
                return seconds
            assert seconds < within_seconds, "the exporter does not recover"
            await asyncio.sleep(2.5)

    def _check(
        self, account: str, shown: dict[str, float], values: dict[str, float], failed: float, now: float
    ) -> None:
        result = self.result
        up = is_up(shown, account)
        interval, stale_after = (
            setting_of(shown, name, account) for name in ("poll_interval_seconds", "stale_after_seconds")
        )
        figures = {series: value for series, value in values.items() if is_figure(series)}
        if figures:
            oldest = now - stale_after - _SLACK_SECONDS
            sent_at = next((at for at, series in self.exchange.sent_series(account, oldest) if series == figures), None)
            assert sent_at is not None, f"{account}: no answer of the last {stale_after} s has the figures shown"
            assert not up or now - sent_at < 2 * interval, f"{account}: up with an answer of {now - sent_at} s ago"
            result.shown_at[account] = sent_at
        else:
            assert not values, f"{account}: ratios without figures"
            assert not up, f"{account}: up without figures"
            age = now - result.shown_at.get(account, float("-inf"))
            assert age > stale_after - _SLACK_SECONDS, f"{account}: figures vanished after {age} s"
        assert up >= result.up.get(account, 0.0) or failed > result.failed[account], f"{account}: down without failure"
        result.up[account], result.failed[account] = up, failed
        if not up:
            result.were_down.add(account)


def switched(switch: Callable[[SimulatedExchange], AbstractContextManager[object]]) -> Switch:
    """Return a row's switch for one of the exchange's faults."""

    @asynccontextmanager
    async def on(run: FaultRun) -> AsyncIterator[None]:
        with switch(run.exchange):
            yield

    return on


async def run_fault(fault: FaultRow, result: Result) -> None:
    """Have the fault once, and check all that the exporter shows before, during and after it."""
    random.seed(fault.name)  # the same backoffs in every run
    async with RecordingExchange() as exchange, _exporting(exchange, fault, result) as run:
        before = Counter[tuple[str, str]]()
        async with AsyncExitStack() as switched:
            if not fault.from_start:
                await run.recover(0.0, 60.0)
                before = counts_of(await run.scrape())
                assert not +before, "a failure before the fault"
                result.were_down.clear()
            await switched.enter_async_context(fault.switch(run))
            requests_before = exchange.requests["alice", STATUS]
            await run.watch(fault.duration_seconds)
            requests = exchange.requests["alice", STATUS] - requests_before
        try:
            result.recovery_seconds = await run.recover(run.loop.time(), fault.recovers_within_seconds)
        finally:
            counts = +counts_of(await run.scrape())
            result.counted = shortened({reason for _, reason in counts})
            result.polls_failed = int(sum(result.failed.values()))
    _check_counts(fault, counts, result)
    assert requests <= fault.most_requests, f"{requests} requests"
    assert fault.rest == any(request.method.startswith("/") for request in exchange.received)
    assert max(exchange.weight_by_minute.values()) <= _SHARE * exchange.weight.limit, (
        "more than the share of the weight"
    )


def _check_counts(fault: FaultRow, counts: Counter[tuple[str, str]], result: Result) -> None:
    reasons = {reason for _, reason in counts}
    connections = sum(count for (_, reason), count in counts.items() if reason.startswith("connection"))
    assert fault.counted <= reasons, f"not counted: {sorted(fault.counted - reasons)}"
    assert reasons <= fault.counted | fault.possible, f"counted: {sorted(reasons)}"
    assert connections <= _MOST_CONNECTIONS, "no backoff between connections"
    if not any(reason.startswith("poll") for reason in fault.counted | fault.possible):
        assert fault.from_start or not result.were_down, "down although no poll failed"
    if fault.affects == "both" and any(reason.startswith("poll") for reason in fault.counted):
        assert {owner for owner, _ in counts} >= set(ACCOUNTS), "only one account's polls failed"
    if fault.affects == "alice":
        assert not [reason for owner, reason in counts if owner == "bob"], "bob's polls failed"
        assert fault.from_start or "bob" not in result.were_down, "bob was down"


@asynccontextmanager
async def _exporting(exchange: RecordingExchange, fault: FaultRow, result: Result) -> AsyncIterator[FaultRun]:
    async with AsyncExitStack() as stack:
        url, rest_url = await stack.enter_async_context(fault.front(exchange.url)), None
        rest = RestSettings()
        if fault.rest:
            rest_url = exchange.rest_url
            rest = RestSettings(funding_interval_seconds=5.0, prices_interval_seconds=5.0)
        endpoint = Endpoint("exchange", url, "none", rest_url)
        accounts = tuple(
            AccountSettings(
                name=name,
                endpoint=endpoint,
                credentials=credentials_of(exchange.accounts[name]),
                key_check_url=rest_url,
            )
            for name in ACCOUNTS
        )
        config = Config(accounts=accounts, weight_share=_SHARE, warnings=(), rest=rest)
        web = WebSettings(addresses=(ListenAddress("127.0.0.1", 0),), process_metrics=False)
        service = Service(config, web, fault.timing, host=HostClock(running_loop().host_clock, monotonic))
        (url,) = service.bind()
        stop = asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        try:
            yield FaultRun(exchange, url, running, result)
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await running
