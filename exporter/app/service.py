"""The exporter as a whole: starts, reloads and stops polling, rendering and serving together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest

import exporter
from exporter.app.fleet import Fleet
from exporter.app.rest_fleet import RestFleet
from exporter.binance.clock import monotonic
from exporter.binance.host_clock import HostClock
from exporter.config.document import ConfigError, Problem
from exporter.config.shards import WHOLE, Shard
from exporter.metrics.exposition import Exposition
from exporter.metrics.openmetrics import OpenMetricsExposition, process_registry
from exporter.metrics.self_catalog import Program
from exporter.supervision import supervise
from exporter.threads import ThreadUnavailable, run_in_thread
from exporter.web.config import WebConfig
from exporter.web.listen_address import ListenAddress
from exporter.web.page import render_page
from exporter.web.server import WebServer
from exporter.web.watcher import WebConfigWatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.app.fleet import Changes
    from exporter.binance.dialing import Timing
    from exporter.config.exporter_yml import Config

log = structlog.get_logger()

DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10427)  # metrics expose balances
_LOAD_SECONDS: Final = 600.0  # longer than reading all files and parsing hundreds of RSA keys takes


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Where the scrape server listens and what it serves, from the flags."""

    addresses: tuple[ListenAddress, ...] = (DEFAULT_ADDRESS,)
    telemetry_path: str = "/metrics"
    process_metrics: bool = True
    lifecycle: bool = False  # whether a request may reload the configuration
    config: WebConfig = field(default_factory=WebConfig)


