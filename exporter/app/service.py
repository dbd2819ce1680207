"""The exporter as a whole: what polls, what renders and what serves, started and stopped together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

import exporter
from exporter.app.fleet import Fleet
from exporter.binance.clock import monotonic
from exporter.binance.host_clock import HostClock
from exporter.config import ConfigError
from exporter.config.document import Problem
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.openmetrics import OpenMetricsExposition, SnapshotCollector
from exporter.metrics.self_metrics import SelfMetrics
from exporter.supervision import supervise
from exporter.threads import ThreadUnavailable, run_in_thread
from exporter.web.config import WebConfig
from exporter.web.page import render_page
from exporter.web.server import ListenAddress, WebServer
from exporter.web.watcher import WebConfigWatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.state import AccountState
    from exporter.app.fleet import Changes
    from exporter.binance.dialing import Timing
    from exporter.config import Config

log = structlog.get_logger()

DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10427)  # balances are nobody else's business
_LOAD_SECONDS: Final = 600.0  # longer than files may take together, and then hundreds of RSA keys to be parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the scrape server is to listen and what it shows, from the flags."""

    addresses: tuple[ListenAddress, ...] = (DEFAULT_ADDRESS,)
    telemetry_path: str = "/metrics"
    process_metrics: bool = True
    lifecycle: bool = False  # whether a request may have the configuration reloaded
    config: WebConfig = field(default_factory=WebConfig)


class Service:
    """Make it inside the event loop, `bind`, then `run` until told to stop.

    Args:
        config: what to poll.
        web: how to serve.
        timing: the connections' delays, where not the usual ones.
        load: reads the configuration again for `reload`, in a worker thread; raises ConfigError.
        host: this host's clocks, where not the real ones.
    """

    def __init__(
        self,
        config: Config,
        web: WebSettings,
        timing: Timing | None = None,
        load: Callable[[], Config] | None = None,
        host: HostClock | None = None,
    ) -> None:
        self._host = host = host or HostClock(time.time, monotonic)
        self._program = program = Program(last_reload_success_unix=time.time())
        health = SelfMetrics(program, lambda: self._fleet.states, host.data_time, process_metrics=web.process_metrics)
        self._exposition = exposition = Exposition(health.render, host.data_time)
        slow_way = OpenMetricsExposition([SnapshotCollector(exposition.snapshots), *health.collectors])

        def poll_finished(state: AccountState) -> None:
            health.poll_finished(state)
            exposition.invalidate()

        self._fleet = Fleet(config, exposition.publish, poll_finished, timing, host)
        program.connections = self._fleet.connections
        self._load = load or (lambda: config)
        self._reloading = asyncio.Lock()
        self._next_reload: asyncio.Task[str] | None = None  # has not begun to read
        self._loading: asyncio.Future[Config] | None = None
        self._config_usable = True
        self._was_ready = False
        self._telemetry_path = web.telemetry_path
        self._live = WebConfigWatcher(web.config, changed=self._show_reload) if web.config.path else None
        self._web = WebServer(
            web.addresses,
            web.telemetry_path,
            exposition.body,
            slow_way,
            self._not_ready,
            self._page,
            self._live,
            self.reload if web.lifecycle else None,
        )

    def bind(self) -> list[str]:
        """Start to listen, and return the URLs.

        Raises:
            ListenError: an address cannot be had.
        """
        return self._web.bind()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll and serve until `stop` is set; over within two seconds of it, whatever is under way."""
        web = asyncio.create_task(self._web.run(), name="web server")
        work = [asyncio.create_task(supervise("polling", self._fleet.run), name="polling")]
        name = "clock watcher"
        work.append(asyncio.create_task(supervise(name, lambda: self._host.watch(self._woken)), name=name))
        if self._live:
            name = "web configuration watcher"
            work.append(asyncio.create_task(supervise(name, self._live.run), name=name))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            # Only the web server may end the service: without it, no failure could be seen from outside.
            ended, _ = await asyncio.wait([stopping, web], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (stopping, *work):
                task.cancel()
            self._web.stop()
            await asyncio.gather(stopping, web, *work, return_exceptions=True)

    async def reload(self) -> str:
        """Read the configuration and its keys again and poll what they say; unchanged accounts are not disturbed.

        Calls while a reload is under way share one that begins after it: the running one may have read the files
        before they were changed.

        Returns:
            Why nothing was changed, without secrets; empty if all is well.
        """
        if self._next_reload is None:
            self._next_reload = asyncio.create_task(self._reload_in_turn(), name="reload")
        # Shielded: a caller that goes away must not leave it half done.
        return await asyncio.shield(self._next_reload)

    async def _reload_in_turn(self) -> str:
        async with self._reloading:
            self._next_reload = None
            try:
                config = await self._load_in_time()
                changes = self._apply(config)
            except Exception as error:  # whatever it is, the exporter goes on with what it has
                if not isinstance(error, ConfigError):
                    log.exception("configuration reload failed, internal error")
                self._config_usable = False
                self._show_reload()
                _log_failed_reload(error)
                return str(error) or type(error).__name__
            self._config_usable = True
            self._program.last_reload_success_unix = time.time()
            self._show_reload()
        for warning in config.warnings:
            log.warning("configuration", warning=warning)
        log.info("configuration reloaded", accounts=len(config.accounts), **asdict(changes))
        return ""

    async def _load_in_time(self) -> Config:
        """Load the configuration in a thread; one that does not end in time is never applied.

        Raises:
            ConfigError: with every fault found, or because it takes too long or cannot be started.
        """
        # The files have deadlines of their own, with an error that names them: this one is for what has none.
        if self._loading is None or self._loading.done():
            self._loading = asyncio.ensure_future(run_in_thread(self._load))
            # What a load that has been given up comes to is of no interest.
            self._loading.add_done_callback(lambda over: over.cancelled() or over.exception())
            done, _ = await asyncio.wait([self._loading], timeout=_LOAD_SECONDS)
            if done:
                loaded, self._loading = self._loading, None
                try:
                    return loaded.result()
                except ThreadUnavailable as error:
                    raise ConfigError(Problem("cannot read the configuration", str(error))) from error
        raise ConfigError(Problem("cannot read the configuration", "reading it has not ended in time"))

    def _apply(self, config: Config) -> Changes:
        self._not_ready()  # accounts added now must not take a service that is ready out of use
        changes = self._fleet.apply(config)
        self._program.connections = self._fleet.connections
        for account in (*changes.changed, *changes.removed):
            self._exposition.remove(account)
        return changes

    def _woken(self) -> None:
        self._fleet.wake()
        self._exposition.invalidate()

    def _show_reload(self) -> None:
        self._program.last_reload_succeeded = self._config_usable and (self._live is None or self._live.usable)
        self._exposition.invalidate()

    def _not_ready(self) -> int:
        waiting = sum(not state.first_poll_finished for state in self._fleet.states)
        self._was_ready = self._was_ready or not waiting
        return 0 if self._was_ready else waiting

    def _page(self) -> str:
        return render_page(
            self._fleet.states,
            self._fleet.connections,
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
