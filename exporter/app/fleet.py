"""Creates and runs connections and pollers: a connection, clock and budget per endpoint, a poller per account.

A new configuration can be applied while they run, without disturbing what has not changed.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from itertools import chain, count, pairwise
from typing import TYPE_CHECKING

from exporter.account.availability import MethodAvailability
from exporter.account.pacing import EndpointPacing
from exporter.account.poller import Poller
from exporter.account.queries import planned_requests
from exporter.account.state import AccountState
from exporter.binance.clock import ExchangeClock, monotonic
from exporter.binance.connection import Connection
from exporter.binance.host_clock import HostClock
from exporter.binance.weight import WeightBudget
from exporter.supervision import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountSettings
    from exporter.binance.dialing import Endpoint, Timing
    from exporter.binance.endpoint_state import EndpointState
    from exporter.config.exporter_yml import Config


@dataclass(frozen=True, slots=True)
class Changes:
    """The accounts that a new configuration added, changed and removed, by name."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the accounts of one endpoint share."""

    connection: Connection
    availability: MethodAvailability
    pacing: EndpointPacing


class Fleet:
    """All connections and pollers; create and use it in the event loop.

    Args:
        config: what to poll.
        publish: called with every valid snapshot.
        poll_finished: called with the account's state after every scheduled poll, successful or not.
        timing: the connections' delays, if not the default.
        host: this host's clocks, if not the real ones.
    """

    def __init__(
        self,
        config: Config,
        publish: Callable[[AccountState, AccountSnapshot], None],
        poll_finished: Callable[[AccountState], None],
        timing: Timing | None = None,
        host: HostClock | None = None,
    ) -> None:
        self.host = host or HostClock(time.time, monotonic)
        self._publish = publish
        self._poll_finished = poll_finished
        self._timing = timing
        self._pollers: dict[str, Poller] = {}  # by account, in the configuration's order
        self._endpoints: dict[Endpoint, _Shared] = {}
        # Never removed: a ban and the used weight must outlast an endpoint that is removed and added again.
        self._budgets: dict[Endpoint, tuple[ExchangeClock, WeightBudget]] = {}
        self._workers = Workers[Poller | Connection]()
        self._running = False
        self.apply(config)

    @property
    def pollers(self) -> tuple[Poller, ...]:
        """The pollers, in the configuration's order."""
        return tuple(self._pollers.values())

    @property
    def states(self) -> tuple[AccountState, ...]:
        """The states of the accounts, in the configuration's order."""
        return tuple(poller.state for poller in self._pollers.values())

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections, in the order of the endpoints' first accounts."""
        return tuple(shared.connection for shared in self._endpoints.values())

    @property
    def endpoints(self) -> tuple[EndpointState, ...]:
        """The current states of the endpoints, in the same order."""
        return tuple(connection.state for connection in self.connections)

    def apply(self, config: Config) -> Changes:
        """Poll according to `config` from now on; accounts with unchanged settings are not disturbed."""
        before, share = self._pollers, config.weight_share
        kept = {s.name for s in config.accounts if s.name in before and before[s.name].state.settings == s}
        for name in before.keys() - kept:
            self._workers.end(before[name])
        groups: dict[Endpoint, list[AccountSettings]] = {}
        for settings in config.accounts:
            groups.setdefault(settings.endpoint, []).append(settings)
        for endpoint in self._endpoints.keys() - groups.keys():
            self._workers.end(self._endpoints[endpoint].connection)
        self._endpoints = self._shared_on(groups.keys(), share)
        pollers = {name: before[name] for name in kept}
        for endpoint, group in groups.items():
            shared = self._endpoints[endpoint]
            budget = shared.connection.budget
            budget.share = share
            budget.plan(chain.from_iterable(map(planned_requests, group)))
            new = [settings for settings in group if settings.name not in kept]
            if new:
                shared.pacing.begin_round(len(new))
            phases = _free_phases([pollers[s.name].phase for s in group if s.name in kept], len(new))
            for settings, phase in zip(new, phases, strict=True):
                pollers[settings.name] = self._poller(settings, shared, phase)
            for settings in group:
                # Equal settings may name other key files, and the endpoint keeps its first label.
                pollers[settings.name].state.settings = replace(settings, endpoint=shared.connection.endpoint)
        self._pollers = {settings.name: pollers[settings.name] for settings in config.accounts}
        if self._running:
            self._start()
        names = self._pollers.keys()
        return Changes(
            added=tuple(name for name in names if name not in before),
            changed=tuple(name for name in names if name in before and name not in kept),
            removed=tuple(name for name in before if name not in names),
        )

    def wake(self) -> None:
        """Poll every account as after a start: the host was suspended, or its clock jumped ahead."""
        for poller in self._pollers.values():
            poller.wake()

    async def run(self) -> None:
        """Poll until cancelled; a poller or connection that fails is restarted."""
        self._running = True
        try:
            self._start()
            await asyncio.Event().wait()
        finally:
            self._running = False
            await self._workers.end_all()

    def _shared_on(self, endpoints: Iterable[Endpoint], weight_share: float) -> dict[Endpoint, _Shared]:
        """Return what is shared on each endpoint, created for a new endpoint."""
        shared_on = {endpoint: self._endpoints.get(endpoint) for endpoint in endpoints}
        # Labels are assigned in file order and kept: the label of a new endpoint may already be an older one's.
        used_labels = {shared.connection.endpoint.label for shared in shared_on.values() if shared}
        for endpoint, shared in shared_on.items():
            if shared is None:
                base = endpoint.label.partition(" #")[0]
                numbered = (f"{base} #{number}" for number in count(2))
                label = next(label for label in chain((endpoint.label, base), numbered) if label not in used_labels)
                used_labels.add(label)
                shared_on[endpoint] = self._create_shared(replace(endpoint, label=label), weight_share)
        return {endpoint: shared for endpoint, shared in shared_on.items() if shared}

    def _create_shared(self, endpoint: Endpoint, weight_share: float) -> _Shared:
        if endpoint not in self._budgets:
            clock = ExchangeClock(host=self.host)
            self._budgets[endpoint] = clock, WeightBudget(weight_share, clock)
        clock, budget = self._budgets[endpoint]
        connection = Connection(endpoint, budget, clock, self._timing)
        return _Shared(connection, MethodAvailability(connection), EndpointPacing(clock.monotonic))

    def _poller(self, settings: AccountSettings, shared: _Shared, phase: float) -> Poller:
        state = AccountState(settings)
        return Poller(
            state, shared.connection, shared.availability, shared.pacing, self._publish, self._poll_finished, phase
        )

    def _start(self) -> None:
        """Start the pollers and connections that are not running yet."""
        pollers = [(f"poller of {name}", poller) for name, poller in self._pollers.items()]
        # The order of the first round: runs that end before all accounts are polled must not reach the same ones.
        random.shuffle(pollers)
        workers: list[tuple[str, Poller | Connection]] = [
            *((f"connection to {connection.endpoint.label}", connection) for connection in self.connections),
            *pollers,
        ]
        for name, worker in workers:
            self._workers.start(name, worker)


def _free_phases(used: list[float], count: int) -> list[float]:
    """Return `count` phases of an endpoint's interval, 0 <= phase < 1, as far apart from each other and `used` ones."""
    if not used:
        return [number / count for number in range(count)]
    phases: list[float] = []
    for _ in range(count):
        around = sorted([*used, *phases])
        gap, start = max((after - before, before) for before, after in pairwise([*around, around[0] + 1]))
        phases.append((start + gap / 2) % 1)
    return phases
