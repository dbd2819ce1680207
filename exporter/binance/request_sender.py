"""Sends requests over a link: charges their weight, signs and times them, and pauses the endpoint after 429 and 418."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from exporter.binance.errors import (
    Action,
    BinanceError,
    ExchangeError,
    NoResponse,
    Paused,
    ProtocolError,
    Reason,
    UnmatchedReason,
    classify,
)
from exporter.binance.histogram import Histogram
from exporter.binance.messages import WEIGHT, Method, decode_error, decode_request_weight, encode_request
from exporter.binance.unmatched import UnmatchedFrames
from exporter.formatting import format_utc
from exporter.redaction import hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.link import Link, Reply
    from exporter.binance.messages import Envelope
    from exporter.binance.signing import Credentials
    from exporter.binance.weight import Reservation, WeightBudget

log = structlog.get_logger()

PAUSE_REASONS: Final = {418: Reason.BANNED, 429: Reason.RATE_LIMITED}  # by HTTP-like status


@dataclass(frozen=True, slots=True)
class Response:
    """The undecoded result of a successful request, and when the request was sent and the response arrived.

    `asked_at` and `answered_at` date the data, in seconds of `HostClock.data_time`; `sent_at` and `received_at` are the
    same moments in monotonic seconds.
    """

    result: Raw
    asked_at: float
    answered_at: float
    sent_at: float
    received_at: float


Outcome = Response | BinanceError


def response_or_raise(outcome: Outcome) -> Response:
    """Return an outcome's response, or raise its error."""
    if isinstance(outcome, BinanceError):
        raise outcome
    return outcome


