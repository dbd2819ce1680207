"""The connection to one endpoint, shared by its accounts; every request to the exchange goes through it.

A supervisor task dials within the weight budget, reads the exchange's time, backs off with full jitter, and replaces
the socket before the exchange closes it. The requests of all accounts share the socket; each is signed with its
account's key at the moment it is sent.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import structlog

from exporter.binance.advice import advise_on_dial_failure
from exporter.binance.current_link import CurrentLink
from exporter.binance.dialing import (
    Backoff,
    Endpoint,
    Timing,
    name_environment_proxy,
    open_socket,
)
from exporter.binance.disconnects import explain_dial_failure
from exporter.binance.endpoint_state import EndpointState
from exporter.binance.errors import DisconnectReason, NotSent, OverBudget
from exporter.binance.link import Link
from exporter.binance.messages import HANDSHAKE_WEIGHT, WEIGHT
from exporter.binance.request_sender import PAUSE_REASONS, Outcome, RequestSender
from exporter.binance.server_time import ServerTimeSync
from exporter.repeat_filter import RepeatFilter
from exporter.supervision import supervise

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
    """The connection to one endpoint, shared by all of its accounts.

    Args:
        endpoint: where to connect to.
        budget: the endpoint's request weight; every request and every dial is charged to it.
        clock: the endpoint's clock; requests are signed with its time.
        timing: delays and timeouts.
    """

    def __init__(
        self, endpoint: Endpoint, budget: WeightBudget, clock: ExchangeClock, timing: Timing | None = None
    ) -> None:
        self.endpoint = endpoint
        self.budget = budget
        self.clock = clock
        self.first_attempt_finished = asyncio.Event()
        self.first_attempt_finished_at = float("-inf")  # monotonic seconds; the grid of all accounts' polls starts here
        self.connections = 0
        self.disconnections: Counter[DisconnectReason] = Counter()
        # For failures that all accounts share; the pollers log them.
        self.failures_logged = defaultdict[object, RepeatFilter](lambda: RepeatFilter(clock.monotonic))
        self._timing = timing or Timing()
        self._sender = RequestSender(endpoint.label, budget, clock, self._timing.silence_timeout)
        self._current = CurrentLink(endpoint.label)
        self._server_time = ServerTimeSync(self._current, self._sender, clock, self._timing)
        self.unmatched_frames = self._sender.unmatched_frames
        self.durations = self._sender.durations
        self._backoff = Backoff(self._timing.backoff_first, self._timing.backoff_cap)
        self._tasks: set[asyncio.Task[Any]] = set()  # they read links, test new ones and retire replaced ones

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._current.link is not None

    @property
    def state(self) -> EndpointState:
        """The current state, as plain values."""
        budget, clock = self.budget, self.clock
        return EndpointState(
            label=self.endpoint.label,
            connected=self.connected,
            connections=self.connections,
            disconnections=dict(self.disconnections),
            unmatched_frames=dict(self.unmatched_frames.counts),
            durations={method: durations.copy() for method, durations in self.durations.items()},
            paused=budget.paused,
            pause_seconds=budget.pause_seconds,
            resumes_at=budget.resumes_at,
            pause_end_reported=budget.pause_end_reported,
            clock_offset_seconds=clock.offset_seconds,
            clock_uncertainty_seconds=clock.uncertainty_seconds,
            weight_used=budget.used,
            weight_limit=budget.limit,
            weight_spent=budget.spent_total,
        )

    async def request(
        self,
        *methods: Method,
        credentials: Credentials,
        recv_window_ms: int,
        timeout_seconds: float,
        deadline: float,
    ) -> list[Outcome]:
        """Sign and send several requests at once, and wait for the responses until `deadline` (monotonic seconds).

        Returns:
            The outcome of each, as from `RequestSender.send`.

        Raises:
            NotConnected: there is no connection, and none was opened within the grace period.
            Paused: the exchange has rate limited or banned this IP, and the pause is not over.
            OverBudget: the weight budget had no room for the requests before the deadline.
        """
        self.budget.raise_if_paused()
        if not self.connected:
            await self._current.wait(min(self._timing.reconnect_grace, deadline - self.clock.monotonic()))
        self._current.require()
        await self._server_time.resync_after_waking(deadline)
        try:
            async with asyncio.timeout(deadline - self.clock.monotonic()):
                reservation = await self.budget.acquire(sum(WEIGHT[method] for method in methods))
        except TimeoutError:
            raise OverBudget("not enough request weight left on this IP for a poll within its interval") from None
        # A poll must end before the next one is due, even where the configured timeout is longer.
        timeout_seconds = min(timeout_seconds, max(deadline - self.clock.monotonic(), 0.0))
        try:
            link = self._current.require()
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
        """Read the exchange's time again, unless a request for it was sent after `since` (monotonic seconds).

        Raises:
            BinanceError: the request could not be sent.
        """
        await self._server_time.resync(since)

    async def run(self) -> NoReturn:
        """Keep the endpoint connected until cancelled; no failure ends it."""
        name = f"clock of {self.endpoint.label}"
        clock = asyncio.create_task(supervise(name, self._server_time.run), name=name)
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
        """Dial once, use the new link until it must be replaced, and return the seconds to wait before the next dial.

        A link that is to be replaced stays in use until the next one has responded, so that a rotation costs no poll.
        """
        self._current.dial_waits_for_weight = True
        reservation = await self._sender.acquire_weight(HANDSHAKE_WEIGHT)
        self.budget.settle(reservation)  # at once: no response reports it
        self._current.dial_waits_for_weight = False
        try:
            sent_at = self.clock.monotonic()
            try:
                socket = await open_socket(self.endpoint)
            except Exception as error:  # noqa: BLE001 - explain_dial_failure handles every type
                return self._handle_dial_failure(error, sent_at)
            return await self._use_until_replaced(socket)
        except Exception:  # an internal error must not prevent the next dial
            log.exception("connection failed, internal error", endpoint=self.endpoint.label)
            self._record_disconnect(DisconnectReason.CLOSED, "internal error, please report it")
            return self._backoff.next_seconds()
        finally:
            self._end_first_attempt()

    async def _use_until_replaced(self, socket: ClientConnection) -> float:
        """Use a new link in place of the current one once it has responded, and wait until it must be replaced."""
        self.connections += 1
        link = Link(socket, self._sender.handle_unmatched, self.clock.monotonic)
        reader = self._spawn(self._read_until_end(link))
        if link.handshake_date_ms is not None:
            self.clock.synchronize_to_date(link.handshake_date_ms, link.opened_at)
        try:
            is_usable = await self._is_usable(link)
        except BaseException:
            reader.cancel()
            raise
        if not is_usable:
            link.abort("no response to the first request")  # it would not respond to a poll either
            await reader
            return self._backoff.next_seconds()
        if reader.done():  # it ended right after its first response
            return self._backoff.next_seconds()
        if self._current.link is not None:
            self._spawn(self._current.link.retire())
        self._current.use(link)
        self._end_first_attempt()
        offset = self.clock.exact_offset_seconds
        log.info(
            "connected",
            endpoint=self.endpoint.label,
            clock_offset_seconds=None if offset is None else round(offset, 3),
        )
        await self._wait_for_replacement(link, reader)
        if not link.has_responded or self.clock.monotonic() - link.opened_at < self._timing.stable_after:
            return self._backoff.next_seconds()
        self._backoff.reset()
        return 0.0 if link.replacement_reason else self._backoff.next_seconds()

    async def _is_usable(self, link: Link) -> bool:
        """Request the exchange's time over a new link, and return whether the link may be used.

        Not every exchange may respond to that request, so polls do not wait for it: a pong shows that the link is
        alive, and the request goes on in parallel. A link in use is replaced on the strength of a pong alone only if
        the last request for the time was left unanswered.
        """
        time_request = self._spawn(self._server_time.sync(link))
        if self._current.link is not None and not self._server_time.unanswered:
            answered = await time_request
            if answered or self._current.link is not None:
                return answered
        pong = self._spawn(self._answers_ping(link))
        await asyncio.wait({time_request, pong}, return_when=asyncio.FIRST_COMPLETED)
        alive = (time_request.done() and time_request.result()) or await pong
        (pong if alive else time_request).cancel()
        return alive

    async def _answers_ping(self, link: Link) -> bool:
        """Return whether a link answers a ping; if so, first give the request for the time a moment to be answered."""
        alive = await link.ping(self._timing.clock_timeout)
        if alive and not self._server_time.unanswered:
            await asyncio.sleep(self._timing.clock_grace)
        return alive

    def _end_first_attempt(self) -> None:
        if not self.first_attempt_finished.is_set():
            self.first_attempt_finished_at = self.clock.monotonic()
            self.first_attempt_finished.set()

    async def _wait_for_replacement(self, link: Link, reader: asyncio.Task[None]) -> None:
        """Wait until a link has ended or must be replaced."""
        requested = asyncio.create_task(link.replacement_requested.wait())
        try:
            rotate_after = random.uniform(*self._timing.rotate_between)  # noqa: S311 - spread, not secrecy
            await asyncio.wait({reader, requested}, timeout=rotate_after, return_when=asyncio.FIRST_COMPLETED)
        finally:
            requested.cancel()
        if not reader.done():
            link.replacement_reason = link.replacement_reason or DisconnectReason.ROTATION
            log.info("replacing connection", endpoint=self.endpoint.label, reason=link.replacement_reason.value)

    async def _read_until_end(self, link: Link) -> None:
        """Read a link's frames until it ends, and record why it ended."""
        try:
            reason, message = await link.read()
        finally:
            self._current.drop(link)
            await link.close()
        if link.retired:
            self.disconnections[reason] += 1
        else:
            self._record_disconnect(reason, message)

    def _spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.create_task(work, name=f"link of {self.endpoint.label}")
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("connection task failed, internal error", endpoint=self.endpoint.label, exc_info=error)

    def _handle_dial_failure(self, error: Exception, sent_at: float) -> float:
        failure = explain_dial_failure(error)
        if failure.status in PAUSE_REASONS:
            after = failure.retry_after_seconds
            retry_at_ms = None if after is None else self.clock.milliseconds + int(after * 1000)
            self._sender.pause(PAUSE_REASONS[failure.status], retry_at_ms, sent_at, failure.message)
        message = failure.message + name_environment_proxy(self.endpoint)
        self._record_disconnect(failure.reason, message, advise_on_dial_failure(failure))
        delay = self._backoff.next_seconds()
        return max(delay, self._timing.forbidden_delay) if failure.status in {403, 451} else delay

    def _record_disconnect(self, reason: DisconnectReason, message: str, advice: str = "") -> None:
        self.disconnections[reason] += 1
        self._current.set_failure(message, advice)
        event = (
            "not connected" if self._current.link is None else "reconnect failed, still using the previous connection"
        )
        log.warning(event, endpoint=self.endpoint.label, reason=reason.value, error=message)
