"""Reads the exchange's time with `session.status`, which an exchange may reject or leave unanswered."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NoReturn

import structlog

from exporter.binance.advice import WRONG_CLOCK_ADVICE
from exporter.binance.clock import is_host_clock_wrong
from exporter.binance.errors import BinanceError, ConnectionLost, DisconnectReason, NoResponse
from exporter.binance.messages import WEIGHT, Method, decode_session_status
from exporter.binance.request_sender import response_or_raise

if TYPE_CHECKING:
    from exporter.binance.clock import ExchangeClock
    from exporter.binance.current_link import CurrentLink
    from exporter.binance.dialing import Timing
    from exporter.binance.link import Link
    from exporter.binance.request_sender import RequestSender

log = structlog.get_logger()


class ServerTimeSync:
    """Synchronizes an endpoint's clock with the exchange, one request at a time.

    Args:
        current: the endpoint's link in use.
        sender: sends the requests and charges their weight.
        clock: the clock to synchronize.
        timing: delays and timeouts.
    """

    def __init__(self, current: CurrentLink, sender: RequestSender, clock: ExchangeClock, timing: Timing) -> None:
        self.unanswered = False  # whether the last request got no response over a link that was alive
        self._current = current
        self._sender = sender
        self._clock = clock
        self._timing = timing
        self._lock = asyncio.Lock()
        self._requested_at = self._replaced_at = float("-inf")
        self._resynced_for = float("-inf")  # the `woken_at` that the clock was last synchronized for
        self._logged_error = ""
        self._host_clock_wrong = False

    async def run(self) -> NoReturn:
        """Read the exchange's time at regular intervals."""
        while True:
            await asyncio.sleep(self._timing.clock_interval)
            if self._current.link is not None:
                await self.sync(self._current.link)  # if it fails, the polls find out why

    async def sync(self, link: Link) -> bool:
        """Request the time over `link`; return whether it responded, even if with an error."""
        with contextlib.suppress(ConnectionLost):
            async with self._lock:
                try:
                    return await self._request_time(link) is not None
                finally:
                    self._check_host_clock()
        return False

    async def resync(self, since: float) -> None:
        """Read the time again, unless a request for it was sent after `since` (monotonic seconds).

        If neither the response nor an error reports the time, the Date of the next handshake does: the link is replaced
        unless it is young, at most once in `clock_interval`.

        Raises:
            BinanceError: there is no link, or it ended.
        """
        async with self._lock:
            if self._requested_at > since:
                return
            link = self._current.require()
            synchronized = not self.unanswered and await self._request_time(link)
            if not synchronized and self._clock.synchronized_at < since:
                self._clock.mark_uncertain()
                self._replace_link(link)
            self._check_host_clock()

    async def resync_after_waking(self, deadline: float) -> None:
        """Read the time once after the host was suspended or its clock jumped, before anything is signed with it."""
        if (woken_at := self._clock.host.woken_at) > self._resynced_for:
            with contextlib.suppress(BinanceError, TimeoutError):  # the request that follows reports the cause
                async with asyncio.timeout(deadline - self._clock.monotonic()):
                    await self.resync(woken_at)
            self._resynced_for = woken_at

    def _replace_link(self, link: Link) -> None:
        now = self._clock.monotonic()
        is_young = now - link.opened_at <= self._timing.stable_after
        if not is_young and now - self._replaced_at >= self._timing.clock_interval:
            self._replaced_at = now
            link.request_replacement(DisconnectReason.ROTATION)

    async def _request_time(self, link: Link) -> bool | None:
        """Return whether the response reported the time, None without a response; raise ConnectionLost."""
        self._requested_at = self._clock.monotonic()
        reservation = await self._sender.acquire_weight(WEIGHT[Method.SESSION_STATUS])
        timeout_seconds = self._timing.clock_timeout
        try:
            (outcome,) = await self._sender.send(
                link, reservation, Method.SESSION_STATUS, timeout_seconds=timeout_seconds
            )
            response = response_or_raise(outcome)
            server_time_ms = decode_session_status(response.result).server_time_ms
        except ConnectionLost:
            raise
        except NoResponse as error:
            if await link.ping(timeout_seconds):
                self.unanswered = True
                self._log(error)
            return None
        except BinanceError as error:
            self.unanswered = False
            self._log(error)
            return False
        self.unanswered, self._logged_error = False, ""
        self._clock.synchronize(server_time_ms, response.sent_at, response.received_at)
        return True

    def _check_host_clock(self) -> None:
        """Log that this host's clock is wrong, once until it is right again."""
        offset = self._clock.offset_seconds or 0.0
        is_wrong = is_host_clock_wrong(offset, self._clock.uncertainty_seconds)
        if is_wrong and not self._host_clock_wrong:
            log.warning(
                "host clock is wrong",
                endpoint=self._current.endpoint,
                clock_offset_seconds=round(offset, 3),
                advice=WRONG_CLOCK_ADVICE,
            )
        self._host_clock_wrong = is_wrong

    def _log(self, error: BinanceError) -> None:
        """Log why the exchange does not report its time, once until the reason changes."""
        if str(error) != self._logged_error:
            self._logged_error = str(error)
            log.warning(
                "could not read server time from session.status",
                endpoint=self._current.endpoint,
                error=self._logged_error,
                using="handshake Date header" if self._clock.synchronized else "host clock",
            )
