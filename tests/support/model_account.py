"""The model of one account: what a scrape must show of it, from the answers to its polls and the time alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from support.model_series import RowIdentity


class PollAnswers(NamedTuple):
    """The content of both answers to a poll."""

    sent_at: float  # the first of them
    series: dict[str, float]
    held: frozenset[RowIdentity]
    without_risk: frozenset[RowIdentity]  # held, without risk figures
    extra: frozenset[RowIdentity]  # held by the second answer only


@dataclass(slots=True)
class AccountModel:
    """The expected state of one account."""

    currency: str
    stale_after: float
    up: bool = False  # whether the last due poll succeeded
    shown: dict[str, float] = field(default_factory=dict)  # the series of the last successful poll
    shown_from: float = -math.inf  # when the first answer to it was sent
    polls: int = 0
    failures: int = 0
    steady: bool = True  # whether no earlier failure may delay a poll
    unanswered: int = 0  # requests for position risk without an answer, in a row
    # Of the running poll: the first answer with its time, and the content of both.
    status: tuple[float, dict[str, Any]] | None = None
    answers: PollAnswers | None = None
    # Of the last answers: the positions without risk figures, and those that the first answer lacks.
    without_risk: frozenset[RowIdentity] = frozenset()
    extra: frozenset[RowIdentity] = frozenset()
    held: frozenset[RowIdentity] = frozenset()  # among the series shown

    @property
    def stale_at(self) -> float:
        """When the series are dropped."""
        return self.shown_from + self.stale_after

    def end_poll(self) -> None:
        """Update the state after a poll."""
        self.polls += 1
        extra_before = self.extra
        if self.answers:
            self.extra = self.answers.extra
        if self.answers is None or self._contradicted(self.answers, extra_before):
            self.up = self.steady = False
            self.failures += 1
            return
        self.up = self.steady = True
        if self.extra & self.held:
            return  # the previous series stay for one poll
        self.shown_from, self.shown, self.held = self.answers.sent_at, self.answers.series, self.answers.held
        risk_missing = next(series for series in self.shown if "position_risk_missing" in series)
        self.shown[risk_missing] = len(self.answers.without_risk & self.without_risk)
        self.without_risk = self.answers.without_risk

    def _contradicted(self, answers: PollAnswers, extra_before: frozenset[RowIdentity]) -> bool:
        if answers.held:
            return bool(answers.extra & extra_before)
        return bool(answers.extra and (extra_before or not self.shown))

    def expected(self, now: float) -> dict[str, float]:
        """Return what a scrape must show: the series while they are fresh, and whether the account is up."""
        fresh = now < self.stale_at
        return (self.shown if fresh else {}) | {"up": float(self.up and fresh)}
