"""The exporter as a whole: what polls, what renders and what serves, started and stopped together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

import exporter
from exporter.binance.clock import monotonic
from exporter.config import ConfigError
from exporter.metrics.collector import SlowWay, SnapshotCollector
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.health import Health
from exporter.web.config import WebConfig
from exporter.web.live import LiveWebConfig
from exporter.web.page import render_page
from exporter.web.server import ListenAddress, WebServer
from exporter.wiring import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.account.state import AccountState
    from exporter.binance.dialing import Timing
    from exporter.config import Config

log = structlog.get_logger()

DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10427)  # balances are nobody else's business


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
        load: reads the configuration anew for `reload`, in a worker thread; raises ConfigError.
    """

    def __init__(
        self,
        config: Config,
        web: WebSettings,
        timing: Timing | None = None,
        load: Callable[[], Config] | None = None,
    ) -> None:
        self._program = program = Program(last_reload_success_unix=time.time())
        health = Health(program, lambda: self._fleet.states, monotonic, process_metrics=web.process_metrics)
        self._exposition = exposition = Exposition(health.render, monotonic)
        slow_way = SlowWay([SnapshotCollector(exposition.snapshots), *health.collectors])

        def poll_over(state: AccountState) -> None:
            health.poll_over(state)
            exposition.invalidate()

        self._fleet = wire(config, exposition.publish, poll_over, timing)
        program.connections = self._fleet.connections
        self._load = load or (lambda: config)
        self._reloading = asyncio.Lock()
        self._was_ready = False
        self._telemetry_path = web.telemetry_path
        self._live = LiveWebConfig(web.config) if web.config.path else None
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
        work = [asyncio.create_task(self._fleet.run(), name="polling")]
        if self._live:
            work.append(asyncio.create_task(self._live.run(), name="web configuration"))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            # None of the others ends by itself: one that does is a fault of this program, and goes on to the caller.
            ended, _ = await asyncio.wait([stopping, web, *work], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (stopping, *work):
                task.cancel()
            self._web.stop()
            await asyncio.gather(stopping, web, *work, return_exceptions=True)

    async def reload(self) -> str:
        """Read the configuration and its keys anew, and poll what they say; accounts that are unchanged do not notice.

        Returns:
            Why nothing was changed, without secrets; empty when all is well.
        """
        async with self._reloading:
            try:
                config = await asyncio.to_thread(self._load)
            except Exception as error:  # whatever it is, the exporter goes on with what it has
                if not isinstance(error, ConfigError):
                    log.exception("reload failed by a fault of this program")
                self._program.last_reload_succeeded = False
                self._exposition.invalidate()
                log.error("reload failed: what was configured stays", error=str(error))  # noqa: TRY400 - its words say it
                return str(error) or type(error).__name__
            self._not_ready()  # accounts added now must not take a service that is ready out of use
            changes = self._fleet.apply(config)
            for account in (*changes.changed, *changes.removed):
                self._exposition.forget(account)
            self._exposition.invalidate()
            self._program.connections = self._fleet.connections
            self._program.last_reload_succeeded = True
            self._program.last_reload_success_unix = time.time()
        for warning in config.warnings:
            log.warning("configuration", warning=warning)
        log.info("reloaded", accounts=len(config.accounts), **asdict(changes))
        return ""

    def _not_ready(self) -> Iterable[str]:
        waiting = [state.settings.name for state in self._fleet.states if not state.first_poll_over]
        self._was_ready = self._was_ready or not waiting
        return () if self._was_ready else waiting

    def _page(self) -> str:
        return render_page(
            self._fleet.states,
            self._fleet.connections,
            monotonic(),
            self._telemetry_path,
            exporter.__version__,
            self._exposition.snapshots(),
        )
