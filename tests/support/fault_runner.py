"""Lives through one fault with the whole exporter: scrapes it again and again, and judges what each scrape shows."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from exporter.account.state import AccountSettings
from exporter.app.service import Service, WebSettings
from exporter.binance.clock import monotonic
from exporter.binance.dialing import Endpoint
from exporter.binance.host_clock import HostClock
from exporter.config import Config
from exporter.web.server import ListenAddress
from support.builders import samples
from support.fault_time import night_loop
from support.fault_truth import STATUS, WitnessedExchange
from support.polling import credentials_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from exporter.binance.dialing import Timing
    from exporter.simulator import SimulatedExchange

    Switch = Callable[["Night"], AbstractAsyncContextManager[None]]

ACCOUNTS: Final = ("alice", "bob")
# Of the production's settings nothing is changed: polls every 15 s, stale after 60 s, requests given up after 10 s.
_SCRAPE_SECONDS: Final = 4.5
_SLACK_SECONDS: Final = 2.0  # time leaps by half a second, and may do so once or twice while an answer is on its way
_SHARE: Final = 0.5
_DIALS_AT_MOST: Final = 30
_COUNTED_WIDTH: Final = 44
_COUNTERS: Final = {
    "poll_failures_total": "poll",
    "disconnections_total": "connection",
    "frames_ignored_total": "frame",
}
_OWN: Final = re.compile(
    r"binance_futures_(up|account_info|last_success_timestamp_seconds|polls_total|poll_failures_total"
    r"|poll_interval_seconds|stale_after_seconds)\{"
)
_FIGURES: Final = re.compile(r"binance_futures_(account|asset|position)_(?!info\{|risk_missing\{)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row of the table.

    `counted` and `perhaps` are reasons as in "poll timeout", "connection closed" or "frame garbage": what must be
    counted of the fault, and what may be; no other may. Without a "poll" reason no poll may fail.
    """

    name: str
    switch: Switch
    counted: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()
    hits: Literal["alice", "both"] = "both"
    lasts_seconds: float = 85.0
    recovers_within_seconds: float = 90.0
    asked_at_most: int = 8  # how often alice's status is asked for meanwhile
    from_start: bool = False
    timing: Timing | None = None
    front: Callable[[str], AbstractAsyncContextManager[str]] = nullcontext  # what is dialled for the exchange's URL


@dataclass(slots=True)
class Record:
    """What became of a row."""

    counted: str = "?"
    polls_failed: int = 0
    slowest_scrape_seconds: float = 0.0
    recovery_seconds: float | None = None
    shown_at: dict[str, float] = field(default_factory=dict)  # when it was said what an account showed last
    up: dict[str, float] = field(default_factory=dict)  # as of the last scrape, and so the failed polls
    failed: dict[str, float] = field(default_factory=dict)
    were_down: set[str] = field(default_factory=set)

    def row(self, fault: Fault) -> tuple[str, ...]:
        """Return the row of the table, but for the verdict."""
        recovery = "never" if self.recovery_seconds is None else f"{self.recovery_seconds:.0f}"
        slowest_ms = f"{self.slowest_scrape_seconds * 1000:.0f}"
        return fault.name, fault.hits, self.counted, str(self.polls_failed), slowest_ms, recovery


