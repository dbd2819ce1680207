"""Whatever happens at the exchange, on the way and in time: a scrape shows one fresh state, whole, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.model_system import ALICE, BOB, FAULTS, HARMLESS, PRICES, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from support.model_system import Fault, Trade

LONGEST_HOLD_SECONDS = 4000.0  # after that no failure of the past keeps a poll from being sent

accounts = st.sampled_from([ALICE, BOB])
symbols = st.sampled_from(sorted(PRICES))
trades = st.tuples(st.sampled_from(["buy", "sell", "isolate", "close", "close", "order", "cancel"]), symbols)
faults = st.sampled_from(FAULTS)


@pytest.fixture
def world() -> Iterator[World]:
    """Two accounts that were not polled yet."""
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("fault", FAULTS, ids=" of ".join)
def test_fault_of_one_account(world: World, fault: Fault) -> None:
    """While one account's answers are spoilt, it shows its last good state until that is stale; the other goes on."""
    found = world.differences(ALICE)
    world.poll(ALICE, BOB, good=True)
    world.trade(ALICE, ("close", "BTCUSDT"))
    world.trade(BOB, ("close", "BTCUSDT"))
    world.spoil(ALICE, fault)
    world.poll(ALICE, good=True)
    world.reconnect()
    world.poll(BOB, good=True)
    up = [world.known[ALICE].up, world.known[BOB].up]
    for leap in (-0.001, 0.001):
        world.clock.now = world.known[ALICE].stale_at + leap
        found += world.differences(ALICE) + world.differences(BOB)
    world.mend(ALICE)
    world.clock.now += LONGEST_HOLD_SECONDS
    world.poll(ALICE, BOB, good=True)
    found += world.differences(ALICE) + world.differences(BOB)

    assert [fault in HARMLESS, True] == up
    assert [] == found
    assert world.known[ALICE].up
    assert not any("BTCUSDT" in series for series in world.known[ALICE].shown)


class AnySequence(RuleBasedStateMachine):
    """Any sequence of trades, prices, polls, faults and time going by."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.troubles: dict[str, ExitStack] = {}  # of the exchange as a whole

    def teardown(self) -> None:
        """Stop everything."""
        self.world.close()

    @invariant()
    def scrape(self) -> None:
        """A scrape shows what it must, and nothing else; every due poll is counted."""
        for name, known in self.world.known.items():
            state = self.world.pollers[name].state
            assert [] == self.world.differences(name)
            assert (known.polls, known.failures) == (state.polls, sum(state.failures.values()))
        # At error level the log tells of faults of the program, and of refusals of the whole IP.
        errors = {event["event"] for event in self.world.events if event["log_level"] == "error"}
        assert errors <= {"requests paused"}

    # What the exchange and time do.

    @rule(account=accounts, trade=trades)
    def trade(self, account: str, trade: Trade) -> None:
        """Change an account's books."""
        self.world.trade(account, trade)

    @rule(symbol=symbols, factor=st.sampled_from([0.9, 0.97, 1.0, 1.03, 1.1]))
    def price(self, symbol: str, factor: float) -> None:
        """Move the market."""
        self.world.exchange.market.pin(symbol, f"{PRICES[symbol] * factor:.4f}")

    @rule(seconds=st.sampled_from([0.25, 1.0, 15.0, 45.0, 61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.world.clock.now += seconds

    @rule(account=accounts, beyond=st.booleans())
    def wait_for_the_edge(self, account: str, beyond: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """Let time go by until just before an account's figures are stale, or from there to just after."""
        clock, stale_at = self.world.clock, self.world.known[account].stale_at
        clock.now = max(clock.now, stale_at - 0.001)
        if beyond:
            self.scrape()
            clock.now = max(clock.now, stale_at + 0.001)

    # What goes wrong.

    @rule(account=accounts, fault=faults)
    def spoil(self, account: str, fault: Fault) -> None:
        """Spoil the answers to one account by one method, or take its key away."""
        if "ban" not in self.troubles:
            self.world.spoil(account, fault)

    @rule(seconds=st.sampled_from([-30.0, 30.0]))
    def skew(self, seconds: float) -> None:
        """Step the exchange's clock."""
        if "skew" not in self.troubles:
            self.troubles["skew"] = self.world.exchange.skew_clock(seconds)

    @rule(kind=st.sampled_from(["ban", "refuse", "drop"]), seconds=st.sampled_from([30.0, 200.0]))
    def trouble(self, kind: str, seconds: float) -> None:
        """Ban the IP, let nobody in, or just break the connection off."""
        world, exchange = self.world, self.world.exchange
        if {"ban", "refuse"} & set(self.troubles) or world.connection.budget.paused:
            return  # a dial would wait by the real clock for the end of a ban
        if kind == "ban":
            if not world.cut:
                self.troubles[kind] = exchange.ban(seconds)
            return
        if kind == "refuse":
            self.troubles[kind] = exchange.reject_handshake(503)
        world.drop_connections()
        self._settle()

    @rule()
    def mend(self) -> None:
        """End all that goes wrong; what the exporter makes of the past goes on."""
        for name in (ALICE, BOB):
            self.world.mend(name)
        for undo in self.troubles.values():
            undo.close()
        self.troubles = {}
        self._settle()

    # What the exporter does.

    @rule(account=accounts, lag=st.sampled_from([0.0, 0.0, 10.0, 70.0]), between=st.none() | trades)
    def poll(self, account: str, lag: float, between: Trade | None) -> None:
        """Poll one account; the second answer may take its time, and the account may trade before it."""
        self.world.lag, self.world.between = lag, between
        self._poll(account)
        self.world.lag, self.world.between = 0.0, None

    @rule(account=accounts, fault=faults)
    def poll_in_passing_trouble(self, account: str, fault: Fault) -> None:
        """Poll both accounts while one of them has a trouble that then passes."""
        if "ban" not in self.troubles and self.world.spoil(account, fault):
            self._poll_both()
            self.world.mend(account)

    @rule()
    def poll_both(self) -> None:
        """Poll both accounts."""
        self._poll_both()

    @rule()
    def recover(self) -> None:
        """Once nothing is wrong any more, and after a while, polls are good whatever there was."""
        self.mend()
        self.world.clock.now += LONGEST_HOLD_SECONDS
        for known in self.world.known.values():
            known.steady = True
        self._poll_both()

    def _poll_both(self) -> None:
        if self.world.cut:
            self._poll(ALICE)
            self._poll(BOB)  # not at once: the one would take the connection from the other
        else:
            self._poll(ALICE, BOB)

    def _poll(self, *names: str) -> None:
        wrong = {"ban", "refuse"} & set(self.troubles) or self.world.connection.budget.paused
        self.world.poll(*names, good=not wrong)
        for name in names:
            state = self.world.pollers[name].state
            note(f"{name}: {'good' if state.last_poll_succeeded else state.last_failure}")
        self._settle()

    def _settle(self) -> None:
        if "refuse" not in self.troubles:
            self.world.reconnect()


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    # To shrink a sequence takes minutes, longer than a test may hang.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
