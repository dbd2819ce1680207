"""Checks every second whether the files of the web configuration have changed, and reads them again if so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from exporter.config.document import ConfigError, InvalidValue, Problem
from exporter.config.files import Files
from exporter.threads import ThreadUnavailable, run_in_thread
from exporter.web.config import WebConfig, load
from exporter.web.tls import weakens_client_auth

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from exporter.config.files import Stamp

log = structlog.get_logger()

_INTERVAL_SECONDS: Final = 1.0


class WebConfigWatcher:
    """Holds the last valid configuration as `current`.

    Args:
        config: the first configuration.
        every_seconds: time between two checks.
        changed: called when `usable` may have changed.
    """

    def __init__(
        self, config: WebConfig, every_seconds: float = _INTERVAL_SECONDS, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.current = config
        self._every_seconds = every_seconds
        self._changed = changed
        self._files = config.files
        self._changed_stamps: dict[Path, Stamp] | None = None  # at the last check
        self._read_error = ""  # of the files as they were last read
        self._error = ""  # the same, or why they cannot be checked now

    @property
    def usable(self) -> bool:
        """Whether the files can be used as they are now; if not, an older configuration stays in use."""
        return not self._error

    @property
    def tls(self) -> ssl.SSLContext:
        """The context for a new connection; only where TLS is on, which cannot change without a restart."""
        assert self.current.tls is not None
        return self.current.tls

    async def run(self) -> NoReturn:
        """Check the files at every interval until cancelled."""
        while True:
            await asyncio.sleep(self._every_seconds)
            await self.check()

    async def check(self) -> None:
        """Read the files again if they have changed since they were read, but not since the last check."""
        try:
            # In a thread: the file system may be slow.
            stamps = await run_in_thread(self._files.changed)
            # A file that is still changing may be half written, or a certificate whose key is yet to be replaced.
            if stamps is not None and stamps == self._changed_stamps:
                await self._reload()
        except ThreadUnavailable:
            return  # the next check is a second away
        except InvalidValue as error:
            self._report(str(error))
            return
        self._changed_stamps = stamps
        self._report(self._read_error)

    async def _reload(self) -> None:
        files = Files(self._files.folder)
        try:
            config = await run_in_thread(load, self.current.path, files)
            self._check_restart(config)
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
        self._files = files
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

    def _check_restart(self, config: WebConfig) -> None:
        """Reject changes that need a restart: to TLS on or off, and to less protection, as by a half-written file.

        Raises:
            ConfigError: `config` has such changes.
        """
        problems = []
        if (config.tls is None) != (self.current.tls is None):
            problems.append(
                Problem(f"{config.path}: tls_server_config", "cannot be added or removed without a restart")
            )
        if self.current.tls and config.tls and weakens_client_auth(config.tls, self.current.tls):
            problems.append(
                Problem(
                    f"{config.path}: tls_server_config", "client authentication cannot be weakened without a restart"
                )
            )
        if self.current.users and not config.users:
            problems.append(Problem(f"{config.path}: basic_auth_users", "cannot be removed without a restart"))
        if problems:
            raise ConfigError(*problems)
