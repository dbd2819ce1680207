"""The web configuration of the moment: its files are looked at every second and read again when they change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from exporter.config.document import ConfigError, Fault
from exporter.web.config import WebConfig, load
from exporter.web.files import Files
from exporter.web.tls import asks_less_of_clients

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from exporter.web.files import Stamp

log = structlog.get_logger()

_EVERY_SECONDS: Final = 1.0


class LiveWebConfig:
    """Holds the last good configuration.

    Args:
        config: the one to begin with.
        every_seconds: time between two looks.
    """

    def __init__(self, config: WebConfig, every_seconds: float = _EVERY_SECONDS) -> None:
        self.current = config
        self._every_seconds = every_seconds
        self._files = config.files
        self._changing: dict[Path, Stamp] | None = None
        self._warned: tuple[Fault, ...] = ()

    @property
    def tls(self) -> ssl.SSLContext:
        """The context for a new connection; only where TLS is on, since it neither comes nor goes."""
        assert self.current.tls is not None
        return self.current.tls

    async def run(self) -> NoReturn:
        """Follow the files for ever."""
        while True:
            await asyncio.sleep(self._every_seconds)
            await self.look()

    async def look(self) -> None:
        """Read the files again if they have changed since they were read, but not since the last look."""
        # Off the loop: where the files lie may be slow.
        changing = await asyncio.to_thread(self._files.changed)
        # What has not rested may be half written, or a certificate whose key is still to come.
        if changing is not None and changing == self._changing:
            await self._read_again()
        self._changing = changing

    async def _read_again(self) -> None:
        files = Files()
        try:
            config = await asyncio.to_thread(load, self.current.path, files)
            self._refuse_less(config)
        except ConfigError as error:
            if error.faults != self._warned:
                faults = "; ".join(str(fault) for fault in error.faults)
                log.warning("web configuration not taken, the last good one stays", faults=faults)
            self._warned = error.faults
            return
        finally:
            self._files = files  # whole: what it remembers is what was read
        log.info("web configuration read again", file=str(config.path))
        self._warned = ()
        self.current = config

    def _refuse_less(self, config: WebConfig) -> None:
        """Refuse what a running server cannot follow, and what an editor's half-written file could bring about."""
        faults = []
        if (config.tls is None) != (self.current.tls is None):
            faults.append(Fault(f"{config.path}: tls_server_config", "can only come or go with a restart"))
        if self.current.tls and config.tls and asks_less_of_clients(config.tls, self.current.tls):
            faults.append(Fault(f"{config.path}: tls_server_config", "can only ask less of clients with a restart"))
        if self.current.users and not config.users:
            faults.append(Fault(f"{config.path}: basic_auth_users", "can only go with a restart"))
        if faults:
            raise ConfigError(*faults)