class Service:
    """The running exporter: create it in the event loop, `bind` it, then `run` it.

    Args:
        config: what to poll.
        web: how to serve.
        timing: the connections' delays, if not the default.
        load: reads the configuration again for `reload`, in a worker thread; raises ConfigError.
        host: this host's clocks, if not the real ones.
        shard: which share of the accounts `config` contains.
    """

    def __init__(
        self,
        config: Config,
        web: WebSettings,
        timing: Timing | None = None,
        load: Callable[[], Config] | None = None,
        host: HostClock | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        self._host = host = host or HostClock(time.time, monotonic)
        self._program = program = Program(
            last_reload_success_unix=time.time(), shard_index=shard.index, shards=shard.total
        )
        process = process_registry() if web.process_metrics else CollectorRegistry()
        self._exposition = exposition = Exposition(
            program, lambda: self._fleet.states, host.data_time, partial(generate_latest, process)
        )
        openmetrics = OpenMetricsExposition(exposition.shown, process)
        self._fleet = Fleet(config, exposition.publish, exposition.poll_finished, timing, host)
        self._rest = RestFleet(self._fleet, config, exposition.snapshot)
        program.endpoints = lambda: self._fleet.endpoints
        program.markets, program.api_keys = lambda: self._rest.markets, lambda: self._rest.api_keys
        program.incomes = lambda: self._rest.incomes
        self._load = load or (lambda: config)
        self._reloading = asyncio.Lock()
        self._next_reload: asyncio.Task[str] | None = None  # waiting to start
        self._loading: asyncio.Future[Config] | None = None
        self._config_usable = True
        self._was_ready = False
        self._telemetry_path = web.telemetry_path
        self._watcher = WebConfigWatcher(web.config, changed=self._record_reload) if web.config.path else None
        self._server = WebServer(
            web.addresses,
            web.telemetry_path,
            exposition.body,
            openmetrics,
            self._not_ready,
            self._page,
            self._watcher,
            self.reload if web.lifecycle else None,
        )

    def bind(self) -> list[str]:
        """Start listening, and return the URLs.

        Raises:
            ListenError: an address cannot be listened on.
        """
        return self._server.bind()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll and serve until `stop` is set, and end within two seconds of that."""
        web = asyncio.create_task(self._server.run(), name="web server")
        work = [asyncio.create_task(supervise("polling", self._fleet.run), name="polling")]
        work.append(asyncio.create_task(supervise("REST", self._rest.run), name="REST"))
        name = "clock watcher"
        work.append(asyncio.create_task(supervise(name, lambda: self._host.watch(self._wake)), name=name))
        if self._watcher:
            name = "web configuration watcher"
            work.append(asyncio.create_task(supervise(name, self._watcher.run), name=name))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            # Only the web server may end the service: without it, failures would be invisible from outside.
            ended, _ = await asyncio.wait([stopping, web], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (stopping, *work):
                task.cancel()
            self._server.stop()
            await asyncio.gather(stopping, web, *work, return_exceptions=True)

    async def reload(self) -> str:
        """Read the configuration and its keys again and apply them; unchanged accounts are not disturbed.

        Calls during a reload share another one that begins after it: the running one may have read the files before
        they were changed.

        Returns:
            Why the previous configuration was kept, without secrets; empty if the reload succeeded.
        """
        if self._next_reload is None:
            self._next_reload = asyncio.create_task(self._reload_in_turn(), name="reload")
        # Shielded: a caller that is cancelled must not interrupt the reload.
        return await asyncio.shield(self._next_reload)

    async def _reload_in_turn(self) -> str:
        async with self._reloading:
            self._next_reload = None
            try:
                config = await self._load_in_time()
                changes = self._apply(config)
            except Exception as error:  # whatever it is, the exporter keeps the previous configuration
                if not isinstance(error, ConfigError):
                    log.exception("configuration reload failed, internal error")
                self._config_usable = False
                self._record_reload()
                _log_failed_reload(error)
                return str(error) or type(error).__name__
            self._config_usable = True
            self._program.last_reload_success_unix = time.time()
            self._record_reload()
        for warning in config.warnings:
            log.warning("configuration warning", warning=warning)
        log.info("configuration reloaded", accounts=len(config.accounts), **asdict(changes))
        return ""

    async def _load_in_time(self) -> Config:
        """Load the configuration in a thread; if that does not end in time, the result is never applied.

        Raises:
            ConfigError: with every problem, or because loading takes too long or cannot be started.
        """
        # Each file has a deadline and an error that names it: this one is for everything else.
        if self._loading is None or self._loading.done():
            self._loading = asyncio.ensure_future(run_in_thread(self._load))
            # Retrieved here, since nothing else does if the load has timed out.
            self._loading.add_done_callback(lambda load: load.cancelled() or load.exception())
            done, _ = await asyncio.wait([self._loading], timeout=_LOAD_SECONDS)
            if done:
                loaded, self._loading = self._loading, None
                try:
                    return loaded.result()
                except ThreadUnavailable as error:
                    raise ConfigError(Problem("cannot read the configuration", str(error))) from error
        raise ConfigError(Problem("cannot read the configuration", "timed out"))

    def _apply(self, config: Config) -> Changes:
        self._not_ready()  # a service that was ready stays ready when accounts are added
        changes = self._fleet.apply(config)
        self._rest.apply(config)
        for account in (*changes.changed, *changes.removed):
            self._exposition.remove(account)
        return changes

    def _wake(self) -> None:
        self._fleet.wake()
        self._exposition.invalidate()

    def _record_reload(self) -> None:
        self._program.last_reload_succeeded = self._config_usable and (self._watcher is None or self._watcher.usable)
        self._exposition.invalidate()

    def _not_ready(self) -> int:
        waiting = sum(not state.first_poll_finished for state in self._fleet.states)
        self._was_ready = self._was_ready or not waiting
        return 0 if self._was_ready else waiting

    def _page(self) -> str:
        return render_page(
            self._fleet.states,
            self._fleet.endpoints,
            self._host.data_time(),
            self._telemetry_path,
            exporter.__version__,
            self._exposition.snapshots(),
        )


def _log_failed_reload(error: Exception) -> None:
    """Log each error of a configuration on a separate line."""
    problems = error.problems if isinstance(error, ConfigError) else (str(error) or type(error).__name__,)
    for problem in problems:
        log.error("configuration reload failed, keeping the previous configuration", error=str(problem))
