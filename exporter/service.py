"""The exporter as a whole: what polls, what renders and what serves, started and stopped together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import exporter
from exporter.binance.clock import monotonic
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
    from collections.abc import Iterable

    from exporter.binance.dialing import Timing
    from exporter.config import Config

DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10427)  # balances are nobody else's business


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the scrape server is to listen and what it shows, from the flags."""

    addresses: tuple[ListenAddress, ...] = (DEFAULT_ADDRESS,)
    telemetry_path: str = "/metrics"
    process_metrics: bool = True
    config: WebConfig = field(default_factory=WebConfig)


class Service:
    """Make it inside the event loop, `bind`, then `run` until told to stop."""

    def __init__(self, config: Config, web: WebSettings, timing: Timing | None = None) -> None:
        program = Program(last_reload_success_unix=time.time())
        health = Health(program, lambda: self._wired.states, monotonic, process_metrics=web.process_metrics)
        self._exposition = exposition = Exposition(health.render, monotonic)
        slow_way = SlowWay([SnapshotCollector(exposition.snapshots), *health.collectors])
        self._wired = wire(config, exposition.publish, exposition.invalidate, timing)
        program.connections = self._wired.connections
        self._telemetry_path = web.telemetry_path
        self._live = LiveWebConfig(web.config) if web.config.path else None
        self._web = WebServer(
            web.addresses, web.telemetry_path, exposition.body, slow_way, self._not_ready, self._page, self._live
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
        work = [asyncio.create_task(connection.run()) for connection in self._wired.connections]
        work += [asyncio.create_task(poller.run()) for poller in self._wired.pollers]
        if self._live:
            work.append(asyncio.create_task(self._live.run()))
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

    def _not_ready(self) -> Iterable[str]:
        return (state.settings.name for state in self._wired.states if not state.first_poll_over)

    def _page(self) -> str:
        return render_page(
            self._wired.states,
            self._wired.connections,
            monotonic(),
            self._telemetry_path,
            exporter.__version__,
            self._exposition.snapshots(),
        )
