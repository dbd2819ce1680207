"""What an account is asked to be, and what is known of its polling: plain values for the poller to write.

`metrics.health`, the page and the log read these; nothing here counts in Prometheus' terms.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.snapshot import AssetMode
    from exporter.binance.dialing import Endpoint
    from exporter.binance.errors import Reason
    from exporter.binance.signing import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """One account as configured; equal settings mean that nothing about the account has changed."""

    name: str  # the `account` label
    endpoint: Endpoint
    credentials: Credentials
    asset_mode: AssetMode | None = None  # None: told from the answers
    interval_seconds: float = 15.0
    stale_after_seconds: float = 60.0
    recv_window_ms: int = 5000
    request_timeout_seconds: float = 10.0
    position_risk: bool = True  # also ask v2/account.position
    # Gives the credentials when their files have changed since they were last read, else None; raises KeyProblem when
    # the files cannot be used. None where they come from no files.
    reread: Callable[[], Credentials | None] | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Failure:
    """The last failure in words, and what to do about it; free of secrets."""

    reason: Reason
    words: str
    advice: str


@dataclass(slots=True)
class AccountState:
    """What is known of one account's polling. The poller writes it, everybody else reads.

    `interval_seconds` and `stale_after_seconds` are what is really done: the settings, stretched by the weight plan.
    """

    settings: AccountSettings
    interval_seconds: float = field(init=False)
    stale_after_seconds: float = field(init=False)
    last_poll_succeeded: bool = False
    first_poll_over: bool = False
    refused: bool = False  # the exchange refused the account's key: until it accepts it, only the status is asked
    polls: int = 0
    # Grows when a poll begins and when it is over: what was rendered of the state before is out of date.
    revision: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)
    last_failure: Failure | None = None
    last_success_unix: float | None = None  # this host's clock
    answered_at: float | None = None  # when the last good answer came, in monotonic seconds
    # Until when it may be shown, in monotonic seconds. Set with it: an interval that is stretched later must not bring
    # back what has vanished.
    stale_at: float = float("-inf")
    asset_mode: AssetMode | None = None
    open_positions: int | None = None  # of the last good answer

    def __post_init__(self) -> None:
        self.stretch(1.0)

    def stretch(self, factor: float) -> None:
        """Set the interval and the staleness that the weight plan leaves possible."""
        self.revision += 1
        self.interval_seconds = self.settings.interval_seconds * factor
        self.stale_after_seconds = self.settings.stale_after_seconds * factor

    def fresh(self, now: float) -> bool:
        """Whether the last good answer may still be shown; `now` in monotonic seconds."""
        return now < self.stale_at

    def up(self, now: float) -> bool:
        """Whether the last due poll succeeded and its figures are shown."""
        return self.last_poll_succeeded and self.fresh(now)
