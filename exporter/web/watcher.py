"""The web configuration of the moment: its files are looked at every second and read again when they change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from exporter.config.document import ConfigError, Invalid, Problem
from exporter.config.files import Files
from exporter.threads import ThreadUnavailable, run_in_thread
from exporter.web.config import WebConfig, load
from exporter.web.tls import asks_less_of_clients

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from exporter.config.files import Stamp

log = structlog.get_logger()

_EVERY_SECONDS: Final = 1.0


class WebConfigWatcher:
    """Holds the last good configuration.

    Args:
        config: the one to begin with.
        every_seconds: time between two looks.
        changed: called when `usable` may have changed.
    """

    def __init__(
        self, config: WebConfig, every_seconds: float = _EVERY_SECONDS, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.current = config
        self._every_seconds = every_seconds
        self._changed = changed
        self._files = config.files
        self._changing: dict[Path, Stamp] | None = None
        self._read_error = ""  # of the files as they were last read
        self._error = ""  # that, or why they cannot be examined now

    @property
    def usable(self) -> bool:
        """Whether the files as they are now can be used; if not, an older configuration is served."""
        return not self._error

    @property
    def tls(self) -> ssl.SSLContext:
        """The context for a new connection; only where TLS is on, since it neither comes nor goes."""
        assert self.current.tls is not None
        return self.current.tls

    async def run(self) -> NoReturn:
        """Follow the files for ever."""
        while True:
            await asyncio.sleep(self._every_seconds)
            await self.check()

    async def check(self) -> None:
        """Read the files again if they have changed since they were read, but not since the last look."""
        try:
            # Off the loop: where the files lie may be slow.
            changing = await run_in_thread(self._files.changed)
            # What has not rested may be half written, or a certificate whose key is still to come.
            if changing is not None and changing == self._changing:
                await self._read_again()
        except ThreadUnavailable:
            return  # the next look is a second away
        except Invalid as error:
            self._report(str(error))
            return
        self._changing = changing
        self._report(self._read_error)

    async def _read_again(self) -> None:
        files = Files()
        try:
            config = await run_in_thread(load, self.current.path, files)
            self._refuse_less(config)
        except ThreadUnavailable:
            raise
        except Exception as error:
            self._files = files
            self._read_error = "internal error"
            if not isinstance(error, ConfigError):
                self._report(self._read_error)
                raise
            self._read_error = "; ".join(str(problem) for problem in error.problems)
            return
        self._files = files  # what it remembers is what was read
        self._read_error = ""
        self.current = config
        log.info("web configuration reloaded", file=str(config.path))

    def _report(self, error: str) -> None:
        if error == self._error:
            return
        self._error = error
        if error:
            log.warning("web configuration reload failed, keeping the previous configuration", error=error)
        self._changed()

    def _refuse_less(self, config: WebConfig) -> None:
        """Refuse what a running server cannot follow, and what an editor's half-written file could bring about."""
        problems = []
        if (config.tls is None) != (self.current.tls is None):
            problems.append(Problem(f"{config.path}: tls_server_config", "can only come or go with a restart"))
        if self.current.tls and config.tls and asks_less_of_clients(config.tls, self.current.tls):
            problems.append(Problem(f"{config.path}: tls_server_config", "can only ask less of clients with a restart"))
        if self.current.users and not config.users:
            problems.append(Problem(f"{config.path}: basic_auth_users", "can only go with a restart"))
        if problems:
            raise ConfigError(*problems)