class Night:
    """The exchange, the exporter and who scrapes it."""

    def __init__(self, exchange: WitnessedExchange, url: str, running: asyncio.Task[None], record: Record) -> None:
        self.exchange = exchange
        self.loop = night_loop()
        self.record = record
        self._url = urlsplit(url)
        self._running = running

    async def scrape(self) -> dict[str, float]:
        """Scrape once and judge what is shown."""
        assert not self._running.done(), "the exporter has ended"
        began, now = time.perf_counter(), self.loop.time()
        async with asyncio.timeout(30):
            head, body = await self._get()
        # One second is what a scrape may take. The figure stands in the table, but is no test: a machine that is
        # busy with other work takes longer.
        seconds = time.perf_counter() - began
        self.record.slowest_scrape_seconds = max(self.record.slowest_scrape_seconds, seconds)

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ncontent-length: %d\r\n" % len(body) in head
        assert seconds < 30
        shown = samples(body)
        values: dict[str, dict[str, float]] = {account: {} for account in ACCOUNTS}
        for series, value in shown.items():
            if account := _value_of(series):
                values[account][series] = value
        counts = counts_of(shown)
        for account in ACCOUNTS:
            failed = sum(count for (owner, _), count in counts.items() if owner == account)
            self._judge(account, shown, values[account], failed, now)
        return shown

    async def _get(self) -> tuple[bytes, bytes]:
        """Return head and body of an uncompressed scrape over a new connection: an HTTP client would take longer."""
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        try:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        return head + b"\r\n", body

    async def watch(self, seconds: float) -> None:
        """Scrape again and again for so long."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            await self.scrape()
            await asyncio.sleep(_SCRAPE_SECONDS)

    async def recover(self, since: float, within_seconds: float) -> float:
        """Scrape until both accounts are up with what was said after `since`; return how long that took."""
        while True:
            shown = await self.scrape()
            seconds = self.loop.time() - since
            if all(_up(shown, name) and self.record.shown_at[name] > since for name in ACCOUNTS):
                return seconds
            assert seconds < within_seconds, "it does not recover"
            await asyncio.sleep(2.5)

    def _judge(
        self, account: str, shown: dict[str, float], values: dict[str, float], failed: float, now: float
    ) -> None:
        record = self.record
        up = _up(shown, account)
        interval, stale_after = (
            _own(shown, name, account) for name in ("poll_interval_seconds", "stale_after_seconds")
        )
        figures = {series: value for series, value in values.items() if _is_figure(series)}
        if figures:
            oldest = now - stale_after - _SLACK_SECONDS
            said_at = next((at for at, told in self.exchange.told(account, oldest) if told == figures), None)
            assert said_at is not None, f"{account}: no answer of the last {stale_after} s said what is shown"
            assert not up or now - said_at < 2 * interval, f"{account}: up with an answer of {now - said_at} s ago"
            record.shown_at[account] = said_at
        else:
            assert not values, f"{account}: ratios without figures"
            assert not up, f"{account}: up without figures"
            age = now - record.shown_at.get(account, float("-inf"))
            assert age > stale_after - _SLACK_SECONDS, f"{account}: figures vanished after {age} s"
        assert up >= record.up.get(account, 0.0) or failed > record.failed[account], f"{account}: down without failure"
        record.up[account], record.failed[account] = up, failed
        if not up:
            record.were_down.add(account)


def counts_of(shown: dict[str, float]) -> Counter[tuple[str, str]]:
    """Return what a scrape counts of polls (by account), connections and frames, as in "poll timeout"."""
    counts: Counter[tuple[str, str]] = Counter()
    for series, value in shown.items():
        if key := _counted_by(series):
            counts[key] = int(value)
    return counts


# Every scrape of every row shows mostly the same series: each is read once.
@cache
def _counted_by(series: str) -> tuple[str, str] | None:
    """Return account and reason that a series counts, None if it is another series."""
    name, _, labels = series.partition("{")
    if not (kind := _COUNTERS.get(name.removeprefix("binance_futures_"))):
        return None
    account, reason = (re.search(rf'{label}="([^"]*)"', labels) for label in ("account", "reason"))
    assert reason is not None
    return account[1] if account else "", f"{kind} {reason[1]}"


@cache
def _value_of(series: str) -> str | None:
    """Return the account whose value a series shows, None if it is another series."""
    if _OWN.match(series):
        return None
    return next((account for account in ACCOUNTS if f'account="{account}"' in series), None)


@cache
def _is_figure(series: str) -> bool:
    return _FIGURES.match(series) is not None


def _shortened(reasons: set[str]) -> str:
    """Name each kind once, as in "connection rejected reset, poll connection"."""
    kinds: dict[str, list[str]] = {}
    for kind, _, reason in sorted(reason.partition(" ") for reason in reasons):
        kinds.setdefault(kind, [kind]).append(reason)
    text = ", ".join(map(" ".join, kinds.values())) or "none"
    return text if len(text) <= _COUNTED_WIDTH else f"{text[: _COUNTED_WIDTH - 1]}…"


def _up(shown: dict[str, float], account: str) -> float:
    """Return whether an account is up; before its first poll has ended nothing is shown of it."""
    return shown.get(f'binance_futures_up{{account="{account}"}}', 0.0)


def _own(shown: dict[str, float], name: str, account: str) -> float:
    return shown[f'binance_futures_{name}{{account="{account}"}}']


def switched(switch: Callable[[SimulatedExchange], AbstractContextManager[object]]) -> Switch:
    """Make a row's switch of one of the exchange's."""

    @asynccontextmanager
    async def on(night: Night) -> AsyncIterator[None]:
        with switch(night.exchange):
            yield

    return on


async def live_through(fault: Fault, record: Record) -> None:
    """Have the fault once, and judge all that the exporter shows before, meanwhile and after."""
    random.seed(fault.name)  # backoffs are the same in every run
    async with WitnessedExchange() as exchange, _exporting(exchange, fault, record) as night:
        before = Counter[tuple[str, str]]()
        async with AsyncExitStack() as switched:
            if not fault.from_start:
                await night.recover(0.0, 60.0)
                before = counts_of(await night.scrape())
                assert not +before, "something went wrong before the fault"
                record.were_down.clear()
            await switched.enter_async_context(fault.switch(night))
            asked = -exchange.asked["alice", STATUS]
            await night.watch(fault.lasts_seconds)
            asked += exchange.asked["alice", STATUS]
        try:
            record.recovery_seconds = await night.recover(night.loop.time(), fault.recovers_within_seconds)
        finally:
            counts = +counts_of(await night.scrape())
            record.counted = _shortened({reason for _, reason in counts})
            record.polls_failed = int(sum(record.failed.values()))
    _judge_counts(fault, counts, record)
    assert asked <= fault.asked_at_most, f"the exchange was asked {asked} times"
    assert max(exchange.spent.values()) <= _SHARE * exchange.weight.limit, "more than the share of the weight"


def _judge_counts(fault: Fault, counts: Counter[tuple[str, str]], record: Record) -> None:
    reasons = {reason for _, reason in counts}
    connections = sum(count for (_, reason), count in counts.items() if reason.startswith("connection"))
    assert fault.counted <= reasons, f"not counted: {sorted(fault.counted - reasons)}"
    assert reasons <= fault.counted | fault.perhaps, f"counted: {sorted(reasons)}"
    assert connections <= _DIALS_AT_MOST, "no backoff between dials"
    if not any(reason.startswith("poll") for reason in fault.counted | fault.perhaps):
        assert fault.from_start or not record.were_down, "down although no poll failed"
    if fault.hits == "both" and any(reason.startswith("poll") for reason in fault.counted):
        assert {owner for owner, _ in counts} >= set(ACCOUNTS), "polls of one account alone failed"
    if fault.hits == "alice":
        assert not [reason for owner, reason in counts if owner == "bob"], "bob's polls failed"
        assert fault.from_start or "bob" not in record.were_down, "bob was down"


@asynccontextmanager
async def _exporting(exchange: WitnessedExchange, fault: Fault, record: Record) -> AsyncIterator[Night]:
    async with AsyncExitStack() as stack:
        endpoint = Endpoint("exchange", await stack.enter_async_context(fault.front(exchange.url)), "none")
        accounts = tuple(
            AccountSettings(name=name, endpoint=endpoint, credentials=credentials_of(exchange.accounts[name]))
            for name in ACCOUNTS
        )
        config = Config(accounts=accounts, weight_share=_SHARE, warnings=())
        web = WebSettings(addresses=(ListenAddress("127.0.0.1", 0),), process_metrics=False)
        service = Service(config, web, fault.timing, host=HostClock(night_loop().host_clock, monotonic))
        (url,) = service.bind()
        stop = asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        try:
            yield Night(exchange, url, running, record)
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await running
