"""The system of the model test: two accounts of a simulated exchange, polled over one connection, and their models.

The models see every answer as it is sent. A poll succeeds if and only if both answers to it were sent whole; what a
scrape shows depends on the last successful poll and the time alone. The clock only moves when a test moves it, so that
no figure depends on the speed of the machine.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import math
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import structlog

from exporter.account.availability import MethodAvailability
from exporter.account.pacing import EndpointPacing
from exporter.account.poller import Poller
from exporter.account.state import AccountSettings, AccountState
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_catalog import Program
from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.answer_edits import binary, encode, error, field, truncated
from support.builders import samples
from support.clocks import Clock
from support.methods import POSITION, STATUS
from support.model_account import AccountModel, PollAnswers
from support.model_series import differences, expected_series, held_positions, value_series
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

FAULTS: Final[list[Fault]] = [(kind, method) for kind in get_args(Kind) for method in (STATUS, POSITION)]
ALICE, BOB = "alice", "bob"  # single-asset and one-way; multi-assets and hedge
PRICES: Final = {"BTCUSDT": 104_000.0, "XRPUSDT": 2.4, "BTCUSDC": 104_010.0}
_AMOUNTS: Final = {"BTCUSDT": "0.1", "XRPUSDT": "2000", "BTCUSDC": "0.02"}
# With these a poll succeeds; an empty list of position risk does not contradict the positions of the status.
HARMLESS: Final[set[Fault]] = {("delayed", STATUS), ("delayed", POSITION), ("hollow", POSITION)}
_EMPTY: Final[dict[str, Any]] = {STATUS: {"assets": [], "positions": []}, POSITION: []}
_UNANSWERED: Final = {"lost", "held", "binary"}
_MAX_UNANSWERED: Final = 2  # after one more in a row polls would do without the method, for all accounts
_EPOCH: Final = 1_790_000_000.0
_AMPLE_SECONDS: Final = 120.0  # for what is answered, on any machine
_UNANSWERED_SECONDS: Final = 0.03  # for what is never answered


class ModelSystem:
    """The exchange, the exporter, the clock and the models; `run` runs their event loop."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.models = {ALICE: AccountModel("USDT", 60.0), BOB: AccountModel("USD", 100.0)}
        self.faults: dict[str, Fault] = {}  # by account
        self.lag = 0.0  # how long the next answer to the second request takes
        self.trade_between: Trade | None = None  # between the next two answers
        self._undo: dict[str, ExitStack] = {}
        self._held: list[str | bytes] = []  # answers held back in the running poll
        self._late: list[str | bytes] = []  # those of earlier polls, sent before the next answer to no request
        self._midway: list[tuple[float, bytes]] = []  # scrapes during polls, and when
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stack = AsyncExitStack()
        self.run(self._start())

    async def _start(self) -> None:
        self.events = self._stack.enter_context(structlog.testing.capture_logs())
        traders = [
            SimulatedAccount(ALICE, "HMAC", seed=1),
            SimulatedAccount(BOB, "Ed25519", seed=2, multi_assets=True, hedge=True),
        ]

        def wall() -> float:
            return _EPOCH + self.clock.now

        exchange = SimulatedExchange(traders, clock=wall, weight_limit=1_000_000)
        self.exchange = await self._stack.enter_async_context(exchange)
        # Time moves in leaps here, which must not look like a silent connection.
        timing = dataclasses.replace(FAST, silence_timeout=math.inf, clock_timeout=_AMPLE_SECONDS)
        connecting = connected(exchange.url, timing=timing, wall=wall, monotonic=self.clock)
        self.connection = await self._stack.enter_async_context(connecting)
        states: list[AccountState] = []
        self.exposition = Exposition(Program(lambda: [self.connection.state]), lambda: states, self.clock)
        availability, pacing = MethodAvailability(self.connection), EndpointPacing(self.clock)
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
                configuration=False,
                interval_seconds=_UNANSWERED_SECONDS,  # requests with a key that was refused wait for two intervals
                stale_after_seconds=self.models[name].stale_after,
                request_timeout_seconds=_AMPLE_SECONDS,
            )
            states.append(AccountState(account))
            publish, poll_finished = self.exposition.publish, self.exposition.poll_finished
            self.pollers[name] = Poller(states[-1], self.connection, availability, pacing, publish, poll_finished)
            for method in (STATUS, POSITION):
                exchange.replace_answer(method, name, partial(self._answered, name, method))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the event loop until `work` is over."""
        self._runner.run(work)

    def close(self) -> None:
        """Stop everything."""
        self.run(self._stack.aclose())
        self._runner.close()

    def trade(self, name: str, trade: Trade) -> None:
        """Trade for an account, if the trade is possible."""
        action, symbol = trade
        account = self.exchange.account(name)
        held = {
            side: position.amount for (name_, side), position in account.ledger.positions.items() if name_ == symbol
        }
        amount = f"-{_AMOUNTS[symbol]}" if action == "sell" else _AMOUNTS[symbol]
        side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
        if account.hedge:
            side = "SHORT" if action == "sell" else "LONG"
        match action:
            case "buy" | "sell":
                if held.get(side, 0) * (-1 if action == "sell" else 1) < 0:
                    account.close(symbol, side)  # and reverse it
                account.open(symbol, amount, side, leverage=20)
            case "isolate" if not account.multi_assets and not held:
                account.open(symbol, amount, isolated_wallet="800")
            case "close" if held:
                account.close(symbol, next(iter(held)))
            case "order":
                account.place_order(symbol, amount, f"{PRICES[symbol] * 0.8:.4f}", side)
            case "cancel":
                account.cancel_orders(symbol)

    def switch_on(self, name: str, fault: Fault) -> bool:
        """Switch a fault on for an account unless it has one; return whether it was switched on."""
        kind, method = fault
        if name in self.faults or (kind == "cut" and self.connection.budget.paused):
            return False
        exchange, replace = self.exchange, partial(self.exchange.replace_answer, method, name)
        self.faults[name] = fault
        self._undo[name] = {
            "lost": lambda: exchange.lose_answers(method, name),
            "held": lambda: replace(self._hold),
            "binary": lambda: replace(binary),
            "cut": lambda: exchange.cut_answers(method, name),
            "error": lambda: replace(error(500, code=-1000, msg="An unknown error occurred.")),
            "truncated": lambda: replace(truncated),
            "decode": lambda: replace(field("result", None)),
            "hollow": lambda: replace(field("result", _EMPTY[method])),
            "delayed": lambda: exchange.delay_answers(0.005, method, name),
            "revoked": lambda: exchange.revoke(name),
        }[kind]()
        return True

    def switch_off(self, name: str) -> None:
        """Switch an account's fault off."""
        if self.faults.pop(name, None):
            self._undo.pop(name).close()

    @property
    def cut(self) -> bool:
        """Whether an account's answers are cut off."""
        return any(kind == "cut" for kind, _ in self.faults.values())

    def drop_connections(self) -> None:
        """Drop the connection, and wait until the exporter has noticed."""
        lost = self.connection.disconnections.total()
        self.exchange.drop_connections()
        self.run(until(lambda: self.connection.disconnections.total() > lost))

    def reconnect(self) -> None:
        """Wait for the connection."""
        self.run(until(lambda: self.connection.connected))

    def poll(self, *names: str, good: bool) -> None:
        """Poll accounts concurrently; compare what was scraped meanwhile with the models before and after.

        Args:
            names: the accounts.
            good: whether only their own faults and earlier failures can make the polls fail.
        """
        for name in names:
            if self.models[name].unanswered == _MAX_UNANSWERED:
                self.switch_off(name)
        before = {name: copy.copy(self.models[name]) for name in names}
        undisturbed = [
            name
            for name in names
            if good and self.models[name].steady and self.faults.get(name, ("delayed", STATUS)) in HARMLESS
        ]
        for name in names:
            self.models[name].status = self.models[name].answers = None
        self.run(self._poll(names))
        self._late, self._held = self._late + self._held, []
        for name in names:
            self.models[name].end_poll()

        for name in undisturbed:
            model = self.models[name]
            assert model.up or model.extra, (name, self.pollers[name].state.last_failure)
        while self._midway:
            now, body = self._midway.pop(0)
            for name, model in self.models.items():
                actual = _scraped(body, name)
                as_before = differences(before.get(name, model).expected(now), actual)
                as_after = differences(model.expected(now), actual)
                assert [] in (as_before, as_after), (as_before[:5], as_after[:5])

    def differences(self, name: str) -> list[str]:
        """Scrape, and describe the series of an account that are not as expected."""
        return differences(self.models[name].expected(self.clock.now), _scraped(bytes(self.exposition.body()), name))

    async def _poll(self, names: tuple[str, ...]) -> None:
        unanswered = {name for name, (kind, _) in self.faults.items() if kind in _UNANSWERED}
        deadlines = {name: _UNANSWERED_SECONDS if name in unanswered else _AMPLE_SECONDS for name in names}
        await asyncio.gather(*(self.pollers[name].poll(self.clock.now + deadlines[name]) for name in names))

    def _answered(self, name: str, method: str, answer: Answer) -> list[Answer | str | bytes]:
        """Note an answer that is about to be sent, unless a fault will break it."""
        self._midway.append((self.clock.now, bytes(self.exposition.body())))
        model = self.models[name]
        kind, broken_method = self.faults.get(name, ("", ""))
        if method == POSITION:
            self.clock.now, self.lag = self.clock.now + self.lag, 0.0
            is_unanswered = kind in _UNANSWERED and broken_method == POSITION
            model.unanswered = model.unanswered + 1 if is_unanswered else 0
        if "result" in answer and ((kind, method) in HARMLESS or method != broken_method):
            if method == STATUS:
                model.status = (self.clock.now, answer["result"])
            elif model.status:
                sent_at, status = model.status
                risks = _EMPTY[POSITION] if (kind, broken_method) == ("hollow", POSITION) else answer["result"]
                held = held_positions(status["positions"])
                amounts = held_positions(risks)
                same = {identity for identity, amount in amounts.items() if amount * held.get(identity, 0.0) > 0}
                series = expected_series(name, model.currency, status, risks)
                without_risk, extra = frozenset(held.keys() - same), frozenset(amounts.keys() - held.keys())
                model.answers = PollAnswers(sent_at, series, frozenset(held), without_risk, extra)
        if method == STATUS and self.trade_between:
            trade, self.trade_between = self.trade_between, None
            self.trade(name, trade)
        late, self._late = self._late, []
        return [*late, answer]

    def _hold(self, answer: Answer) -> list[Answer | str | bytes]:
        self._held.append(encode(answer))
        return []


def _scraped(body: bytes, name: str) -> dict[str, float]:
    scraped = samples(body)
    return value_series(scraped, name) | {"up": scraped.get(f'binance_futures_up{{account="{name}"}}', 0.0)}
