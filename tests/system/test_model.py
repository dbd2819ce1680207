"""The model test: in any sequence of events a scrape shows one whole, fresh state of an account, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.model_system import ALICE, BOB, FAULTS, HARMLESS, PRICES, ModelSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from support.model_system import Fault, Trade

LONGEST_DELAY_SECONDS = 4000.0  # after that no earlier failure delays a poll

accounts = st.sampled_from([ALICE, BOB])
symbols = st.sampled_from(sorted(PRICES))
trades = st.tuples(st.sampled_from(["buy", "sell", "isolate", "close", "close", "order", "cancel"]), symbols)
faults = st.sampled_from(FAULTS)


@pytest.fixture
def system() -> Iterator[ModelSystem]:
    """Two accounts that were not polled yet."""
    running = ModelSystem()
    yield running
    running.close()


@pytest.mark.parametrize("fault", FAULTS, ids=" of ".join)
def test_fault_of_one_account(system: ModelSystem, fault: Fault) -> None:
    """While one account has a fault, its last good state is shown until it is stale; the other is not affected."""
    wrong = system.differences(ALICE)
    system.poll(ALICE, BOB, good=True)
    system.trade(ALICE, ("close", "BTCUSDT"))
    system.trade(BOB, ("close", "BTCUSDT"))
    system.switch_on(ALICE, fault)
    system.poll(ALICE, good=True)
    system.reconnect()
    system.poll(BOB, good=True)
    up = [system.models[ALICE].up, system.models[BOB].up]
    for leap in (-0.001, 0.001):
        system.clock.now = system.models[ALICE].stale_at + leap
        wrong += system.differences(ALICE) + system.differences(BOB)
    system.switch_off(ALICE)
    system.clock.now += LONGEST_DELAY_SECONDS
    system.poll(ALICE, BOB, good=True)
    wrong += system.differences(ALICE) + system.differences(BOB)

    assert [fault in HARMLESS, True] == up
    assert [] == wrong
    assert system.models[ALICE].up
    assert not any("BTCUSDT" in series for series in system.models[ALICE].shown)


class AnySequence(RuleBasedStateMachine):
    """Any sequence of trades, prices, polls, faults and passing time."""

    def __init__(self) -> None:
        super().__init__()
        self.system = ModelSystem()
        self.exchange_faults: dict[str, ExitStack] = {}

    def teardown(self) -> None:
        """Stop everything."""
        self.system.close()

    @invariant()
    def scrape(self) -> None:
        """A scrape shows what the models expect, and nothing else; every due poll is counted."""
        for name, model in self.system.models.items():
            state = self.system.pollers[name].state
            assert [] == self.system.differences(name)
            assert (model.polls, model.failures) == (state.polls, sum(state.failures.values()))
        # Errors are logged for bugs of the program, and for rejections of the whole IP.
        errors = {event["event"] for event in self.system.events if event["log_level"] == "error"}
        assert errors <= {"requests paused"}

    # The exchange and time.

    @rule(account=accounts, trade=trades)
    def trade(self, account: str, trade: Trade) -> None:
        """Trade for an account."""
        self.system.trade(account, trade)

    @rule(symbol=symbols, factor=st.sampled_from([0.9, 0.97, 1.0, 1.03, 1.1]))
    def price(self, symbol: str, factor: float) -> None:
        """Move the market."""
        self.system.exchange.market.pin(symbol, f"{PRICES[symbol] * factor:.4f}")

    @rule(seconds=st.sampled_from([0.25, 1.0, 15.0, 45.0, 61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.system.clock.now += seconds

    @rule(account=accounts, beyond=st.booleans())
    def wait_for_the_edge(self, account: str, beyond: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """Let time pass until just before an account is stale, or from there to just after."""
        clock, stale_at = self.system.clock, self.system.models[account].stale_at
        clock.now = max(clock.now, stale_at - 0.001)
        if beyond:
            self.scrape()
            clock.now = max(clock.now, stale_at + 0.001)

    # Faults.

    @rule(account=accounts, fault=faults)
    def account_fault(self, account: str, fault: Fault) -> None:
        """Switch a fault of one account and method on."""
        if "ban" not in self.exchange_faults:
            self.system.switch_on(account, fault)

    @rule(seconds=st.sampled_from([-30.0, 30.0]))
    def skew(self, seconds: float) -> None:
        """Step the exchange's clock."""
        if "skew" not in self.exchange_faults:
            self.exchange_faults["skew"] = self.system.exchange.skew_clock(seconds)

    @rule(kind=st.sampled_from(["ban", "reject", "drop"]), seconds=st.sampled_from([30.0, 200.0]))
    def exchange_fault(self, kind: str, seconds: float) -> None:
        """Ban the IP, reject connections, or just drop the connection."""
        system, exchange = self.system, self.system.exchange
        if {"ban", "reject"} & set(self.exchange_faults) or system.connection.budget.paused:
            return  # a reconnect would wait by the real clock for the end of a ban
        if kind == "ban":
            if not system.cut:
                self.exchange_faults[kind] = exchange.ban(seconds)
            return
        if kind == "reject":
            self.exchange_faults[kind] = exchange.reject_handshake(503)
        system.drop_connections()
        self._settle()

    @rule()
    def end_faults(self) -> None:
        """Switch all faults off; the exporter's delays after failures continue."""
        for name in (ALICE, BOB):
            self.system.switch_off(name)
        for undo in self.exchange_faults.values():
            undo.close()
        self.exchange_faults = {}
        self._settle()

    # The exporter.

    @rule(account=accounts, lag=st.sampled_from([0.0, 0.0, 10.0, 70.0]), between=st.none() | trades)
    def poll(self, account: str, lag: float, between: Trade | None) -> None:
        """Poll one account; the second answer may be late, and the account may trade before it."""
        self.system.lag, self.system.trade_between = lag, between
        self._poll(account)
        self.system.lag, self.system.trade_between = 0.0, None

    @rule(account=accounts, fault=faults)
    def poll_during_a_fault(self, account: str, fault: Fault) -> None:
        """Poll both accounts while one of them has a fault, which then ends."""
        if "ban" not in self.exchange_faults and self.system.switch_on(account, fault):
            self._poll_both()
            self.system.switch_off(account)

    @rule()
    def poll_both(self) -> None:
        """Poll both accounts."""
        self._poll_both()

    @rule()
    def recover(self) -> None:
        """A while after all faults have ended, polls succeed whatever happened before."""
        self.end_faults()
        self.system.clock.now += LONGEST_DELAY_SECONDS
        for model in self.system.models.values():
            model.steady = True
        self._poll_both()

    def _poll_both(self) -> None:
        if self.system.cut:
            self._poll(ALICE)
            self._poll(BOB)  # not concurrently: one would cut the other's connection
        else:
            self._poll(ALICE, BOB)

    def _poll(self, *names: str) -> None:
        wrong = {"ban", "reject"} & set(self.exchange_faults) or self.system.connection.budget.paused
        self.system.poll(*names, good=not wrong)
        for name in names:
            state = self.system.pollers[name].state
            note(f"{name}: {'good' if state.last_poll_succeeded else state.last_failure}")
        self._settle()

    def _settle(self) -> None:
        if "reject" not in self.exchange_faults:
            self.system.reconnect()


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    # Shrinking a sequence takes minutes, longer than the timeout of a test.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
