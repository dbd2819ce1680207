"""One multiplexed connection to one endpoint: request(method, credentials) -> answer. The only I/O outward.

A supervisor task owns the socket: it dials within the weight budget, learns the exchange's time, backs off with full
jitter, and replaces the socket before the exchange ends it. Requests of all accounts share the socket; each is signed
by itself, at the moment it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

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
from exporter.binance.errors import DisconnectReason, NotConnected, NotSent, OverBudget
from exporter.binance.link import Link
from exporter.binance.messages import HANDSHAKE_WEIGHT, WEIGHT
from exporter.binance.request_sender import PAUSES, Outcome, RequestSender
from exporter.binance.server_time import ServerTime
from exporter.supervision import RepeatFilter, supervise

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from websockets.asyncio.client import ClientConnection

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.messages import Method
    from exporter.binance.signing import Credentials
    from exporter.binance.weight import WeightBudget

log = structlog.get_logger()

_Result = TypeVar("_Result")


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
        self.first_attempt_over_at = float("-inf")  # monotonic seconds; where the grid of all accounts' polls begins
        # Read by metrics.health.
        self.connections = 0
        self.disconnections: Counter[DisconnectReason] = Counter()
        # Of causes that all accounts share; the pollers log them.
        self.failures_logged = defaultdict[object, RepeatFilter](lambda: RepeatFilter(clock.monotonic))
        self._timing = timing or Timing()
        self._sender = RequestSender(endpoint.label, budget, clock, self._timing.silence)
        self._server_time = ServerTime(endpoint.label, self._sender, clock, self._timing)
        self.ignored = self._sender.ignored
        self.durations = self._sender.durations
        self._backoff = Backoff(self._timing.backoff_first, self._timing.backoff_cap)
        self._link: Link | None = None  # what requests are sent over
        self._tasks: set[asyncio.Task[Any]] = set()  # that read links, ask them, and retire those that were replaced
        self._connected = asyncio.Event()
        self._why_not, self._advice = "not dialled yet", ""
        self._saving_for_dial = False  # whether the next dial waits for weight

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._link is not None

    async def request(
        self,
        *methods: Method,
        credentials: Credentials,
        recv_window_ms: int,
        timeout_seconds: float,
        deadline: float,
    ) -> list[Outcome]:
        """Sign, send and await queries, all at once, to be over by `deadline` in monotonic seconds.

        Returns:
            What came of each, as in `RequestSender.send`.

        Raises:
            NotConnected: there is no connection, and none came within the grace.
            Paused: the exchange has refused this IP for a while.
            OverBudget: the budget had no room for them until the deadline.
        """
        self.budget.refuse_while_paused()
        if not self.connected:
            grace = min(self._timing.reconnect_grace, deadline - self.clock.monotonic())
            # Not wait_for: on Python 3.11 it swallows a cancellation that comes right after the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._connected.wait()
        self._usable_link()
        await self._server_time.resync_after_waking(self._usable_link, deadline)
        try:
            async with asyncio.timeout(deadline - self.clock.monotonic()):
                reservation = await self.budget.acquire(sum(WEIGHT[method] for method in methods))
        except TimeoutError:
            raise OverBudget("this IP's request weight left no room for the poll within its interval") from None
        # A poll is over before the next one is due, whatever the timeout says.
        timeout_seconds = min(timeout_seconds, max(deadline - self.clock.monotonic(), 0.0))
        try:
            link = self._usable_link()
        except NotSent:
            self.budget.settle(reservation)
            raise
        return await self._sender.send(
            link,
            reservation,
            *methods,
            credentials=credentials,
            recv_window_ms=recv_window_ms,
            timeout_seconds=timeout_seconds,
        )

    async def resync_clock(self, since: float) -> None:
        """Learn the exchange's time again, unless that was begun after `since` (monotonic seconds).

        Raises:
            BinanceError: it could not be asked.
        """
        await self._server_time.resync(since, self._usable_link)

    async def run(self) -> NoReturn:
        """Keep the connection up until cancelled; no failure ends it."""
        name = f"clock of {self.endpoint.label}"
        clock = asyncio.create_task(supervise(name, self._keep_clock), name=name)
        try:
            while True:
                delay = await self._replace_link()
                await asyncio.sleep(delay)
        finally:
            tasks = [clock, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _replace_link(self) -> float:
        """Dial once, use what answers until it must be replaced, and return how long to wait before the next dial.

        A link that is due for replacement is used until the next one has answered: a rotation costs no poll.
        """
        self._saving_for_dial = True
        self.budget.settle(await self._sender.afford(HANDSHAKE_WEIGHT))  # counted at once: no answer tells of it
        self._saving_for_dial = False
        try:
            sent_at = self.clock.monotonic()
            try:
                socket = await open_socket(self.endpoint)
            except Exception as error:  # noqa: BLE001 - explain_refusal knows the many, and names the rest
                return self._refused(error, sent_at)
            return await self._use(socket)
        except Exception:  # whatever an upstream fault may raise, the next dial goes on
            log.exception("connection supervisor failed", endpoint=self.endpoint.label)
            self._lost(DisconnectReason.CLOSED, "a fault of this program: see the log, and report it")
            return self._backoff.next_seconds()
        finally:
            self._end_first_attempt()

    async def _use(self, socket: ClientConnection) -> float:
        """Put a link in the place of the one before, once it has answered, and wait until it must be replaced."""
        self.connections += 1
        link = Link(socket, self._sender.ignore, self.clock.monotonic)
        life = self._spawn(self._live(link))
        if link.handshake_date_ms is not None:
            self.clock.learn_date(link.handshake_date_ms, link.opened_at)
        try:
            answers = await self._answers(link)
        except BaseException:
            life.cancel()
            raise
        if not answers:
            link.abort("the connection did not answer its first question")  # it would not answer a poll either
            await life
            return self._backoff.next_seconds()
        if life.done():  # it ended right after its first answer
            return self._backoff.next_seconds()
        if self._link is not None:
            self._spawn(self._link.retire())
        self._link = link
        self._connected.set()
        self._end_first_attempt()
        offset = self.clock.exact_offset_seconds
        log.info(
            "connected",
            endpoint=self.endpoint.label,
            clock_offset_seconds=None if offset is None else round(offset, 3),
        )
        await self._until_due(link, life)
        if not link.answered or self.clock.monotonic() - link.opened_at < self._timing.stable_after:
            return self._backoff.next_seconds()
        self._backoff.reset()
        return 0.0 if link.due else self._backoff.next_seconds()

    async def _answers(self, link: Link) -> bool:
        """Ask a new link for the exchange's time, and return whether the link may be used.

        Not every exchange may answer that question, so polls do not wait for it: a pong shows that the link is alive,
        and the question goes on beside them. A link that serves is given up for a pong alone only where the question
        is known to stay unanswered.
        """
        question = self._spawn(self._server_time.ask(link))
        if self._link is not None and not self._server_time.unanswered:
            answered = await question
            if answered or self._link is not None:
                return answered
        pong = self._spawn(self._pongs(link))
        await asyncio.wait({question, pong}, return_when=asyncio.FIRST_COMPLETED)
        alive = (question.done() and question.result()) or await pong
        (pong if alive else question).cancel()
        return alive

    async def _pongs(self, link: Link) -> bool:
        """Return whether a link answers a ping, a moment later if it may still report the time."""
        alive = await link.responds(self._timing.clock_timeout)
        if alive and not self._server_time.unanswered:
            await asyncio.sleep(self._timing.answer_grace)
        return alive

    def _end_first_attempt(self) -> None:
        if not self.first_attempt_over.is_set():
            self.first_attempt_over_at = self.clock.monotonic()
            self.first_attempt_over.set()

    async def _until_due(self, link: Link, life: asyncio.Task[None]) -> None:
        """Wait until a link has ended, or is due for replacement."""
        requested = asyncio.create_task(link.replacement_requested.wait())
        try:
            rotate_after = random.uniform(*self._timing.rotate_between)  # noqa: S311 - spread, not secrecy
            await asyncio.wait({life, requested}, timeout=rotate_after, return_when=asyncio.FIRST_COMPLETED)
        finally:
            requested.cancel()
        if not life.done():
            link.due = link.due or DisconnectReason.ROTATION
            log.info("connection due for replacement", endpoint=self.endpoint.label, reason=link.due.value)

    async def _live(self, link: Link) -> None:
        """Read what comes over a link until its end, and say why it ended."""
        try:
            loss, words = await link.read()
        finally:
            if self._link is link:
                self._link = None
                self._connected.clear()
            await link.close()
        if link.retired:
            self.disconnections[loss] += 1
        else:
            self._lost(loss, words)

    def _spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.create_task(work, name=f"link of {self.endpoint.label}")
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("connection task failed, internal error", endpoint=self.endpoint.label, exc_info=error)

    async def _keep_clock(self) -> NoReturn:
        """Ask for the exchange's time again and again."""
        while True:
            await asyncio.sleep(self._timing.clock_interval)
            if self._link is not None:
                await self._server_time.ask(self._link)  # no answer: polls find out what it means

    def _refused(self, error: Exception, sent_at: float) -> float:
        refusal = explain_refusal(error)
        if refusal.status in PAUSES:
            after = refusal.retry_after_seconds
            retry_at_ms = None if after is None else self.clock.milliseconds + int(after * 1000)
            self._sender.pause(PAUSES[refusal.status], retry_at_ms, sent_at, refusal.words)
        words = refusal.words + name_environment_proxy(self.endpoint)
        self._lost(refusal.reason, words, advise_on(refusal))
        delay = self._backoff.next_seconds()
        return max(delay, self._timing.forbidden) if refusal.status in {403, 451} else delay

    def _lost(self, loss: DisconnectReason, words: str, advice: str = "") -> None:
        self.disconnections[loss] += 1
        self._why_not, self._advice = words, advice
        event = "no connection" if self._link is None else "no new connection: the one before still serves"
        log.warning(event, endpoint=self.endpoint.label, reason=loss.value, error=words)

    def _usable_link(self) -> Link:
        if self._link is None and self._saving_for_dial:
            raise OverBudget("this IP's request weight leaves no room to connect anew")
        if self._link is None:
            raise NotConnected(f"not connected to {self.endpoint.label}: {self._why_not}", self._advice)
        return self._link
