"""Logs an account's failed polls; a cause that all accounts share is logged once for the endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from exporter.binance.errors import Reason
from exporter.formatting import format_utc
from exporter.repeat_filter import RepeatFilter

if TYPE_CHECKING:
    from exporter.account.state import AccountState, Failure
    from exporter.binance.connection import Connection

log = structlog.get_logger()

_SHARED_REASONS: Final = frozenset({Reason.CONNECTION, Reason.RATE_LIMITED, Reason.BANNED})
_FAILED: Final = "poll failed"
_RECOVERED: Final = "poll succeeded again"


class PollLogger:
    """Logs a failure when it is new, every five minutes while it lasts, and when it has ended.

    A cause that affects the whole IP or endpoint is logged for the endpoint, not for each of its accounts.

    Args:
        state: the account's state.
        connection: the endpoint's connection.
    """

    def __init__(self, state: AccountState, connection: Connection) -> None:
        self._state = state
        self._connection = connection
        self._failures = RepeatFilter(connection.clock.monotonic)

    def failed(self, failure: Failure, retry_in_seconds: float, *, is_bug: bool) -> None:
        """Log a failed poll, at error level if it is a bug."""
        if failure.reason in _SHARED_REASONS:
            due = self._is_due_for_all(_FAILED, failure.reason)
        else:
            due = self._failures.is_due((failure.reason, failure.message))
        if not due:
            return
        fields: dict[str, object] = self._subject(failure.reason) | {
            "reason": failure.reason.value,
            "error": failure.message,
            "advice": failure.advice,
            "retry_in_seconds": round(retry_in_seconds, 1),
        }
        if (resumes_at := self._connection.budget.resumes_at) is not None:
            fields["resumes_at"] = format_utc(resumes_at)
        (log.error if is_bug else log.warning)(_FAILED, **fields)

    def succeeded(self, after: Reason | None) -> None:
        """Log that the failures have ended, if there were any."""
        self._failures.reset()
        if after and (after not in _SHARED_REASONS or self._is_due_for_all(_RECOVERED, after)):
            log.info(_RECOVERED, **self._subject(after), after=after.value)

    def _subject(self, reason: Reason) -> dict[str, str]:
        if reason in _SHARED_REASONS:
            return {"endpoint": self._connection.endpoint.label}
        return {"account": self._state.settings.name}

    def _is_due_for_all(self, event: str, reason: Reason) -> bool:
        # A failure after a reconnect is a new one.
        return self._connection.failures_logged[event, reason].is_due(self._connection.connections)
