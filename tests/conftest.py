"""What several tests need: an exchange, connections to it, and waiting for something to come true."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from virtual_time import VirtualTimeLoop, now

from exporter.account.optional import OptionalMethods
from exporter.account.poller import Poller
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.clock import ExchangeClock, monotonic
from exporter.binance.connection import Connection
from exporter.binance.dialing import Endpoint, Timing
from exporter.binance.signing import Credentials, Secret
from exporter.binance.weight import WeightBudget
from exporter.simulator import SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from exporter.account.snapshot import AccountSnapshot

# Every delay of a connection, shortened; deadlines of what must not happen stay long.
FAST = Timing(
    reconnect_grace=0.05,
    clock_timeout=5.0,
    backoff_first=0.01,
    backoff_cap=0.02,
    forbidden=0.05,
)
PATIENCE_SECONDS = 120.0  # for slow machines
# What an example takes says more of the machine than of the program.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
SOAK = pytest.StashKey["subprocess.Popen[str]"]()


class Monotonic:
    """The real monotonic clock, which a test can move ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return monotonic() + self.ahead


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a condition has no event
            await asyncio.sleep(0.005)


def credentials_of(account: SimulatedAccount) -> Credentials:
    """Make the credentials that the simulated exchange knows an account by."""
    api_key = Secret(account.api_key)
    if account.secret_key is not None:
        return Credentials.hmac(api_key, Secret(account.secret_key))
    assert account.private_key_pem is not None
    return Credentials.private_key(api_key, Secret(account.private_key_pem))


def traders() -> list[SimulatedAccount]:
    """Make two accounts with money and a position each."""
    accounts = [SimulatedAccount("alice", "HMAC", seed=1), SimulatedAccount("bob", "Ed25519", seed=2)]
    for account in accounts:
        account.deposit("USDT", "10000")
    return accounts


def pytest_asyncio_loop_factories(item: pytest.Function) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give a test that asks for virtual time the loop that has it."""
    return {"loop": VirtualTimeLoop if "virtual_time" in item.fixturenames else asyncio.new_event_loop}


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test, its exchange and the exporter in virtual time, with the same jitter each time."""
    random.seed(1)
    clock = SimpleNamespace(clock_gettime=lambda _: asyncio.get_running_loop().time())
    monkeypatch.setattr("exporter.binance.clock.time", clock)


@pytest.fixture
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[SimulatedExchange]:
    """A simulated exchange with two accounts, alice (HMAC) and bob (Ed25519), long one BTCUSDT each."""
    clock = now if "virtual_time" in request.fixturenames else time.time
    async with SimulatedExchange(traders(), clock=clock) as running:
        for name in ("alice", "bob"):
            running.account(name).open("BTCUSDT", "0.1", leverage=20)
        yield running


@contextlib.asynccontextmanager
async def connected(
    url: str,
    *,
    share: float = 0.9,
    timing: Timing = FAST,
    monotonic: Callable[[], float] = monotonic,
    wait: bool = True,
) -> AsyncIterator[Connection]:
    """Run a connection, by default from when it can be used."""
    clock = ExchangeClock(monotonic=monotonic)
    connection = Connection(Endpoint("exchange", url), WeightBudget(share, clock), clock, timing)
    running = asyncio.create_task(connection.run())
    try:
        if wait:
            await until(lambda: connection.connected)
        yield connection
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Polled:
    """A poller of one account, and the snapshots that it has published.

    Accounts of one endpoint share what is known of its `optional` methods; without it this one is alone there.
    """

    def __init__(
        self,
        exchange: SimulatedExchange,
        connection: Connection,
        name: str = "alice",
        *,
        optional: OptionalMethods | None = None,
        **settings: Any,
    ) -> None:
        self.snapshots: list[AccountSnapshot] = []
        settings = {"credentials": credentials_of(exchange.accounts[name])} | settings
        self.state = AccountState(AccountSettings(name=name, endpoint=connection.endpoint, **settings))
        self.polls_over = 0
        optional = optional or OptionalMethods(connection)
        self.poller = Poller(self.state, connection, optional, self._publish, self._poll_over)
        self._monotonic = connection.clock.monotonic

    async def poll(self, within: float = 15.0) -> AccountState:
        """Do one due poll."""
        await self.poller.poll(self._monotonic() + within)
        return self.state

    def _publish(self, state: AccountState, snapshot: AccountSnapshot) -> None:
        assert state is self.state
        self.snapshots.append(snapshot)

    def _poll_over(self, state: AccountState) -> None:
        assert state is self.state
        self.polls_over += 1


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Every event that is logged meanwhile, as data."""
    with structlog.testing.capture_logs() as events:
        yield events


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the soak beside the other tests, where it is among them: it takes two minutes, of waiting mostly."""
    if session.config.option.collectonly or not any("two_minutes_of_faults" in item.name for item in session.items):
        return
    # What measures coverage would grow in the exporter's own process.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    session.config.stash[SOAK] = subprocess.Popen(
        [sys.executable, "-m", "bench.soak", "2", "--seed", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=environment,
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the soak where its test did not come to wait for it."""
    soak = session.config.stash.get(SOAK, None)
    if soak is not None and soak.poll() is None:
        soak.terminate()
        soak.communicate()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault table, where it was made."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    rows = [
        (*row, "survived" if report.passed else "FAILED")
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, row in report.user_properties
        if name == "fault" and isinstance(row, tuple)
    ]
    if not rows:
        return
    terminalreporter.section("fault table")
    terminalreporter.line(
        "failed: polls that failed; scrape: the slowest, in ms; back: seconds until both accounts were"
    )
    for row in [("fault", "hits", "counted", "failed", "scrape", "back", "verdict"), *rows]:
        terminalreporter.line("{:<43} {:<5} {:<44.44} {:>6} {:>6} {:>5} {}".format(*row))
