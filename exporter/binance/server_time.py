"""Learning the exchange's time over a link, from an exchange that may not answer `session.status`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from exporter.binance.clock import is_host_clock_wrong
from exporter.binance.errors import BinanceError, ConnectionLost, DisconnectReason, NoAnswer
from exporter.binance.messages import WEIGHT, Method, decode_session_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.dialing import Timing
    from exporter.binance.link import Link
    from exporter.binance.request_sender import RequestSender

log = structlog.get_logger()


class ServerTime:
    """Asks one endpoint for its time, one question at a time.

    Args:
        endpoint: the label that log lines name.
        sender: sends the request and pays for it.
        clock: taught by the answers.
        timing: how long things may take.
    """

    def __init__(self, endpoint: str, sender: RequestSender, clock: ExchangeClock, timing: Timing) -> None:
        self.unanswered = False  # whether a link that was alive left the last question unanswered
        self._endpoint = endpoint
        self._sender = sender
        self._clock = clock
        self._timing = timing
        self._lock = asyncio.Lock()
        self._asked_at = self._replaced_at = float("-inf")
        self._resynced_after = float("-inf")  # the last time the host was woken that this has been done for
        self._problem = ""
        self._host_clock_wrong = False

    async def ask(self, link: Link) -> bool:
        """Ask over a link; return whether it answered, whatever it said."""
        with contextlib.suppress(ConnectionLost):
            async with self._lock:
                try:
                    return await self._learn(link) is not None
                finally:
                    self._check_host_clock()
        return False

    async def resync(self, since: float, usable_link: Callable[[], Link]) -> None:
        """Learn the time again, unless that was begun after `since` (monotonic seconds).

        Where neither the answer nor an error reports the time, the Date of the next handshake does: a link that is not
        young is replaced, at most once in `clock_interval`.

        Raises:
            BinanceError: there is no usable link, or it ended.
        """
        async with self._lock:
            if self._asked_at > since:
                return
            link = usable_link()
            learnt = not self.unanswered and await self._learn(link)
            if not learnt and self._clock.learnt_at < since:
                self._clock.doubt()
                self._replace(link)
            self._check_host_clock()

    async def resync_after_waking(self, usable_link: Callable[[], Link], deadline: float) -> None:
        """After the host was woken, ask once for the time and wait for it, before anything is signed."""
        if (woken_at := self._clock.host.woken_at) > self._resynced_after:
            with contextlib.suppress(BinanceError, TimeoutError):  # the request finds out what it means
                async with asyncio.timeout(deadline - self._clock.monotonic()):
                    await self.resync(woken_at, usable_link)
            self._resynced_after = woken_at

    def _replace(self, link: Link) -> None:
        now = self._clock.monotonic()
        young = now - link.opened_at <= self._timing.stable_after
        if not young and now - self._replaced_at >= self._timing.clock_interval:
            self._replaced_at = now
            link.request_replacement(DisconnectReason.ROTATION)

    async def _learn(self, link: Link) -> bool | None:
        """Return whether the answer reported the time, None without an answer; raise ConnectionLost."""
        self._asked_at = self._clock.monotonic()
        reservation = await self._sender.afford(WEIGHT[Method.SESSION_STATUS])
        timeout_seconds = self._timing.clock_timeout
        try:
            answer = await self._sender.send_one(
                link, reservation, Method.SESSION_STATUS, timeout_seconds=timeout_seconds
            )
            server_time_ms = decode_session_status(answer.result).server_time_ms
        except ConnectionLost:
            raise
        except NoAnswer as error:
            if await link.responds(timeout_seconds):
                self.unanswered = True
                self._log(error)
            return None
        except BinanceError as error:
            self.unanswered = False
            self._log(error)
            return False
        self.unanswered, self._problem = False, ""
        self._clock.learn(server_time_ms, answer.sent_at, answer.received_at)
        return True

    def _check_host_clock(self) -> None:
        """Log once that this host's clock is wrong, until it is right again."""
        offset = self._clock.offset_seconds or 0.0
        wrong = is_host_clock_wrong(offset, self._clock.uncertainty_seconds)
        if wrong and not self._host_clock_wrong:
            log.warning(
                "clock of this host is wrong",
                endpoint=self._endpoint,
                exchange_ahead_seconds=round(offset, 3),
                advice="set this host's clock (NTP): this exporter corrects for it, other programs are refused",
            )
        self._host_clock_wrong = wrong

    def _log(self, error: BinanceError) -> None:
        """Log why the exchange does not report its time, once while that stays so."""
        if str(error) != self._problem:
            self._problem = str(error)
            log.warning(
                "could not read server time from session.status",
                endpoint=self._endpoint,
                error=self._problem,
                using="Date of the handshake" if self._clock.learnt else "clock of this host",
            )
