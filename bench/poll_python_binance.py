"""The usual exporter's polls: python-binance, and Gauge.labels().set() for each figure. Prints CPU seconds of one.

It sets the same families as ours. It does not clear the series of closed positions, which costs it several times more.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from binance import AsyncClient
from binance.ws.websocket_api import WebsocketAPI
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from exporter.metrics.catalog import GROUPS
from exporter.metrics.reference import entries


class Gauges:
    """One Gauge for each figure of the catalog, found by its name in Binance's answer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = {entry["name"]: entry for entry in entries()}
        self._families: list[list[tuple[str, Gauge]]] = []
        for group in GROUPS[:4]:  # those that one v2/account.status fills
            row = []
            for family in group.families:
                entry = names[family.name]
                gauge = Gauge(family.name, family.help, entry["labels"], registry=self.registry)
                row.append((family.source.split(" ", 1)[0], gauge))
            self._families.append(row)

    def set(self, result: dict[str, Any]) -> None:
        """Set every figure of an answer."""
        account, open_positions, asset, position = self._families
        self._row(account, result, account="one", currency="USDT")
        held = sum(1 for row in result["positions"] if float(row["positionAmt"]))
        open_positions[0][1].labels(account="one").set(held)
        for row in result["assets"]:
            self._row(asset, row, account="one", asset=row["asset"])
        for row in result["positions"]:
            self._row(position, row, account="one", symbol=row["symbol"], position_side=row["positionSide"])

    @staticmethod
    def _row(families: list[tuple[str, Gauge]], row: dict[str, Any], **labels: str) -> None:
        for field, gauge in families:
            value = row.get(field)
            if value is not None:
                gauge.labels(**labels).set(float(value))


async def main(about: dict[str, str], warm_up: int, polls: int) -> float:
    """Return the CPU seconds of one poll."""
    client = AsyncClient(about["api_key"], about["secret_key"])
    # The futures WebSocket API's address is a constant there; a client of the bench's own takes its place.
    client.ws_future = WebsocketAPI(url=about["url"], tld="com")
    gauges = Gauges()
    for _ in range(warm_up):
        gauges.set(await client.ws_futures_v2_account_status())
    began = time.process_time()
    for _ in range(polls):
        gauges.set(await client.ws_futures_v2_account_status())
    spent = time.process_time() - began
    if generate_latest(gauges.registry).count(b"position_notional{") != int(about["positions"]):
        raise SystemExit("polls failed")
    await client.close_connection()
    return spent / polls


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
