"""The demo's four accounts and its ten-minute scenario: calm, a draw-down that fires alerts, recovery; repeated."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Final

from exporter.simulator.ledger import ZERO, SimulatedAccount
from exporter.simulator.market import ROUND_SECONDS, Symbol
from exporter.simulator.valuation import Pool, Statement, statement_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CALM_UNTIL: Final = 150.0
BOTTOM_FROM: Final = 240.0
BOTTOM_UNTIL: Final = 340.0
RECOVERED_AT: Final = 450.0

_DEPTHS: Final = {"BTC": 0.07, "ETH": 0.09, "SOL": 0.10, "币安人生": 0.12}
_OTHER_DEPTH: Final = 0.08
_SWING_AT_BOTTOM: Final = 0.15
# When to look for the highest ratio: all pools lose by the fall, and the swings matter less than its last seconds.
_WORST_SECONDS: Final = range(int(BOTTOM_FROM) - 12, int(BOTTOM_UNTIL) + 13, 4)


@dataclass(frozen=True, slots=True)
class Event:
    """An action of an account, `at` seconds into every round."""

    at: float
    account: str
    act: Callable[[SimulatedAccount], None]


def demo_accounts(seed: int | None = None) -> list[SimulatedAccount]:
    """Return four accounts that cover every mode; without a seed their API keys and secrets are random."""
    main = SimulatedAccount("main", "HMAC", seed=seed)
    multi = SimulatedAccount("multi", "Ed25519", multi_assets=True, seed=seed)
    hedge = SimulatedAccount("hedge", "RSA", hedge=True, seed=seed)
    isolated = SimulatedAccount("isolated", "HMAC", seed=seed)
    main.fee_tier, multi.fee_tier = 1, 2
    isolated.can_withdraw = False
    main.fees_in_bnb = True
    hedge.key_permissions["enableWithdrawals"] = True
    isolated.key_ip_restricted = False
    return [main, multi, hedge, isolated]


class Scenario:
    """The events of the market and of `demo_accounts`, the same in every round."""

    events = (
        Event(30, "main", lambda account: account.open("ETHUSDT", "-2", leverage=20)),
        Event(60, "isolated", lambda account: account.open("XRPUSDT", "4000", leverage=10, isolated_wallet="1000")),
        Event(100, "main", lambda account: account.close("ETHUSDT")),
        Event(135, "isolated", lambda account: account.close("XRPUSDT")),
        Event(200, "hedge", lambda account: account.close("BTCUSDT", "LONG", amount="0.3")),
        Event(260, "multi", lambda account: account.open("ETHUSDT", "-3", leverage=20)),
        Event(380, "multi", lambda account: account.close("ETHUSDT")),
        Event(400, "hedge", lambda account: account.open("BTCUSDT", "0.3", "LONG")),
        Event(470, "main", lambda account: account.place_order("SOLUSDT", "20", "178")),
        Event(490, "isolated", lambda account: account.open("DOGEUSDT", "-30000", leverage=10, isolated_wallet="900")),
        Event(560, "main", lambda account: account.cancel_orders("SOLUSDT")),
        Event(575, "isolated", lambda account: account.close("DOGEUSDT")),
    )

    @staticmethod
    def drift(symbol: Symbol, at: float) -> tuple[float, float]:
        """Return the factor of a price at a scenario time, and that of its swings."""
        fall = _fall(at % ROUND_SECONDS)
        depth = _DEPTHS.get(symbol.base_asset, _OTHER_DEPTH)
        # Near liquidation a swing of 0.1 % decides: the bottom has to be quiet.
        return 1 - depth * fall, 1 - (1 - _SWING_AT_BOTTOM) * fall

    @staticmethod
    def begin(accounts: Mapping[str, SimulatedAccount]) -> None:
        """Fund the accounts and open their positions, on empty ledgers."""
        _begin_main(accounts["main"])
        _begin_multi(accounts["multi"])
        _begin_hedge(accounts["hedge"])
        _begin_isolated(accounts["isolated"])


def _begin_main(account: SimulatedAccount) -> None:
    account.deposit("BNB", "1.25")
    account.open("BTCUSDT", "0.8", leverage=20)
    account.open("SOLUSDT", "-25", leverage=10)
    account.open("1000PEPEUSDT", "250000", leverage=10)
    account.open("ETHUSDC", "5", leverage=10)
    account.place_order("BTCUSDT", "0.1", "97500")
    account.place_order("XRPUSDT", "-500", "2.8", leverage=10)
    account.deposit("USDT", _funds(account, lambda statement: statement.pools["USDT"], "0.62"))
    account.deposit("USDC", _funds(account, lambda statement: statement.pools["USDC"], "0.4"))


def _begin_multi(account: SimulatedAccount) -> None:
    account.deposit("BTC", "0.2")
    account.deposit("BFUSD", "2500")
    account.open("BTCUSDT", "3", leverage=25)
    account.open("DOGEUSDT", "-40000", leverage=10)
    account.open("ETHUSDC", "20", leverage=20)
    account.deposit("USDC", "1500")
    account.deposit("USDT", _funds(account, lambda statement: statement.pools["USD"], "0.55"))


def _begin_hedge(account: SimulatedAccount) -> None:
    account.open("BTCUSDT", "1.5", "LONG", leverage=20)
    account.open("BTCUSDT", "-0.5", "SHORT", leverage=20)
    account.open("ETHUSDT", "-4", "SHORT", leverage=10)
    account.place_order("ETHUSDT", "2", "3600", "LONG")
    account.deposit("USDT", _funds(account, lambda statement: statement.pools["USDT"], "0.5"))


def _begin_isolated(account: SimulatedAccount) -> None:
    account.deposit("USDT", "20000")
    for symbol, amount, peak in (("SOLUSDT", "120", "0.93"), ("币安人生USDT", "60000", "0.9")):
        account.open(symbol, amount, leverage=8, isolated_wallet=ZERO)

        def isolated_pool(statement: Statement, symbol: str = symbol) -> Pool:
            return next(statement.pool_of(row) for row in statement.rows if row.symbol.name == symbol)

        account.add_isolated_margin(symbol, _funds(account, isolated_pool, peak))
    account.open("BTCUSDT", "-0.05", leverage=10, isolated_wallet="700")


def _fall(at: float) -> float:
    """Return the depth of the draw-down: 0 is calm, 1 the bottom."""
    if at < BOTTOM_UNTIL:
        return _ease((at - CALM_UNTIL) / (BOTTOM_FROM - CALM_UNTIL))
    return 1 - _ease((at - BOTTOM_UNTIL) / (RECOVERED_AT - BOTTOM_UNTIL))


def _ease(progress: float) -> float:
    progress = min(1.0, max(0.0, progress))
    return progress * progress * (3 - 2 * progress)


def _funds(account: SimulatedAccount, pool_of: Callable[[Statement], Pool], peak: str) -> Decimal:
    """Return how much a pool needs for its ratio to peak at `peak` in the coming round, whatever the seed."""
    now, time_ms = account.at, account.time_ms
    needed = []
    for second in _WORST_SECONDS:
        account.move_to(now + second, time_ms)
        statement = statement_of(account)
        pool = pool_of(statement)
        missing = pool.maintenance_margin / Decimal(peak) - pool.equity
        needed.append(missing / statement.usd_rates["USDT"] if statement.usd_rates else missing)
    account.move_to(now, time_ms)
    return max(needed).quantize(Decimal("0.01"), ROUND_UP)
