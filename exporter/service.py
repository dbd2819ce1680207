"""Wires everything: one connection and budget an endpoint, one poller an account, one web server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.account.poller import POLL_WEIGHT, Poller
from exporter.account.state import AccountState
from exporter.binance.clock import ExchangeClock
from exporter.binance.connection import Connection
from exporter.binance.weight import WeightBudget
from exporter.metrics.catalog import Program
from exporter.metrics.exposition import Exposition
from exporter.metrics.health import Health
from exporter.web.server import ListenAddress, WebServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.binance.dialing import Endpoint, Timing
    from exporter.config import Config

DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10427)  # balances are nobody else's business


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the scrape server is to listen and what it shows, from the flags."""

    addresses: tuple[ListenAddress, ...] = (DEFAULT_ADDRESS,)
    telemetry_path: str = "/metrics"
    process_metrics: bool = True


class Service:
    """The exporter as a whole: make it inside the event loop, `bind`, then `run` until told to stop."""

    def __init__(self, config: Config, web: WebSettings, timing: Timing | None = None) -> None:
        self._states = [AccountState(settings) for settings in config.accounts]
        program = Program(last_reload_success_unix=time.time())
        health = Health(program, lambda: self._states, time.monotonic, process_metrics=web.process_metrics)
        exposition = Exposition(health.render, time.monotonic)
        self._web = WebServer(web.addresses, web.telemetry_path, exposition.body, self._not_ready)
        self._connections: list[Connection] = []
        self._pollers: list[Poller] = []
        for endpoint, states in self._by_endpoint().items():
            clock = ExchangeClock()
            budget = WeightBudget(config.weight_share, clock)
            budget.plan((POLL_WEIGHT, state.settings.interval_seconds) for state in states)
            connection = Connection(endpoint, budget, clock, timing)
            self._connections.append(connection)
            for place, state in enumerate(states):
                phase = place / len(states)
                self._pollers.append(Poller(state, connection, exposition.publish, exposition.invalidate, phase))
        program.connections = self._connections

    def bind(self) -> list[str]:
        """Start to listen, and return the URLs.

        Raises:
            ListenError: an address cannot be had.
        """
        return self._web.bind()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll and serve until `stop` is set; over within two seconds of it, whatever is under way."""
        web = asyncio.create_task(self._web.run(), name="web server")
        work = [asyncio.create_task(connection.run()) for connection in self._connections]
        work += [asyncio.create_task(poller.run()) for poller in self._pollers]
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

    def _by_endpoint(self) -> dict[Endpoint, list[AccountState]]:
        groups: dict[Endpoint, list[AccountState]] = {}
        for state in self._states:
            groups.setdefault(state.settings.endpoint, []).append(state)
        return groups

    def _not_ready(self) -> Iterable[str]:
        return (state.settings.name for state in self._states if not state.first_poll_over)