class RequestSender:
    """Sends the requests of one endpoint.

    Args:
        endpoint: the endpoint's label, for the log.
        budget: the request weight; paused when the exchange rate limits or bans this IP.
        clock: requests are signed with its time.
        silence_timeout_seconds: a link that is silent for this long despite requests is dropped.
    """

    def __init__(
        self, endpoint: str, budget: WeightBudget, clock: ExchangeClock, silence_timeout_seconds: float
    ) -> None:
        self.durations: defaultdict[Method, Histogram] = defaultdict(Histogram)
        self.unmatched_frames = UnmatchedFrames(endpoint, clock.monotonic)
        self._endpoint = endpoint
        self._budget = budget
        self._clock = clock
        self._silence_timeout_seconds = silence_timeout_seconds
        self._ids = itertools.count(1)
        self._logged_stretch = 1.0

    async def send(
        self,
        link: Link,
        reservation: Reservation,
        *methods: Method,
        credentials: Credentials | None = None,
        recv_window_ms: int = 0,
        timeout_seconds: float,
    ) -> list[Outcome]:
        """Send several requests at once, charged to `reservation`, and return the outcome of each.

        An outcome is a response or one of these errors:
            NoResponse: no response arrived within `timeout_seconds` of sending.
            ConnectionLost: the link ended before.
            ExchangeError: Binance responded with an error.
            ProtocolError: the response contains neither a result nor an error.
            DecodeError: the response cannot be decoded.
        """
        reservations = reservation.split(WEIGHT[method] for method in methods)
        try:
            params = [self._sign(credentials, recv_window_ms) if credentials else {} for _ in methods]
            with hidden([str(signed["signature"]) for signed in params if signed]):
                frames = {
                    request_id: encode_request(request_id, method, signed)
                    for method, signed, request_id in zip(methods, params, self._ids, strict=False)
                }
                asked_at, sent_at = self._clock.host.data_time(), self._clock.monotonic()
                replies = await link.send_requests(frames, timeout_seconds)
                # The exchange may not support the other methods, and never answer them.
                status_unanswered = Method.ACCOUNT_STATUS in methods and isinstance(replies[0], NoResponse)
                if status_unanswered and self._clock.monotonic() - link.last_frame_at > self._silence_timeout_seconds:
                    # Half-open: this side can still send.
                    link.abort(f"nothing received for {self._silence_timeout_seconds:g} s despite requests")
                return [
                    self._outcome(method, reply, reservation, asked_at, sent_at)
                    for method, reply, reservation in zip(methods, replies, reservations, strict=True)
                ]
        finally:
            for unsettled in reservations:
                self._budget.settle(unsettled)
            self._log_stretch()

    async def acquire_weight(self, weight: int) -> Reservation:
        """Wait until `weight` may be spent, also through a pause, unlike a poll."""
        while True:
            try:
                return await self._budget.acquire(weight)
            except Paused as pause:
                await asyncio.sleep(pause.seconds)

    def pause(self, reason: Reason, retry_at_ms: int | None, sent_at: float | None, message: str) -> None:
        """Pause the budget and log the reason; the arguments are those of `WeightBudget.pause`, and the error."""
        if self._budget.pause(reason, retry_at_ms, sent_at=sent_at):
            log.error(
                "requests paused",
                endpoint=self._endpoint,
                reason=reason.value,
                error=message,
                resumes_in_seconds=round(self._budget.pause_seconds, 1),
                resumes_at=format_utc(self._budget.resumes_at or self._clock.seconds),
            )

    def handle_unmatched(self, reason: UnmatchedReason, envelope: Envelope | None) -> None:
        """Count a frame that matches no request, and pause if it reports a rate limit or a ban."""
        self.unmatched_frames.record(reason, envelope)
        if envelope is None or reason not in {UnmatchedReason.NULL_ID, UnmatchedReason.UNKNOWN_ID}:
            return
        if envelope.failed or envelope.status in PAUSE_REASONS:
            # No request fails with it, which might blame the wrong account. A ban affects all accounts, even if this is
            # the response to a request that has timed out, unless the ban has ended since.
            error = decode_error(envelope)
            is_over = reason is UnmatchedReason.UNKNOWN_ID and 0 < (error.retry_at_ms or 0) <= self._clock.milliseconds
            if not is_over:
                self._pause_if_refused(error)

    def _outcome(
        self, method: Method, reply: Reply | BinanceError, reservation: Reservation, asked_at: float, sent_at: float
    ) -> Outcome:
        if isinstance(reply, BinanceError):
            return reply
        envelope, received_at = reply
        self._budget.settle(reservation, decode_request_weight(envelope.rate_limits))
        self.durations[method].observe(received_at - sent_at)
        if envelope.failed or envelope.status not in {None, 200}:
            error = decode_error(envelope)
            # A time that was set after the request was sent is more accurate than this one.
            is_clock_wrong = classify(error).action is Action.RESYNC and self._clock.synchronized_at < sent_at
            if error.server_time_ms is not None and (
                is_clock_wrong or self._clock.is_more_precise(sent_at, received_at)
            ):
                self._clock.synchronize(error.server_time_ms, sent_at, received_at)
            self._pause_if_refused(error, sent_at)
            return error
        if envelope.status is None and not envelope.result:
            return ProtocolError("the response contains neither a result nor an error")
        return Response(envelope.result, asked_at, self._clock.host.data_time(received_at), sent_at, received_at)

    def _sign(self, credentials: Credentials, recv_window_ms: int) -> Mapping[str, str | int]:
        params: dict[str, str | int] = {
            "apiKey": credentials.api_key.reveal(),
            "recvWindow": recv_window_ms,
            "timestamp": self._clock.milliseconds,
        }
        params["signature"] = credentials.sign(params)
        return params

    def _pause_if_refused(self, error: ExchangeError, sent_at: float | None = None) -> None:
        verdict = classify(error)
        if verdict.action is Action.WAIT:
            self.pause(verdict.reason, error.retry_at_ms, sent_at, str(error))
        elif error.status in PAUSE_REASONS:
            # The code decides how the poll failed; the status alone is reason enough to pause.
            self.pause(PAUSE_REASONS[error.status], error.retry_at_ms, sent_at, str(error))

    def _log_stretch(self) -> None:
        if (stretch := self._budget.stretch) != self._logged_stretch:
            self._logged_stretch = stretch
            log.warning(
                "poll intervals stretched to fit the request-weight budget"
                if stretch > 1
                else "poll intervals back to the configured values",
                endpoint=self._endpoint,
                factor=round(stretch, 3),
                weight_limit=self._budget.limit,
                weight_share=self._budget.share,
            )
