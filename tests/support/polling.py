"""Connections to a simulated exchange, and pollers on them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from exporter.account.availability import MethodAvailability
from exporter.account.pacing import EndpointPacing
from exporter.account.poller import Poller
from exporter.account.queries import QUERIES
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.clock import ExchangeClock, monotonic
from exporter.binance.connection import Connection
from exporter.binance.dialing import Endpoint, Timing
from exporter.binance.messages import Method
from exporter.binance.request_sender import response_or_raise
from exporter.binance.signing import Credentials, Secret
from exporter.binance.weight import WeightBudget
from exporter.simulator import SimulatedAccount, SimulatedExchange
from support.waiting import running_task, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from exporter.account.asset_mode import AssetMode
    from exporter.account.queries import Query
    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.request_sender import Response
    from support.clocks import Monotonic


# Every delay of a connection, shortened; deadlines of what must not happen stay long.
FAST = Timing(
    reconnect_grace=0.05,
    clock_timeout=5.0,
    backoff_first=0.01,
    backoff_cap=0.02,
    forbidden_delay=0.05,
)


def credentials_of(account: SimulatedAccount) -> Credentials:
    """Return the credentials of a simulated account."""
    api_key = Secret(account.api_key)
    if account.secret_key is not None:
        return Credentials.hmac(api_key, Secret(account.secret_key))
    assert account.private_key_pem is not None
    return Credentials.private_key(api_key, Secret(account.private_key_pem))


def traders() -> list[SimulatedAccount]:
    """Return two accounts with money."""
    accounts = [SimulatedAccount("alice", "HMAC", seed=1), SimulatedAccount("bob", "Ed25519", seed=2)]
    for account in accounts:
        account.deposit("USDT", "10000")
    return accounts


@contextlib.asynccontextmanager
async def connected(
    url: str,
    *,
    share: float = 0.9,
    timing: Timing = FAST,
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = monotonic,
    wait: bool = True,
) -> AsyncIterator[Connection]:
    """Run a connection; by default wait until it is connected."""
    clock = ExchangeClock(wall, monotonic)
    connection = Connection(Endpoint("exchange", url), WeightBudget(share, clock), clock, timing)
    async with running_task(connection.run()):
        if wait:
            await until(lambda: connection.connected)
        yield connection


async def request_status(
    connection: Connection,
    account: SimulatedAccount,
    *,
    recv_window_ms: int = 5000,
    timeout_seconds: float = 10.0,
    within: float = 15.0,
) -> Response:
    """Ask for an account's status, and raise the error if there is one."""
    (outcome,) = await connection.request(
        Method.ACCOUNT_STATUS,
        credentials=credentials_of(account),
        recv_window_ms=recv_window_ms,
        timeout_seconds=timeout_seconds,
        deadline=connection.clock.monotonic() + within,
    )
    return response_or_raise(outcome)


class Polled:
    """A poller of one account, and the snapshots that it has published.

    Accounts of one endpoint share the `availability` of its methods and its `pacing`; without them this is
    its only account.
    """

    def __init__(
        self,
        exchange: SimulatedExchange,
        connection: Connection,
        name: str = "alice",
        *,
        availability: MethodAvailability | None = None,
        pacing: EndpointPacing | None = None,
        queries: Iterable[Query[Any]] = QUERIES,
        **settings: Any,
    ) -> None:
        self.snapshots: list[AccountSnapshot] = []
        # By default v1 is requested only to detect the mode.
        settings = {"configuration": False, "credentials": credentials_of(exchange.accounts[name]), **settings}
        self.state = AccountState(AccountSettings(name=name, endpoint=connection.endpoint, **settings))
        self.polls_over = 0
        availability = availability or MethodAvailability(connection)
        pacing = pacing or EndpointPacing(connection.clock.monotonic)
        self.poller = Poller(
            self.state, connection, availability, pacing, self._publish, self._poll_finished, queries=queries
        )
        self._monotonic = connection.clock.monotonic

    @property
    def modes(self) -> list[AssetMode]:
        """The asset modes of what was published."""
        return [snapshot.asset_mode for snapshot in self.snapshots]

    async def poll(self, within: float = 15.0) -> AccountState:
        """Do one due poll."""
        await self.poller.poll(self._monotonic() + within)
        return self.state

    async def queries_finished(self) -> None:
        """Wait for outstanding requests that run next to the polls."""
        for background in self.poller.queries.background.values():
            await background.wait()

    def _publish(self, state: AccountState, snapshot: AccountSnapshot) -> None:
        assert state is self.state
        self.snapshots.append(snapshot)

    def _poll_finished(self, state: AccountState) -> None:
        assert state is self.state
        self.polls_over += 1


Answer = dict[str, Any]


def error(status: int, code: int, text: str = "no") -> Callable[[Answer], Answer]:
    """Return a replacement of answers by an error."""
    return lambda answer: {"id": answer["id"], "status": status, "error": {"code": code, "msg": text}}


def altered(alter: Callable[[Any], object]) -> Callable[[Answer], Answer]:
    """Return a replacement that changes the result of an answer in place."""

    def altering(answer: Answer) -> Answer:
        alter(answer["result"])
        return answer

    return altering


def pass_time(exchange: SimulatedExchange, connection: Connection, monotonic: Monotonic, seconds: float) -> None:
    """Move the program's clock ahead, and correct its offset to the exchange's time."""
    monotonic.ahead += seconds
    connection.clock.synchronize(int(exchange.server_time() * 1000), monotonic(), monotonic())


def pair_of(exchange: SimulatedExchange, connection: Connection, **settings: Any) -> list[Polled]:
    """Return pollers of alice and bob that share what is known about the endpoint's methods."""
    availability = MethodAvailability(connection)
    return [Polled(exchange, connection, name, availability=availability, **settings) for name in ("alice", "bob")]


def count_requests(exchange: SimulatedExchange, method: str) -> int:
    """Count the requests for a method that the exchange has got."""
    return sum(received.method == method for received in exchange.received)
