"""The key files of an account whose key was refused: read again, in case an operator has replaced them."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from exporter.binance.signing import KeyProblem
from exporter.supervision import RepeatFilter
from exporter.threads import ThreadUnavailable, run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.state import AccountState
    from exporter.binance.signing import Credentials

log = structlog.get_logger()


class KeyFiles:
    """Replaces an account's credentials when their files have changed.

    Args:
        state: the account's; only the credentials of its settings are replaced.
        monotonic: the clock, in seconds.
    """

    def __init__(self, state: AccountState, monotonic: Callable[[], float]) -> None:
        self._state = state
        self._monotonic = monotonic
        self._unusable = RepeatFilter(monotonic)
        self._rereading: tuple[object, asyncio.Future[Credentials | None]] | None = None

    async def reread(self, deadline: float) -> bool:
        """Use the files' content if it has changed, and return whether it has; give up at `deadline`."""
        settings = self._state.settings
        if settings.reread is None:
            return False
        if self._rereading is None or self._rereading[0] != settings.reread:
            # Kept beyond the deadline: what a slow file system delivers later is used at a later poll.
            self._rereading = settings.reread, asyncio.ensure_future(run_in_thread(settings.reread))
        _, rereading = self._rereading
        rereading.add_done_callback(lambda over: over.cancelled() or over.exception())
        await asyncio.wait([rereading], timeout=max(deadline - self._monotonic(), 0.0))
        # A reload may have replaced the settings meanwhile; it has read the files, and names those to look at next.
        if not rereading.done() or self._state.settings is not settings:
            return False
        self._rereading = None
        try:
            credentials = rereading.result()
        except (KeyProblem, ThreadUnavailable) as error:
            if self._unusable.is_due(str(error)):
                log.warning("changed key files cannot be used", account=settings.name, error=str(error))
            return False
        except Exception as error:  # the poll still fails because the key was refused
            if self._unusable.is_due("".join(traceback.format_exception_only(error))):
                log.exception("cannot read key files, internal error", account=settings.name)
            return False
        self._unusable.reset()
        if credentials is None or credentials == settings.credentials:
            return False
        self._state.settings = replace(settings, credentials=credentials)
        log.info("key files have changed: trying them", account=settings.name)
        return True
