"""Polls one account in a loop: send the requests, build the snapshot and publish it, or record the failure.

Each account polls on its own grid, whose points are `interval` apart and shifted by the account's phase, so that the
polls of an endpoint are spread evenly at the start, while running and after a pause. Each point is a scheduled poll: it
is sent, or counted as failed with the reason why it was not sent.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog

from exporter.account.asset_mode_detector import AssetModeDetector
from exporter.account.consistency import ConsistencyCheck
from exporter.account.key_files import KeyFileRereader
from exporter.account.margin import explain_unknown_ratios
from exporter.account.pacing import ROUND_SECONDS, refusal_delay
from exporter.account.poll_log import PollLogger
from exporter.account.poll_timer import PollTimer
from exporter.account.queries import CONFIGURATION, POSITION_RISK, QUERIES, STATUS
from exporter.account.query_runner import QueryRunner
from exporter.account.requester import Requester
from exporter.account.snapshot import build_snapshot
from exporter.account.state import AccountState, Failure
from exporter.account.zero_assets import ZeroAssets
from exporter.binance.advice import advise
from exporter.binance.errors import (
    Action,
    BinanceError,
    NotSent,
    Reason,
    Verdict,
    classify,
)
from exporter.repeat_filter import RepeatFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.account.availability import MethodAvailability
    from exporter.account.pacing import EndpointPacing
    from exporter.account.queries import Query, Reading
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.connection import Connection
    from exporter.binance.rows import AccountStatus, PositionRisk

log = structlog.get_logger()

_MIN_BACKOFF_CAP_SECONDS: Final = 60.0
_BACKOFF_CAP_INTERVALS: Final = 4
_LATE_INTERVALS: Final = 0.1  # a poll that takes its whole interval ends about when the next one is due
_WOKEN_FAILURE: Final = Failure(
    Reason.CLOCK,
    "the host was suspended, or its clock jumped ahead, since the last response",
    "no action needed, the account is polled again; if this recurs, check the host's time synchronization",
)


class Poller:
    """Polls one account on one connection until cancelled.

    Args:
        state: the account's state; only the poller writes it.
        connection: the endpoint's connection.
        availability: which methods the endpoint offers.
        pacing: when the endpoint's accounts may poll at the start, and while they are refused.
        publish: called with every accepted snapshot.
        poll_finished: called with the account's state after every scheduled poll, successful or not.
        phase: the shift of the account's grid in intervals, 0 <= phase < 1.
        queries: what is requested, in this order.
    """

    def __init__(
        self,
        state: AccountState,
        connection: Connection,
        availability: MethodAvailability,
        pacing: EndpointPacing,
        publish: Callable[[AccountState, AccountSnapshot], None],
        poll_finished: Callable[[AccountState], None],
        phase: float = 0.0,
        queries: Iterable[Query[Any]] = QUERIES,
    ) -> None:
        self.state = state
        self._connection = connection
        self._pacing = pacing
        self.queries = QueryRunner(queries, state, Requester(state, connection), availability)
        self._mode_detector = AssetModeDetector(state, self.queries.background[CONFIGURATION])
        self._warned_missing: dict[str, list[str]] = {}  # what was missing at the last poll, by log event
        self._monotonic = connection.clock.monotonic
        self._timer = PollTimer(self._monotonic)
        self._publish = publish
        self._poll_finished = poll_finished
        self.phase = phase
        self._consistency_check = ConsistencyCheck()
        self._zero_assets = ZeroAssets()
        self._key_files = KeyFileRereader(state, self._monotonic)
        self._asked_at = float("-inf")  # when the last poll that was sent began, in monotonic seconds
        self._retries = 0
        self._refusals = 0  # in a row
        self._held_until = float("-inf")  # until then scheduled polls are not sent, and fail for the last reason
        self._log = PollLogger(state, connection)
        self._internal_errors = RepeatFilter(self._monotonic)

    async def run(self) -> NoReturn:
        """Poll on the grid until cancelled; no failure ends it."""
        await self._connection.first_attempt_finished.wait()
        origin, due = self._connection.first_attempt_finished_at, self._monotonic()
        self.state.stretch(self._connection.budget.stretch)
        try:
            # The first round is short, however long the interval; the next poll is on the grid, one interval after the
            # account's first point there. A poller that is restarted after a failure does not poll more often.
            if not self.state.polls:
                due += self.phase * self.state.interval_seconds
                async with self._pacing.first_poll():
                    await self.poll(self._monotonic() + self.state.interval_seconds)
            while True:
                spread_seconds = self.phase * min(self.state.interval_seconds, ROUND_SECONDS)
                due = await self._timer.wait_until(self._next_due(origin, due), spread_seconds)
                self.state.stretch(self._connection.budget.stretch)
                await self.poll(due + self.state.interval_seconds)
        finally:
            self.queries.stop()

    def wake(self) -> None:
        """Poll again soon because the host was suspended or its clock jumped; until then the account is down.

        A poll that is held back after a failure is still held back.
        """
        if self.state.last_poll_succeeded:
            self.state.last_poll_succeeded = False
            self.state.last_failure = _WOKEN_FAILURE
            self.state.revision += 1
        self._timer.wake()

    async def poll(self, deadline: float) -> None:
        """Do one scheduled poll, which ends by `deadline` (monotonic seconds), and record its result."""
        self.state.polls += 1
        try:
            await self._poll_once(deadline)
        except Exception as error:  # an internal error must neither end the polling nor go unnoticed
            if self._internal_errors.is_due("".join(traceback.format_exception_only(error))):
                log.exception("poll failed, internal error", account=self.state.settings.name)
            self._set_hold(self._backoff_seconds())
            self._record_failure(
                Failure(Reason.PROTOCOL, "internal error", "please report it, with the traceback from the log")
            )
        finally:
            self.state.first_poll_finished = True
            self.state.revision += 1
            self._poll_finished(self.state)

    async def _poll_once(self, deadline: float) -> None:
        if held_failure := await self._check_hold(deadline):
            self.state.failures[held_failure.reason] += 1
            return
        self._asked_at = self._monotonic()
        if self.state.refused:  # its turn may come late, and its requests are sent one after the other
            deadline = max(deadline, self._asked_at + 2 * self.state.interval_seconds)
        try:
            snapshot = await self._request_snapshot(deadline)
            self._publish(self.state, snapshot)
            self._record_success(snapshot)
            if self.state.refused:
                self.state.refused, self._refusals = False, 0
                self._pacing.accepted_at = self._monotonic()
        except BinanceError as error:
            self._handle_error(error, classify(error))

    async def _check_hold(self, deadline: float) -> Failure | None:
        """Return the failure because of which this poll is held back; None if it is to be sent."""
        failure, refused = self.state.last_failure, self.state.refused
        if failure is None:
            return None
        now = self._monotonic()
        if refused and await self._key_files.reread(now + (deadline - now) / 2):
            self._refusals = 0
            return None
        hold_lifted = failure.reason is Reason.REFUSED and self._pacing.accepted_at > self._asked_at
        if self._monotonic() < self._held_until and not hold_lifted:
            return failure
        if refused and not await self._pacing.take_turn(
            self._asked_at, deadline, accepted_before=self.state.last_success_unix is not None
        ):
            return failure
        return None

    def _next_due(self, origin: float, due: float) -> float:
        """Return the next point of the grid, which moves when the interval is stretched."""
        interval = self.state.interval_seconds
        passed = (max(self._monotonic() - _LATE_INTERVALS * interval, due) - origin) / interval - self.phase
        # The small number prevents rounding from returning the point that was just polled.
        return origin + (int(passed + 1e-6) + 1 + self.phase) * interval

    async def _request_snapshot(self, deadline: float) -> AccountSnapshot:
        readings = await self.queries.request(deadline)
        status: Reading[AccountStatus] = readings.pop(STATUS)
        risk: Reading[tuple[PositionRisk, ...]] | None = readings.pop(POSITION_RISK, None)
        risk_unavailable = self.state.settings.position_risk and risk is None
        snapshot = build_snapshot(
            status.result,
            risk.result if risk else () if risk_unavailable else None,
            asset_mode=await self._mode_detector.detect(status.result, deadline),
            asked_at=status.asked_at,
            answered_at=status.answered_at,
            readings=readings | self.queries.background_readings(),
        )
        snapshot = self._consistency_check.accept(
            snapshot, risk.result if risk else (), risk_unavailable=risk_unavailable
        )
        if self.state.settings.zero_assets:
            return snapshot
        return replace(snapshot, hidden_assets=self._zero_assets.find(snapshot))

    def _record_success(self, snapshot: AccountSnapshot) -> None:
        state = self.state
        self._log.succeeded(state.last_failure.reason if state.last_failure and not state.last_poll_succeeded else None)
        state.last_poll_succeeded = True
        state.last_success_unix = time.time()
        state.answered_at = snapshot.answered_at
        # From when it was requested: the data is no older, however long the response was in transit.
        state.stale_at = snapshot.asked_at + state.stale_after_seconds
        state.asset_mode = snapshot.asset_mode
        state.open_positions = snapshot.open_positions
        self._warn("margin ratios unknown", explain_unknown_ratios(snapshot))
        self._warn("position risk missing", [" ".join(name) for name in sorted(snapshot.risk_missing or ())])
        self._retries = 0
        self._held_until = float("-inf")
        self._internal_errors.reset()

    def _warn(self, event: str, missing: list[str]) -> None:
        if not set(missing) <= set(self._warned_missing.get(event, ())):
            log.warning(event, account=self.state.settings.name, missing=missing)
        self._warned_missing[event] = missing

    def _handle_error(self, error: BinanceError, verdict: Verdict) -> None:
        if verdict.action in {Action.REFUSED, Action.BUG}:
            self.state.refused = True
            self._refusals += 1
            hold = refusal_delay(self._refusals, self.state.interval_seconds)
        elif isinstance(error, NotSent) or verdict.action is Action.WAIT:
            hold = 0.0  # nothing was sent, or the budget pauses by itself
        else:
            hold = self._backoff_seconds()
        self._set_hold(hold)
        failure = Failure(verdict.reason, str(error), advise(error))
        self._record_failure(failure)
        retry_in_seconds = max(hold, self.state.interval_seconds, self._connection.budget.pause_seconds)
        self._log.failed(failure, retry_in_seconds, is_bug=verdict.action is Action.BUG)

    def _backoff_seconds(self) -> float:
        interval = self.state.interval_seconds
        cap = max(_BACKOFF_CAP_INTERVALS * interval, _MIN_BACKOFF_CAP_SECONDS)
        self._retries += 1
        return min(cap, interval * 2.0 ** min(self._retries - 1, 10))

    def _set_hold(self, seconds: float) -> None:
        # Half an interval less, so that the poll at the end of the hold is sent.
        self._held_until = self._asked_at + seconds - self.state.interval_seconds / 2

    def _record_failure(self, failure: Failure) -> None:
        self.state.last_poll_succeeded = False
        self.state.last_failure = failure
        self.state.failures[failure.reason] += 1
