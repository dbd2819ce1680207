"""An account's settings and the state of its polling, as plain values.

The poller writes the state; the exporter's own metrics, the status page and the log read it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.asset_mode import AssetMode
    from exporter.binance.dialing import Endpoint
    from exporter.binance.errors import Reason
    from exporter.binance.signing import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """One account as configured; if the settings are equal, nothing about the account has changed."""

    name: str  # the `account` label
    endpoint: Endpoint
    credentials: Credentials
    asset_mode: AssetMode | None = None  # None: detected
    interval_seconds: float = 15.0
    stale_after_seconds: float = 60.0
    recv_window_ms: int = 5000
    request_timeout_seconds: float = 10.0
    position_risk: bool = True  # also request v2/account.position
    zero_assets: bool = True  # also show assets that have been zero since the start
    configuration: bool = True  # show what v1 account.status reports of the account's configuration
    key_check_url: str | None = None  # the host that is asked what the API key may do; None: not checked
    # Returns the credentials if their files have changed since they were last read, else None; raises KeyProblem if the
    # files cannot be used. None if the credentials do not come from files.
    reread: Callable[[], Credentials | None] | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Failure:
    """The last failure, and what to do about it; without secrets."""

    reason: Reason
    message: str
    advice: str


@dataclass(slots=True)
class AccountState:
    """The state of one account's polling; only the poller writes it.

    `interval_seconds` and `stale_after_seconds` are the effective values: the settings, stretched by the weight plan.
    """

    settings: AccountSettings
    interval_seconds: float = field(init=False)
    stale_after_seconds: float = field(init=False)
    last_poll_succeeded: bool = False
    first_poll_finished: bool = False
    refused: bool = False  # the exchange refused the account's key: until it is accepted, only the status is requested
    polls: int = 0
    # Grows when a poll begins and ends, so that what was rendered from the previous state is known to be outdated.
    revision: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)
    last_failure: Failure | None = None
    last_success_unix: float | None = None  # this host's clock
    answered_at: float | None = None  # when the last accepted response arrived, in seconds of `HostClock.data_time`
    # Until when the snapshot may be shown, in the same seconds. Set with it: an interval that is stretched later must
    # not bring back what has been dropped.
    stale_at: float = float("-inf")
    asset_mode: AssetMode | None = None
    open_positions: int | None = None  # in the last accepted snapshot

    def __post_init__(self) -> None:
        self.stretch(1.0)

    def stretch(self, factor: float) -> None:
        """Multiply the configured interval and staleness by the weight plan's factor."""
        self.revision += 1
        self.interval_seconds = self.settings.interval_seconds * factor
        self.stale_after_seconds = self.settings.stale_after_seconds * factor

    def is_fresh(self, now: float) -> bool:
        """Whether the last snapshot may still be shown; `now` in seconds of `HostClock.data_time`."""
        return now < self.stale_at

    def is_up(self, now: float) -> bool:
        """Whether the last scheduled poll succeeded and its figures are shown."""
        return self.last_poll_succeeded and self.is_fresh(now)
