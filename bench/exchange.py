"""The exchange that the peers poll: one account with 100 positions and 20 assets. Prints its URL and key as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.market import SYMBOLS


def _pad_assets(assets: int) -> Any:
    """Return what adds zero rows to an answer until it has that many assets, as a real one lists all of them."""

    def pad(answer: dict[str, Any]) -> dict[str, Any]:
        rows = answer["result"]["assets"]
        empty = {name: "0.00000000" for name, value in rows[0].items() if isinstance(value, str)}
        for number in range(assets - len(rows)):
            rows.append({**rows[0], **empty, "asset": f"ASSET{number}", "updateTime": 0})
        return answer

    return pad


async def main(positions: int, assets: int) -> None:
    """Serve until standard input is closed."""
    account = SimulatedAccount("one", "HMAC", seed=1)
    account.deposit("USDT", "100000000")
    # No limit worth the name: it is the client's CPU that is measured, not its patience.
    async with SimulatedExchange([account], seed=1, weight_limit=10**6) as exchange:
        book = exchange.account("one")
        names = [name for name in SYMBOLS if name.endswith("USDT")][:positions]
        for name in names:
            book.open(name, "10", leverage=20)
        with exchange.replace_answer("v2/account.status", None, _pad_assets(assets)):
            about = {"url": exchange.url, "api_key": account.api_key, "secret_key": account.secret_key}
            print(json.dumps({**about, "positions": len(names), "assets": assets}), flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
