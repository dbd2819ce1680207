"""Two accounts of a simulated exchange, polled over one connection, and what is known of them without the exporter.

Every answer is written down as it is sent. A poll is good if and only if both answers to it were sent whole; what a
scrape shows follows from the last good poll and the time alone. The clock stands still unless somebody moves it, so
that no figure depends on the speed of the machine.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import structlog

from exporter.account.availability import MethodAvailability
from exporter.account.pacing import EndpointPacing
from exporter.account.poller import Poller
from exporter.account.state import AccountSettings, AccountState
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.self_metrics import SelfMetrics
from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.answer_edits import binary, encode, error, truncated
from exporter.simulator.answer_edits import field as altered
from support.builders import samples
from support.clocks import Clock
from support.model_series import Identity, differences, expected_series, held_positions, value_series
from support.polling import FAST, connected, credentials_of
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import ExitStack

Answer = dict[str, Any]
Action = Literal["buy", "sell", "isolate", "close", "order", "cancel"]
Trade = tuple[Action, str]  # with the symbol
Kind = Literal["lost", "held", "binary", "cut", "error", "truncated", "decode", "hollow", "delayed", "revoked"]
Fault = tuple[Kind, str]  # with the method

STATUS: Final = "v2/account.status"
POSITION: Final = "v2/account.position"
FAULTS: Final[list[Fault]] = [(kind, method) for kind in get_args(Kind) for method in (STATUS, POSITION)]
ALICE, BOB = "alice", "bob"  # single-asset and one-way; multi-assets and hedge
PRICES: Final = {"BTCUSDT": 104_000.0, "XRPUSDT": 2.4, "BTCUSDC": 104_010.0}
_AMOUNTS: Final = {"BTCUSDT": "0.1", "XRPUSDT": "2000", "BTCUSDC": "0.02"}
# With these a poll succeeds: an empty list of position risk says nothing of the positions that the status holds.
HARMLESS: Final[set[Fault]] = {("delayed", STATUS), ("delayed", POSITION), ("hollow", POSITION)}
_EMPTY: Final[dict[str, Any]] = {STATUS: {"assets": [], "positions": []}, POSITION: []}
_UNANSWERED: Final = {"lost", "held", "binary"}
_EPOCH: Final = 1_790_000_000.0
_AMPLE_SECONDS: Final = 120.0  # for what is answered, however slow the machine
_HOPELESS_SECONDS: Final = 0.03  # for what is never answered


class Told(NamedTuple):
    """What both answers to a poll say."""

    sent_at: float  # the first of them
    series: dict[str, float]
    held: frozenset[Identity]
    lacking: frozenset[Identity]  # held, without risk figures
    lost: frozenset[Identity]  # held by the second answer alone


@dataclass(slots=True)
class Known:
    """What is known of one account."""

    currency: str
    stale_after: float
    up: bool = False  # whether the last due poll was good
    shown: dict[str, float] = field(default_factory=dict)  # the series of the last good poll
    shown_from: float = -math.inf  # when the first answer to it was sent
    polls: int = 0
    failures: int = 0
    steady: bool = True  # whether no failure of the past may keep a poll from being sent
    # Of the poll under way: the first answer, and what both tell, with the time of the first.
    status: tuple[float, Answer] | None = None
    told: Told | None = None
    # Of the last answers: the positions without risk figures, and those that the status alone does not hold.
    lacking: frozenset[Identity] = frozenset()
    lost: frozenset[Identity] = frozenset()
    held: frozenset[Identity] = frozenset()  # by what is shown

    @property
    def stale_at(self) -> float:
        """From when on nothing may be shown."""
        return self.shown_from + self.stale_after

    def take_poll(self) -> None:
        """Take over how a poll has ended."""
        self.polls += 1
        lost_before = self.lost
        if self.told:
            self.lost = self.told.lost
        if self.told is None or self._contradicted(self.told, lost_before):
            self.up = self.steady = False
            self.failures += 1
            return
        self.up = self.steady = True
        if self.lost & self.held:
            return  # what was shown before stays for one poll
        self.shown_from, self.shown, self.held = self.told.sent_at, self.told.series, self.told.held
        risk_missing = next(series for series in self.shown if "position_risk_missing" in series)
        self.shown[risk_missing] = len(self.told.lacking & self.lacking)
        self.lacking = self.told.lacking

    def _contradicted(self, told: Told, lost_before: frozenset[Identity]) -> bool:
        if told.held:
            return bool(told.lost & lost_before)
        return bool(told.lost and (lost_before or not self.shown))

    def scraped(self, now: float) -> dict[str, float]:
        """Return what a scrape must show: the figures while they are fresh, and whether the account is up."""
        fresh = now < self.stale_at
        return (self.shown if fresh else {}) | {"up": float(self.up and fresh)}


class World:
    """The exchange, the exporter and the clock; `run` lets them live."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.known = {ALICE: Known("USDT", 60.0), BOB: Known("USD", 100.0)}
        self.faults: dict[str, Fault] = {}  # by account
        self.lag = 0.0  # how long the next answer to the second query takes
        self.between: Trade | None = None  # what is traded between the next two answers
        self._undoing: dict[str, ExitStack] = {}
        self._held: list[str | bytes] = []  # answers that were kept back in the poll under way
        self._late: list[str | bytes] = []  # those of earlier ones, sent before the next answer: nobody awaits them
        self._midway: list[tuple[float, bytes]] = []  # scrapes while polls were under way, and when
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stack = AsyncExitStack()
        self.run(self._start())

    async def _start(self) -> None:
        self.events = self._stack.enter_context(structlog.testing.capture_logs())
        traders = [
            SimulatedAccount(ALICE, "HMAC", seed=1),
            SimulatedAccount(BOB, "Ed25519", seed=2, multi_assets=True, hedge=True),
        ]
        exchange = SimulatedExchange(traders, clock=lambda: _EPOCH + self.clock.now, weight_limit=1_000_000)
        self.exchange = await self._stack.enter_async_context(exchange)
        # Time goes by in leaps here: they must not look like a connection fallen silent.
        timing = dataclasses.replace(FAST, silence=math.inf, clock_timeout=_AMPLE_SECONDS)
        running = connected(exchange.url, timing=timing, monotonic=self.clock)
        self.connection = await self._stack.enter_async_context(running)
        states: list[AccountState] = []
        health = SelfMetrics(Program([self.connection]), lambda: states, self.clock, process_metrics=False)
        self.exposition = Exposition(health.render, self.clock)
        optional, pacing = MethodAvailability(self.connection), EndpointPacing(self.clock)
        self.pollers: dict[str, Poller] = {}
        for trader in traders:
            name = trader.name
            trader.deposit("USDT", "10000")
            trader.deposit("USDC", "5000")
            for trade in (("isolate", "XRPUSDT"), ("buy", "BTCUSDT"), ("sell", "BTCUSDC")):
                self.trade(name, trade)
            account = AccountSettings(
                name=name,
                endpoint=self.connection.endpoint,
                credentials=credentials_of(trader),
                stale_after_seconds=self.known[name].stale_after,
                request_timeout_seconds=_AMPLE_SECONDS,
            )
            states.append(AccountState(account))
            publish, poll_over = self.exposition.publish, lambda _: self.exposition.invalidate()
            self.pollers[name] = Poller(states[-1], self.connection, optional, pacing, publish, poll_over)
            for method in (STATUS, POSITION):
                exchange.replace_answer(method, name, partial(self._answered, name, method))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the event loop run until `work` is over."""
        self._runner.run(work)

    def close(self) -> None:
        """Stop everything."""
        self.run(self._stack.aclose())
        self._runner.close()

    def trade(self, name: str, trade: Trade) -> None:
        """Change an account's books, where what is asked for is possible."""
        action, symbol = trade
        account = self.exchange.account(name)
        held = {side: one.amount for (held, side), one in account.ledger.positions.items() if held == symbol}
        amount = f"-{_AMOUNTS[symbol]}" if action == "sell" else _AMOUNTS[symbol]
        side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
        if account.hedge:
            side = "SHORT" if action == "sell" else "LONG"
        match action:
            case "buy" | "sell":
                if held.get(side, 0) * (-1 if action == "sell" else 1) < 0:
                    account.close(symbol, side)  # and turn round
                account.open(symbol, amount, side, leverage=20)
            case "isolate" if not account.multi_assets and not held:
                account.open(symbol, amount, isolated_wallet="800")
            case "close" if held:
                account.close(symbol, next(iter(held)))
            case "order":
                account.place_order(symbol, amount, f"{PRICES[symbol] * 0.8:.4f}", side)
            case "cancel":
                account.cancel_orders(symbol)

    def spoil(self, name: str, fault: Fault) -> bool:
        """Spoil the answers to an account, unless they are already; return whether that was done."""
        kind, method = fault
        if name in self.faults or (kind == "cut" and self.connection.budget.paused):
            return False
        exchange, replace = self.exchange, partial(self.exchange.replace_answer, method, name)
        self.faults[name] = fault
        self._undoing[name] = {
            "lost": lambda: exchange.lose_answers(method, name),
            "held": lambda: replace(self._hold),
            "binary": lambda: replace(binary),
            "cut": lambda: exchange.cut_answers(method, name),
            "error": lambda: replace(error(500, code=-1000, msg="An unknown error occurred.")),
            "truncated": lambda: replace(truncated),
            "decode": lambda: replace(altered("result", None)),
            "hollow": lambda: replace(altered("result", _EMPTY[method])),
            "delayed": lambda: exchange.delay_answers(0.005, method, name),
            "revoked": lambda: exchange.revoke(name),
        }[kind]()
        return True

    def mend(self, name: str) -> None:
        """Spoil an account's answers no longer."""
        if self.faults.pop(name, None):
            self._undoing.pop(name).close()

    @property
    def cut(self) -> bool:
        """Whether somebody's answers break the connection off."""
        return any(kind == "cut" for kind, _ in self.faults.values())

    def drop_connections(self) -> None:
        """Break the connection off, and wait until that is known."""
        lost = self.connection.disconnections.total()
        self.exchange.drop_connections()
        self.run(until(lambda: self.connection.disconnections.total() > lost))

    def reconnect(self) -> None:
        """Wait for the connection."""
        self.run(until(lambda: self.connection.connected))

    def poll(self, *names: str, good: bool) -> None:
        """Poll accounts side by side; compare what was scraped meanwhile with what was known before and after.

        Args:
            names: the accounts.
            good: whether nothing but their own faults and their past can make the polls fail.
        """
        before = {name: copy.copy(self.known[name]) for name in names}
        undisturbed = [
            name
            for name in names
            if good and self.known[name].steady and self.faults.get(name, ("delayed", STATUS)) in HARMLESS
        ]
        for name in names:
            self.known[name].status = self.known[name].told = None
        self.run(self._poll(names))
        self._late, self._held = self._late + self._held, []
        for name in names:
            known = self.known[name]
            known.take_poll()

        for name in undisturbed:
            known = self.known[name]
            assert known.up or known.lost, (name, self.pollers[name].state.last_failure)
        while self._midway:
            now, body = self._midway.pop(0)
            for name, known in self.known.items():
                found = _scraped(body, name)
                as_before = differences(before.get(name, known).scraped(now), found)
                as_after = differences(known.scraped(now), found)
                assert [] in (as_before, as_after), (as_before[:5], as_after[:5])

    def differences(self, name: str) -> list[str]:
        """Scrape, and return in words what an account does not show as it must."""
        return differences(self.known[name].scraped(self.clock.now), _scraped(bytes(self.exposition.body()), name))

    async def _poll(self, names: tuple[str, ...]) -> None:
        hopeless = {name for name, (kind, _) in self.faults.items() if kind in _UNANSWERED}
        deadlines = {name: _HOPELESS_SECONDS if name in hopeless else _AMPLE_SECONDS for name in names}
        await asyncio.gather(*(self.pollers[name].poll(self.clock.now + deadlines[name]) for name in names))

    def _answered(self, name: str, method: str, answer: Answer) -> list[Answer | str | bytes]:
        """Write an answer down that is about to be sent, unless a fault will spoil it."""
        self._midway.append((self.clock.now, bytes(self.exposition.body())))
        known = self.known[name]
        kind, spoilt = self.faults.get(name, ("", ""))
        if method == POSITION:
            self.clock.now, self.lag = self.clock.now + self.lag, 0.0
        if "result" in answer and ((kind, method) in HARMLESS or method != spoilt):
            if method == STATUS:
                known.status = (self.clock.now, answer["result"])
            elif known.status:
                sent_at, status = known.status
                risks = _EMPTY[POSITION] if (kind, spoilt) == ("hollow", POSITION) else answer["result"]
                held = held_positions(status["positions"])
                amounts = held_positions(risks)
                same = {one for one, amount in amounts.items() if amount * held.get(one, 0.0) > 0}
                series = expected_series(name, known.currency, status, risks)
                lacking, lost = frozenset(held.keys() - same), frozenset(amounts.keys() - held.keys())
                known.told = Told(sent_at, series, frozenset(held), lacking, lost)
        if method == STATUS and self.between:
            between, self.between = self.between, None
            self.trade(name, between)
        late, self._late = self._late, []
        return [*late, answer]

    def _hold(self, answer: Answer) -> list[Answer | str | bytes]:
        self._held.append(encode(answer))
        return []


def _scraped(body: bytes, name: str) -> dict[str, float]:
    found = samples(body)
    return value_series(found, name) | {"up": found.get(f'binance_futures_up{{account="{name}"}}', 0.0)}
