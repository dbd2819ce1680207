"""The exchange of the benchmarks: accounts that hold the same symbols in different amounts.

`python -m bench.exchange ACCOUNTS POSITIONS [--config.dir DIR]` prints its URL and its first account's key as JSON, and
serves until standard input is closed. With each response to an account its market advances by fifteen seconds, as
between two polls in production: the notional, PnL and margin of every position change, however fast a client polls.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
from collections import defaultdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.answers import account_position, account_status
from exporter.simulator.demo import write_configuration
from exporter.simulator.market import ROUND_SECONDS, SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.simulator.market import Market

ASSETS: Final = 20
"""Margin assets in every response: Binance lists all of them, most with zeros."""
MAINNET_LIMIT: Final = 2400
_NO_LIMIT: Final = 10**6
_STEP_SECONDS: Final = 15.0
_STEPS: Final = int(ROUND_SECONDS / _STEP_SECONDS)
_TRADED_MS: Final = 1_790_000_000_000
_TEXTS: Final = {"asset", "marginAsset", "symbol", "positionSide"}


class Ledgers:
    """One ledger for the responses of all accounts; each account has its own step of the market."""

    def __init__(self, market: Market, positions: int) -> None:
        self._account = SimulatedAccount("template", "HMAC", seed=1)
        self._account.market = market
        self._account.move_to(0.0, _TRADED_MS)
        self._account.deposit("USDT", "250000")
        self._positions = positions
        names = [name for name in SYMBOLS if name.isascii() and name.endswith("USDT")][:positions]
        for name in names:
            self._account.open(name, "10", leverage=20)
        self._steps: defaultdict[float, int] = defaultdict(int)  # by factor, which identifies an account
        self._copies = -(-positions // len(names))

    def status(self, factor: float = 1.0) -> dict[str, Any]:
        """Return the `result` of the next v2/account.status, with all money and amounts times `factor`."""
        self._steps[factor] = step = (self._steps[factor] + 1) % _STEPS
        status = self._status(step)
        return {
            **_scaled(status, factor),
            "assets": [_scaled(row, factor) for row in status["assets"]],
            "positions": self._rows(status["positions"], factor),
        }

    def position(self, factor: float = 1.0) -> list[dict[str, Any]]:
        """Return the `result` of v2/account.position at the same moment."""
        return self._rows(self._position(self._steps[factor]), factor)

    # Each step of the market is computed once, because computing it is slow.

    @cache  # noqa: B019 - it lives as long as the process
    def _status(self, step: int) -> dict[str, Any]:
        self._account.move_to(_STEP_SECONDS * step, _TRADED_MS)
        status = account_status(self._account)
        rows = status["assets"]
        empty = {name: "0.00000000" for name, value in rows[0].items() if isinstance(value, str)}
        rows += [{**rows[0], **empty, "asset": f"ASSET{number}", "updateTime": 0} for number in range(ASSETS)]
        return {**status, "assets": rows[:ASSETS]}

    @cache  # noqa: B019
    def _position(self, step: int) -> list[dict[str, Any]]:
        self._account.move_to(_STEP_SECONDS * step, _TRADED_MS)
        return account_position(self._account, None)

    def _rows(self, rows: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
        """Return a row for each position: where the market has not enough symbols, copies under other names."""
        copies = ({**row, "symbol": f"{copy or ''}{row['symbol']}"} for copy in range(self._copies) for row in rows)
        return [_scaled(row, factor) for row in itertools.islice(copies, self._positions)]


def _scaled(row: dict[str, Any], factor: float) -> dict[str, Any]:
    return {
        name: f"{float(value) * factor:.8f}" if isinstance(value, str) and name not in _TEXTS else value
        for name, value in row.items()
    }


def _fill(result: Callable[[float], object], factor: float, answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "result": result(factor)} if answer["status"] == 200 else answer


def factors(accounts: int) -> Iterable[float]:
    """Return a factor for each account, from 1 to just below 2."""
    return (1 + number / accounts for number in range(accounts))


async def main(arguments: argparse.Namespace) -> None:
    """Serve until standard input is closed."""
    accounts = [SimulatedAccount(f"account-{number:03}", seed=1) for number in range(arguments.accounts)]
    limit = MAINNET_LIMIT if arguments.directory else _NO_LIMIT
    async with SimulatedExchange(accounts, seed=1, weight_limit=limit) as exchange:
        ledgers = Ledgers(exchange.market, arguments.positions)
        for account, factor in zip(accounts, factors(len(accounts)), strict=True):
            for method, result in (("v2/account.status", ledgers.status), ("v2/account.position", ledgers.position)):
                exchange.replace_answer(method, account.name, partial(_fill, result, factor))
        if arguments.directory:
            write_configuration(exchange.url, accounts, arguments.directory)
        credentials = {"api_key": accounts[0].api_key, "secret_key": accounts[0].secret_key}
        print(json.dumps({"url": exchange.url, **credentials, "positions": arguments.positions}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the simulated exchange of the benchmarks.")
    parser.add_argument("accounts", type=int)
    parser.add_argument("positions", type=int)
    parser.add_argument("--config.dir", dest="directory", type=Path, help="where to write exporter.yml and keys")
    asyncio.run(main(parser.parse_args()))
