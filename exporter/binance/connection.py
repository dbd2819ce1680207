"""One multiplexed connection to one endpoint: request(method, credentials) -> answer. The only I/O outward.

A supervisor task owns the socket: it dials within the weight budget, learns the exchange's time, and backs off with
full jitter. Requests of all accounts share the socket; each is signed by itself, at the moment it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, NoReturn

import structlog

from exporter.binance.dialing import (
    Backoff,
    Endpoint,
    Timing,
    advise_on,
    explain_refusal,
    name_environment_proxy,
    open_socket,
)
from exporter.binance.errors import BinanceError, ConnectionLost, Crowded, Loss, NoAnswer, NotConnected, NotSent
from exporter.binance.link import Link
from exporter.binance.messages import HANDSHAKE_WEIGHT, WEIGHT, Method, decode_session_status
from exporter.binance.queries import PAUSES, Answer, Queries

if TYPE_CHECKING:
    from exporter.binance.clock import ExchangeClock
    from exporter.binance.signing import Credentials
    from exporter.binance.weight import WeightBudget

log = structlog.get_logger()


class Connection:
    """The connection of all accounts on one endpoint.

    Args:
        endpoint: where to connect to.
        budget: the endpoint's request weight; every request and every dial is charged to it.
        clock: the endpoint's clock; requests are signed with its time.
        timing: how long things may take.
    """

    def __init__(
        self, endpoint: Endpoint, budget: WeightBudget, clock: ExchangeClock, timing: Timing | None = None
    ) -> None:
        self.endpoint = endpoint
        self.budget = budget
        self.clock = clock
        self.first_attempt_over = asyncio.Event()
        # Read by metrics.health.
        self.connections = 0
        self.disconnections: Counter[Loss] = Counter()
        self._timing = timing or Timing()
        self._queries = Queries(endpoint.label, budget, clock, self._timing.silence)
        self.ignored = self._queries.ignored
        self.durations = self._queries.durations
        self._backoff = Backoff(self._timing.backoff_first, self._timing.backoff_cap)
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._why_not, self._advice = "not dialled yet", ""
        self._clock_lock = asyncio.Lock()
        self._clock_asked_at = float("-inf")
        self._saving_for_dial = False  # whether the next dial waits for weight

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._link is not None

    async def request(
        self,
        method: Method,
        credentials: Credentials,
        *,
        recv_window_ms: int,
        timeout_seconds: float,
        deadline: float,
    ) -> Answer:
        """Sign, send and await one query, to be over by `deadline` in monotonic seconds.

        Raises:
            NotConnected: there is no connection, and none came within the grace.
            Paused: the exchange has refused this IP for a while.
            Crowded: the budget had no room for it until the deadline.
            NoAnswer: no answer came within `timeout_seconds` of sending.
            ConnectionLost: the connection ended meanwhile.
            ExchangeError: Binance answered with an error.
            ProtocolError: the answer is neither a result nor an error.
            DecodeError: the answer is broken.
        """
        self.budget.refuse_while_paused()
        if not self.connected:
            grace = min(self._timing.reconnect_grace, deadline - self.clock.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._connected.wait(), grace)
        self._usable_link()
        try:
            async with asyncio.timeout(deadline - self.clock.monotonic()):
                reservation = await self.budget.acquire(WEIGHT[method])
        except TimeoutError:
            raise Crowded("this IP's request weight left no room for the poll within its interval") from None
        # A poll is over before the next one is due, whatever the timeout says.
        timeout_seconds = min(timeout_seconds, max(deadline - self.clock.monotonic(), 0.0))
        try:
            link = self._usable_link()
        except NotSent:
            self.budget.settle(reservation)
            raise
        return await self._queries.ask(
            link, reservation, method, credentials, recv_window_ms=recv_window_ms, timeout_seconds=timeout_seconds
        )

    async def resync_clock(self, since: float) -> None:
        """Learn the exchange's time anew, unless that was begun after `since` (monotonic seconds).

        Raises:
            BinanceError: it could not be asked.
        """
        async with self._clock_lock:
            if self._clock_asked_at <= since:
                await self._learn_clock(self._usable_link())

    async def run(self) -> NoReturn:
        """Keep the connection up until cancelled; no failure ends it."""
        while True:
            self._saving_for_dial = True
            self.budget.settle(await self._queries.afford(HANDSHAKE_WEIGHT))  # counted at once: no answer tells of it
            self._saving_for_dial = False
            try:
                delay = await self._live()
            except Exception:  # whatever an upstream fault may raise, the next dial goes on
                log.exception("connection supervisor failed", endpoint=self.endpoint.label)
                delay = self._lost(Loss.CLOSED, "a fault of this program: see the log, and report it")
            finally:
                self.first_attempt_over.set()
            await asyncio.sleep(delay)

    async def _live(self) -> float:
        """Dial once and serve until the connection ends; return how long to wait before the next dial."""
        sent_at = self.clock.monotonic()
        try:
            socket = await open_socket(self.endpoint)
        except Exception as error:  # noqa: BLE001 - explain_refusal knows the many, and names the rest
            return self._refused(error, sent_at)
        self.connections += 1
        link = Link(socket, self._queries.ignore, self.clock.monotonic)
        reader = asyncio.create_task(link.read(), name=f"reader of {self.endpoint.label}")
        keeper = asyncio.create_task(self._use(link), name=f"clock of {self.endpoint.label}")
        try:
            await asyncio.wait({reader, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if keeper.done():
                link.abort("the connection did not answer its first question")  # nobody would use it any more
                keeper.result()
            loss, words = await reader
        finally:
            self._link = None
            self._connected.clear()
            keeper.cancel()
            await link.close()
            reader.cancel()
            await asyncio.gather(keeper, reader, return_exceptions=True)
        if link.answered and self.clock.monotonic() - link.opened_at >= self._timing.stable_after:
            self._backoff.reset()
        return self._lost(loss, words)

    async def _use(self, link: Link) -> None:
        """Learn the exchange's time, then let requests use the link, and keep the time fresh."""
        while True:
            try:
                async with self._clock_lock:
                    await self._learn_clock(link)
            except (NoAnswer, ConnectionLost):
                return  # a link that does not answer the first question would not answer a poll
            if self._link is None:
                self._link = link
                self._connected.set()
                self.first_attempt_over.set()
                offset = self.clock.offset_seconds
                log.info(
                    "connected",
                    endpoint=self.endpoint.label,
                    clock_offset_seconds=None if offset is None else round(offset, 3),
                )
            await asyncio.sleep(self._timing.clock_interval)

    async def _learn_clock(self, link: Link) -> None:
        self._clock_asked_at = self.clock.monotonic()
        reservation = await self._queries.afford(WEIGHT[Method.SESSION_STATUS])
        try:
            answer = await self._queries.ask(
                link, reservation, Method.SESSION_STATUS, timeout_seconds=self._timing.clock_timeout
            )
            server_time_ms = decode_session_status(answer.result).server_time_ms
            self.clock.learn(server_time_ms, answer.asked_at, answer.answered_at)
        except (NoAnswer, ConnectionLost):
            raise
        except BinanceError as error:
            # Not told: the handshake's Date is precise enough for a recvWindow of seconds.
            if not self.clock.learnt and link.handshake_date_ms is not None:
                self.clock.learn(link.handshake_date_ms, link.opened_at, link.opened_at)
            log.warning("exchange does not tell its time", endpoint=self.endpoint.label, error=str(error))

    def _refused(self, error: Exception, sent_at: float) -> float:
        refusal = explain_refusal(error)
        if refusal.status in PAUSES:
            after = refusal.retry_after_seconds
            retry_at_ms = None if after is None else self.clock.milliseconds + int(after * 1000)
            self._queries.pause(PAUSES[refusal.status], retry_at_ms, sent_at, refusal.words)
        words = refusal.words + name_environment_proxy(self.endpoint)
        delay = self._lost(refusal.loss, words, advise_on(refusal))
        return max(delay, self._timing.forbidden) if refusal.status in {403, 451} else delay

    def _lost(self, loss: Loss, words: str, advice: str = "") -> float:
        self.disconnections[loss] += 1
        self._why_not, self._advice = words, advice
        delay = self._backoff.next_seconds()
        log.warning("no connection", endpoint=self.endpoint.label, reason=loss.value, error=words)
        return delay

    def _usable_link(self) -> Link:
        if self._link is None and self._saving_for_dial:
            raise Crowded("this IP's request weight leaves no room to connect anew")
        if self._link is None:
            raise NotConnected(f"not connected to {self.endpoint.label}: {self._why_not}", self._advice)
        return self._link
