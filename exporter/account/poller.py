"""One account's loop: ask, build, publish, or say why not.

Every account polls on a grid of its own, `interval` apart and shifted by its place among the endpoint's accounts, so
that polls are spread evenly at the start, while running and after a pause. Each point of the grid is a due poll: it
is sent, or it counts as failed with the reason why it was not.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from exporter.account.asset_mode import AssetModeDetector
from exporter.account.consistency import AnswerCheck
from exporter.account.key_files import KeyFiles
from exporter.account.margin import unknown_ratios
from exporter.account.pacing import ROUND_SECONDS, refusal_delay
from exporter.account.poll_log import PollLog
from exporter.account.poll_timer import PollTimer
from exporter.account.requester import Requester
from exporter.account.snapshot import build_snapshot
from exporter.account.state import AccountState, Failure
from exporter.binance.errors import (
    Action,
    BinanceError,
    ExchangeError,
    NoAnswer,
    NotSent,
    Reason,
    Verdict,
    advise,
    classify,
    is_method_gone,
)
from exporter.binance.messages import WEIGHT, Method, decode_account_status, decode_position_risk
from exporter.binance.request_sender import good_answer
from exporter.supervision import RepeatFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.availability import MethodAvailability
    from exporter.account.pacing import EndpointPacing
    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountSettings
    from exporter.binance.connection import Connection
    from exporter.binance.request_sender import Outcome
    from exporter.binance.rows import PositionRisk

log = structlog.get_logger()

_LEAST_BACKOFF_CAP_SECONDS: Final = 60.0
_BACKOFF_CAP_INTERVALS: Final = 4
_LATE_INTERVALS: Final = 0.1  # a poll that took all of its interval ends about when the next one is due
_UNANSWERED_AT_MOST: Final = 3
_UNANSWERED_RETRY_SECONDS: Final = 300.0
_WOKEN: Final = Failure(
    Reason.CLOCK,
    "the host was suspended, or its clock jumped ahead, since the last answer",
    "none needed: the account is polled again; if this repeats, check the host's time synchronization",
)


def poll_weight(settings: AccountSettings) -> int:
    """Return the request weight of one poll of an account."""
    return WEIGHT[Method.ACCOUNT_STATUS] + (WEIGHT[Method.ACCOUNT_POSITION] if settings.position_risk else 0)


class Poller:
    """Polls one account on one connection until cancelled.

    Args:
        state: what is known of the account; written here only.
        connection: the endpoint's connection.
        optional: what the endpoint still offers of the methods that a poll can do without.
        pacing: when the endpoint's accounts may poll at the start, and after they were refused.
        publish: called with every good snapshot.
        poll_over: called with the account's state after every due poll, however it ended.
        phase: the account's place on the endpoint's grid, 0 <= phase < 1.
    """

    def __init__(
        self,
        state: AccountState,
        connection: Connection,
        optional: MethodAvailability,
        pacing: EndpointPacing,
        publish: Callable[[AccountState, AccountSnapshot], None],
        poll_over: Callable[[AccountState], None],
        phase: float = 0.0,
    ) -> None:
        self.state = state
        self._connection = connection
        self._optional = optional
        self._pacing = pacing
        self._requester = Requester(state, connection)
        self._mode = AssetModeDetector(state, connection, optional, self._requester)
        self._warned_of: dict[str, list[str]] = {}  # what is missing, by the event that says so
        self._monotonic = connection.clock.monotonic
        self._timer = PollTimer(self._monotonic)
        self._publish = publish
        self._poll_over = poll_over
        self.phase = phase
        self._check = AnswerCheck()
        self._key_files = KeyFiles(state, self._monotonic)
        self._asked_at = float("-inf")  # when the last due poll that was to be sent began
        self._unanswered = 0  # questions in a row about positions
        self._retries = 0
        self._refusals = 0  # since the account was last accepted
        self._held_until = float("-inf")  # due polls before are not sent, for the reason of the last failure
        self._log = PollLog(state, connection)
        self._internal_errors = RepeatFilter(self._monotonic)

    async def run(self) -> NoReturn:
        """Poll on the grid until cancelled; no failure ends it."""
        await self._connection.first_attempt_over.wait()
        origin, due = self._connection.first_attempt_over_at, self._monotonic()
        self.state.stretch(self._connection.budget.stretch)
        # The first round is soon over, however long the interval; the next poll comes on the grid, an interval after
        # the account's first point there. Started again after a failure, the account does not poll more often.
        if not self.state.polls:
            due += self.phase * self.state.interval_seconds
            async with self._pacing.first_poll():
                await self.poll(self._monotonic() + self.state.interval_seconds)
        try:
            while True:
                spread_seconds = self.phase * min(self.state.interval_seconds, ROUND_SECONDS)
                due = await self._timer.wait_until(self._next_due(origin, due), spread_seconds)
                self.state.stretch(self._connection.budget.stretch)
                await self.poll(due + self.state.interval_seconds)
        finally:
            self._mode.stop()

    def wake(self) -> None:
        """Poll again as at a start, since the host was suspended or its clock jumped; until then the account is down.

        A poll that is held back after a failure stays so.
        """
        if self.state.last_poll_succeeded:
            self.state.last_poll_succeeded = False
            self.state.last_failure = _WOKEN
            self.state.revision += 1
        self._timer.wake()

    async def poll(self, deadline: float) -> None:
        """Do one due poll, over by `deadline` (monotonic seconds), and write down how it ended."""
        self.state.polls += 1
        try:
            await self._poll_once(deadline)
        except Exception as error:  # an internal error must neither end the polling nor pass unseen
            if self._internal_errors.is_due("".join(traceback.format_exception_only(error))):
                log.exception("poll failed, internal error", account=self.state.settings.name)
            self._hold(self._backoff_seconds())
            self._note(Failure(Reason.PROTOCOL, "internal error", "report the traceback in the log"))
        finally:
            self.state.first_poll_over = True
            self.state.revision += 1
            self._poll_over(self.state)

    async def _poll_once(self, deadline: float) -> None:
        if held := await self._held(deadline):
            self.state.failures[held.reason] += 1
            return
        self._asked_at = self._monotonic()
        if self.state.refused:  # its turn may have come late, and its questions are asked one after the other
            deadline = max(deadline, self._asked_at + 2 * self.state.interval_seconds)
        try:
            snapshot = await self._ask(deadline)
            self._publish(self.state, snapshot)
            self._succeeded(snapshot)
            if self.state.refused:
                self.state.refused, self._refusals = False, 0
                self._pacing.accepted_at = self._monotonic()
        except BinanceError as error:
            self._failed(error, classify(error))

    async def _held(self, deadline: float) -> Failure | None:
        """Return the failure because of which this due poll is not sent; None if it is to be sent."""
        failure, refused = self.state.last_failure, self.state.refused
        if failure is None:
            return None
        now = self._monotonic()
        if refused and await self._key_files.reread(now + (deadline - now) / 2):
            self._refusals = 0
            return None
        lifted = failure.reason is Reason.REFUSED and self._pacing.accepted_at > self._asked_at
        if self._monotonic() < self._held_until and not lifted:
            return failure
        if refused and not await self._pacing.take_turn(
            self._asked_at, deadline, worked=self.state.last_success_unix is not None
        ):
            return failure
        return None

    def _next_due(self, origin: float, due: float) -> float:
        """Return the grid's next point after now, also when a stretched interval has moved the grid."""
        interval = self.state.interval_seconds
        passed = (max(self._monotonic() - _LATE_INTERVALS * interval, due) - origin) / interval - self.phase
        # The small part keeps rounding from finding the point that was just served again.
        return origin + (int(passed + 1e-6) + 1 + self.phase) * interval

    async def _ask(self, deadline: float) -> AccountSnapshot:
        with_risk = self.state.settings.position_risk and self._optional.is_available(Method.ACCOUNT_POSITION)
        methods = (Method.ACCOUNT_STATUS, Method.ACCOUNT_POSITION)[: 1 + with_risk]
        self._mode.refresh(deadline)
        # At once; but of a refused key no more is asked than it takes to find out whether it is good again.
        first = 1 if self.state.refused else len(methods)
        status, *more = await self._requester.request(*methods[:first], deadline=deadline)
        answer = good_answer(status)
        if with_risk and not more:
            more = await self._requester.request(Method.ACCOUNT_POSITION, deadline=deadline)
        risks = self._decode_risks(more[0]) if with_risk else None
        gone = self.state.settings.position_risk and risks is None
        decoded = decode_account_status(answer.result)
        snapshot = build_snapshot(
            decoded,
            () if gone else risks,
            asset_mode=await self._mode.detect(decoded, deadline),
            asked_at=answer.asked_at,
            answered_at=answer.answered_at,
        )
        return self._check.accept(snapshot, risks or (), risk_gone=gone)

    def _decode_risks(self, outcome: Outcome) -> tuple[PositionRisk, ...] | None:
        """Return the position risk figures, None where the exchange no longer offers them."""
        method = Method.ACCOUNT_POSITION
        self._unanswered = self._unanswered + 1 if isinstance(outcome, NoAnswer) else 0
        if isinstance(outcome, ExchangeError) and is_method_gone(outcome):
            news = self._optional.mark_unavailable(method)
        elif isinstance(outcome, NoAnswer) and self._unanswered >= _UNANSWERED_AT_MOST:
            news = self._optional.mark_unavailable(method, _UNANSWERED_RETRY_SECONDS)
        else:
            risks = decode_position_risk(good_answer(outcome).result)
            self._optional.mark_available(method)
            return risks
        if news:
            endpoint = self._connection.endpoint.label
            log.error("position risk figures are not available", endpoint=endpoint, error=str(outcome))
        return None

    def _succeeded(self, snapshot: AccountSnapshot) -> None:
        state = self.state
        self._log.succeeded(state.last_failure.reason if state.last_failure and not state.last_poll_succeeded else None)
        state.last_poll_succeeded = True
        state.last_success_unix = time.time()
        state.answered_at = snapshot.answered_at
        # From when it was asked for: the exchange sent it after that, however long it was under way.
        state.stale_at = snapshot.asked_at + state.stale_after_seconds
        state.asset_mode = snapshot.asset_mode
        state.open_positions = snapshot.open_positions
        self._warn("margin ratios unknown", unknown_ratios(snapshot))
        self._warn("position risk missing", [" ".join(name) for name in sorted(snapshot.without_risk or ())])
        self._retries = 0
        self._held_until = float("-inf")
        self._internal_errors.reset()

    def _warn(self, event: str, missing: list[str]) -> None:
        if not set(missing) <= set(self._warned_of.get(event, ())):
            log.warning(event, account=self.state.settings.name, missing=missing)
        self._warned_of[event] = missing

    def _failed(self, error: BinanceError, verdict: Verdict) -> None:
        if verdict.action in {Action.REFUSED, Action.BUG}:
            self.state.refused = True
            self._refusals += 1
            hold = refusal_delay(self._refusals, self.state.interval_seconds)
        elif isinstance(error, NotSent) or verdict.action is Action.WAIT:
            hold = 0.0  # nothing was asked of the exchange, or the budget holds back by itself
        else:
            hold = self._backoff_seconds()
        self._hold(hold)
        failure = Failure(verdict.reason, str(error), advise(error))
        self._note(failure)
        retry_in_seconds = max(hold, self.state.interval_seconds, self._connection.budget.pause_seconds)
        self._log.failed(failure, retry_in_seconds, is_bug=verdict.action is Action.BUG)

    def _backoff_seconds(self) -> float:
        interval = self.state.interval_seconds
        cap = max(_BACKOFF_CAP_INTERVALS * interval, _LEAST_BACKOFF_CAP_SECONDS)
        self._retries += 1
        return min(cap, interval * 2.0 ** min(self._retries - 1, 10))

    def _hold(self, seconds: float) -> None:
        # Half an interval less, so that the grid's point at the end of the hold is let through.
        self._held_until = self._asked_at + seconds - self.state.interval_seconds / 2

    def _note(self, failure: Failure) -> None:
        self.state.last_poll_succeeded = False
        self.state.last_failure = failure
        self.state.failures[failure.reason] += 1
