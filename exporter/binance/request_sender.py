"""RequestSender over a link: paid for, signed when they are sent, timed, and their refusals heard by the budget."""

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
    NoAnswer,
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
from exporter.redaction import hide_for_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.link import Link, Reply
    from exporter.binance.messages import Envelope
    from exporter.binance.signing import Credentials
    from exporter.binance.weight import Reservation, WeightBudget

log = structlog.get_logger()

PAUSES: Final = {418: Reason.BANNED, 429: Reason.RATE_LIMITED}  # by HTTP-like status


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer's undecoded result, and when it was asked for and came.

    `asked_at` and `answered_at` date the data, in seconds of `HostClock.age`; `sent_at` and `received_at` are the same
    moments in monotonic seconds.
    """

    result: Raw
    asked_at: float
    answered_at: float
    sent_at: float
    received_at: float


Outcome = Answer | BinanceError


def good_answer(outcome: Outcome) -> Answer:
    """Return the answer of an outcome, or raise its error."""
    if isinstance(outcome, BinanceError):
        raise outcome
    return outcome


class RequestSender:
    """What all queries of one endpoint have in common.

    Args:
        endpoint: the label that log lines name.
        budget: what queries are charged to; it is told of every refusal.
        clock: queries are signed with its time.
        silence_seconds: a link on which nothing arrived for this long despite queries is dropped.
    """

    def __init__(self, endpoint: str, budget: WeightBudget, clock: ExchangeClock, silence_seconds: float) -> None:
        self.durations: defaultdict[Method, Histogram] = defaultdict(Histogram)
        self.ignored = UnmatchedFrames(endpoint, clock.monotonic)
        self._endpoint = endpoint
        self._budget = budget
        self._clock = clock
        self._silence_seconds = silence_seconds
        self._ids = itertools.count(1)
        self._told_stretch = 1.0

    async def send(
        self,
        link: Link,
        reservation: Reservation,
        *methods: Method,
        credentials: Credentials | None = None,
        recv_window_ms: int = 0,
        timeout_seconds: float,
    ) -> list[Outcome]:
        """Send the queries that `reservation` pays for, all at once, and return what came of each.

        An outcome is a good answer or one of these errors:
            NoAnswer: no answer came within `timeout_seconds` of sending.
            ConnectionLost: the link ended meanwhile.
            ExchangeError: Binance answered with an error.
            ProtocolError: the answer is neither a result nor an error.
            DecodeError: the answer is broken.
        """
        reservations = reservation.split(WEIGHT[method] for method in methods)
        try:
            frames = {}
            for method in methods:
                request_id = next(self._ids)
                params = self._sign(credentials, recv_window_ms) if credentials else {}
                frames[request_id] = encode_request(request_id, method, params)
            asked_at, sent_at = self._clock.host.age(), self._clock.monotonic()
            replies = await link.exchange(frames, timeout_seconds)
            # Any other question may be one that this exchange never answers.
            unanswered = Method.ACCOUNT_STATUS in methods and isinstance(replies[0], NoAnswer)
            if unanswered and self._clock.monotonic() - link.last_frame_at > self._silence_seconds:
                link.abort("nothing came for long, although it was asked")  # half-open: ours still sends
            return [
                self._outcome(method, reply, part, asked_at, sent_at)
                for method, reply, part in zip(methods, replies, reservations, strict=True)
            ]
        finally:
            for part in reservations:
                self._budget.settle(part)
            self._tell_stretch()

    async def send_one(self, link: Link, reservation: Reservation, method: Method, *, timeout_seconds: float) -> Answer:
        """Send an unsigned query that `reservation` pays for, and return its good answer.

        Raises:
            BinanceError: any of the errors of `send`.
        """
        (outcome,) = await self.send(link, reservation, method, timeout_seconds=timeout_seconds)
        return good_answer(outcome)

    async def afford(self, weight: int) -> Reservation:
        """Wait for weight like a poll does, and wait out pauses, which end a poll."""
        while True:
            try:
                return await self._budget.acquire(weight)
            except Paused as pause:
                await asyncio.sleep(pause.seconds)

    def pause(self, reason: Reason, retry_at_ms: int | None, sent_at: float | None, words: str) -> None:
        """Have the budget let nothing through for a while; the arguments are those of its `refuse`, and why."""
        if self._budget.refuse(reason, retry_at_ms, sent_at=sent_at):
            log.error(
                "requests paused",
                endpoint=self._endpoint,
                reason=reason.value,
                error=words,
                resumes_in_seconds=round(self._budget.pause_seconds, 1),
                resumes_at=format_utc(self._budget.resumes_at or self._clock.seconds),
            )

    def ignore(self, kind: UnmatchedReason, envelope: Envelope | None) -> None:
        """Take note of a frame that answers no query."""
        self.ignored.note(kind, envelope)
        if envelope is None or kind not in {UnmatchedReason.NULL_ID, UnmatchedReason.UNKNOWN_ID}:
            return
        if envelope.failed or envelope.status in PAUSES:
            # It matches no request, and failing one with it might blame the wrong account. A ban affects all accounts,
            # even if it answers a request that has timed out, unless the ban is over by then.
            error = decode_error(envelope)
            over = kind is UnmatchedReason.UNKNOWN_ID and 0 < (error.retry_at_ms or 0) <= self._clock.milliseconds
            if not over:
                self._note_refusal(error)

    def _outcome(
        self, method: Method, reply: Reply | BinanceError, part: Reservation, asked_at: float, sent_at: float
    ) -> Outcome:
        if isinstance(reply, BinanceError):
            return reply
        envelope, received_at = reply
        self._budget.settle(part, decode_request_weight(envelope.rate_limits))
        self.durations[method].observe(received_at - sent_at)
        if envelope.failed or envelope.status not in {None, 200}:
            error = decode_error(envelope)
            # A time that was learnt meanwhile is better than one that was on its way for longer.
            wrong = classify(error).action is Action.RESYNC and self._clock.learnt_at < sent_at
            if error.server_time_ms is not None and (wrong or self._clock.would_gain(sent_at, received_at)):
                self._clock.learn(error.server_time_ms, sent_at, received_at)
            self._note_refusal(error, sent_at)
            return error
        if envelope.status is None and not envelope.result:
            return ProtocolError("the answer holds neither a result nor an error")
        return Answer(envelope.result, asked_at, self._clock.host.age(received_at), sent_at, received_at)

    def _sign(self, credentials: Credentials, recv_window_ms: int) -> Mapping[str, str | int]:
        params: dict[str, str | int] = {
            "apiKey": credentials.api_key.reveal(),
            "recvWindow": recv_window_ms,
            "timestamp": self._clock.milliseconds,
        }
        params["signature"] = signature = credentials.sign(params)
        hide_for_now(signature)
        return params

    def _note_refusal(self, error: ExchangeError, sent_at: float | None = None) -> None:
        verdict = classify(error)
        if verdict.action is Action.WAIT:
            self.pause(verdict.reason, error.retry_at_ms, sent_at, str(error))
        elif error.status in PAUSES:
            # The code says what the poll died of; the status alone is reason enough to leave the exchange in peace.
            self.pause(PAUSES[error.status], error.retry_at_ms, sent_at, str(error))

    def _tell_stretch(self) -> None:
        if (stretch := self._budget.stretch) != self._told_stretch:
            self._told_stretch = stretch
            log.warning(
                "polling intervals follow the weight budget",
                endpoint=self._endpoint,
                times_configured=round(stretch, 3),
                weight_limit=self._budget.limit,
                weight_share=self._budget.share,
            )
