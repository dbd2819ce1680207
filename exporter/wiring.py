"""Configuration -> connections and pollers: one connection, clock and budget an endpoint, one poller an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.account.optional import OptionalMethods
from exporter.account.poller import Poller, poll_weight
from exporter.account.state import AccountState
from exporter.binance.clock import ExchangeClock
from exporter.binance.connection import Connection
from exporter.binance.weight import WeightBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.dialing import Endpoint, Timing
    from exporter.config import Config


@dataclass(frozen=True, slots=True)
class Wired:
    """Connections with the pollers that use them, not running yet; accounts in the configuration's order."""

    states: tuple[AccountState, ...]
    connections: tuple[Connection, ...]
    pollers: tuple[Poller, ...]  # those of one endpoint stand together


def wire(
    config: Config,
    publish: Callable[[AccountState, AccountSnapshot], None],
    poll_over: Callable[[], None],
    timing: Timing | None = None,
) -> Wired:
    """Make what polls the configured accounts; call it inside the event loop.

    Args:
        config: what to poll.
        publish: called with every good snapshot.
        poll_over: called after every due poll, however it ended.
        timing: the connections' delays, where not the usual ones.
    """
    states = tuple(AccountState(settings) for settings in config.accounts)
    groups: dict[Endpoint, list[AccountState]] = {}
    for state in states:
        groups.setdefault(state.settings.endpoint, []).append(state)
    connections, pollers = [], []
    for endpoint, group in groups.items():
        clock = ExchangeClock()
        budget = WeightBudget(config.weight_share, clock)
        budget.plan((poll_weight(state.settings), state.settings.interval_seconds) for state in group)
        connection = Connection(endpoint, budget, clock, timing)
        connections.append(connection)
        optional = OptionalMethods(connection)
        # Accounts are spread evenly over the interval.
        pollers += [
            Poller(state, connection, optional, publish, poll_over, place / len(group))
            for place, state in enumerate(group)
        ]
    return Wired(states, tuple(connections), tuple(pollers))
