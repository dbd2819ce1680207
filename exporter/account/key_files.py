"""Rereads the key files of an account whose key was refused, in case an operator has replaced them."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from exporter.binance.signing import KeyProblem
from exporter.repeat_filter import RepeatFilter
from exporter.threads import ThreadUnavailable, run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.state import AccountState
    from exporter.binance.signing import Credentials

log = structlog.get_logger()


class KeyFileRereader:
    """Replaces an account's credentials when their files have changed.

    Args:
        state: the account's state; only the credentials in its settings are replaced.
        monotonic: the clock, in seconds.
    """

    def __init__(self, state: AccountState, monotonic: Callable[[], float]) -> None:
        self._state = state
        self._monotonic = monotonic
        self._logged_problems = RepeatFilter(monotonic)
        self._reading: tuple[object, asyncio.Future[Credentials | None]] | None = None

    async def reread(self, deadline: float) -> bool:
        """Use the key files if they have changed, and return whether they have; give up at `deadline`."""
        settings = self._state.settings
        if settings.reread is None:
            return False
        if self._reading is None or self._reading[0] != settings.reread:
            # Kept after the deadline: what a slow file system returns later is used at a later poll.
            self._reading = settings.reread, asyncio.ensure_future(run_in_thread(settings.reread))
        _, reading = self._reading
        reading.add_done_callback(lambda finished: finished.cancelled() or finished.exception())
        await asyncio.wait([reading], timeout=max(deadline - self._monotonic(), 0.0))
        # A reload may have replaced the settings; it has read the files, and the new settings name those to read next.
        if not reading.done() or self._state.settings is not settings:
            return False
        self._reading = None
        try:
            credentials = reading.result()
        except (KeyProblem, ThreadUnavailable) as error:
            if self._logged_problems.is_due(str(error)):
                log.warning(
                    "changed key files cannot be used, keeping the previous key",
                    account=settings.name,
                    error=str(error),
                )
            return False
        except Exception as error:  # the poll still fails because the key was refused
            if self._logged_problems.is_due("".join(traceback.format_exception_only(error))):
                log.exception("cannot read key files, internal error", account=settings.name)
            return False
        self._logged_problems.reset()
        if credentials is None or credentials == settings.credentials:
            return False
        self._state.settings = replace(settings, credentials=credentials)
        log.info("key files changed, polling with the new key", account=settings.name)
        return True
