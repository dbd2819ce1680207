"""An exchange that records weight and requests, and the polling parts of the exporter, both in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exporter.account.state import AccountSettings
from exporter.app.fleet import Fleet
from exporter.binance.dialing import Endpoint, Timing
from exporter.binance.host_clock import HostClock
from exporter.config.exporter_yml import Config
from exporter.simulator import SimulatedAccount, SimulatedExchange
from support.polling import credentials_of
from support.virtual_time import START, now
from support.waiting import running_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from exporter.binance.errors import Reason

RESTART_WEIGHT: Final = 7  # a handshake and the request for the time
# Reconnects as fast as the weight allows.
REDIALLING: Final = Timing(backoff_first=0.1, backoff_cap=0.2)


class Host:
    """The host of an exporter: its wall clock is so many seconds ahead, its monotonic clock is right."""

    def __init__(self, ahead_seconds: float = 0.0) -> None:
        self.ahead_seconds = ahead_seconds

    def clocks(self) -> HostClock:
        """Return the clocks that the exporter reads."""
        return HostClock(lambda: now() + self.ahead_seconds, lambda: asyncio.get_running_loop().time())


class Arrival(NamedTuple):
    """A handshake or a request as received by the exchange."""

    at: float  # by the exchange's clock
    weight: int
    status: int  # of the answer, as far as weight decides it
    spent: int  # by the IP in that minute so far, other programs included


class Query(NamedTuple):
    """A query of an account as received by the exchange."""

    at: float  # seconds since the start, by the time it was signed with
    account: str
    method: str


class Exchange(SimulatedExchange):
    """An exchange that records the exporter's weight; its clock is right unless skewed."""

    def __init__(self, accounts: int = 1, **options: Any) -> None:
        self.arrivals: list[Arrival] = []
        traders = [SimulatedAccount(f"trader{number}", "HMAC", seed=number) for number in range(accounts)]
        super().__init__(traders, clock=now, **options)
        for trader in traders:
            trader.deposit("USDT", "10000")

    def charge(self, weight: int) -> int:
        """Record a handshake or a request; other programs' weight is added elsewhere."""
        status = super().charge(weight)
        self.arrivals.append(Arrival(self.server_time(), weight, status, self.spent_weight()))
        return status

    def own_weights(self) -> dict[int, int]:
        """Return the exporter's weight in each minute, by how many minutes after the first."""
        weights = Counter[int]()
        for arrival in self.arrivals:
            weights[int(arrival.at // 60 - START // 60)] += arrival.weight
        return weights

    def queries(self, method: str | None = None) -> list[Query]:
        """Return the accounts' queries, or those of one method."""
        names = {account.api_key: name for name, account in self.accounts.items()}
        return [
            Query(request.params["timestamp"] / 1000 - START, names[request.params["apiKey"]], request.method)
            for request in self.received
            if "apiKey" in request.params and method in {None, request.method}
        ]

    def rejected(self) -> list[Arrival]:
        """Return what was answered with 429 or 418."""
        return [arrival for arrival in self.arrivals if arrival.status != 200]

    def waits(self) -> list[float]:
        """Return the seconds between rejections; those of the same moment are one."""
        return [
            later - earlier
            for earlier, later in itertools.pairwise(sorted({arrival.at for arrival in self.rejected()}))
        ]

    def most_in_a_second(self, since: float) -> int:
        """Return the highest number of handshakes and requests in a second since then."""
        return max(Counter(int(arrival.at - since) for arrival in self.arrivals if arrival.at >= since).values())


@contextlib.asynccontextmanager
async def running(
    exchange: Exchange, host: Host | None = None, *, share: float = 0.5, timing: Timing | None = None, **settings: Any
) -> AsyncIterator[Fleet]:
    """Run an exporter that polls all accounts of the exchange, by default on a host with a right clock."""
    endpoint = Endpoint("exchange", exchange.url)
    accounts = tuple(
        AccountSettings(name=name, endpoint=endpoint, credentials=credentials_of(account), **settings)
        for name, account in exchange.accounts.items()
    )
    config, clocks = Config(accounts=accounts, weight_share=share, warnings=()), (host or Host()).clocks()
    fleet = Fleet(config, lambda *_: None, lambda _: None, timing, clocks)
    async with running_task(fleet.run()):
        yield fleet


def repeating(pauses: Iterable[float], action: Callable[[], object]) -> contextlib.AbstractAsyncContextManager[None]:
    """Repeat an action during the block, after each of these pauses in seconds, in a cycle."""

    async def repeat() -> None:
        for pause in itertools.cycle(pauses):
            await asyncio.sleep(pause)
            action()

    return running_task(repeat())


def failures(fleet: Fleet) -> Counter[Reason]:
    """Return the number of failed polls by reason."""
    return sum((state.failures for state in fleet.states), Counter())


def successful_polls(fleet: Fleet) -> int:
    """Return the number of successful polls."""
    return sum(state.polls for state in fleet.states) - failures(fleet).total()
