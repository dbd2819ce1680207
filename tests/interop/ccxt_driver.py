"""Runs ccxt: calls as JSON on standard input, their outcomes on standard output.

It runs in its own environment, since ccxt pins its dependencies to other versions than the exporter's.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import ccxt.pro


async def main(request: dict[str, Any]) -> list[list[Any]]:
    """Make every client's calls in turn, and return their outcomes."""
    return [await _outcomes_of(client, request["markets"]) for client in request["clients"]]


async def _outcomes_of(client: dict[str, Any], markets: list[Any]) -> list[Any]:
    """Make calls; an error becomes the names of its classes and its text."""
    exchange = ccxt.pro.binanceusdm(client["settings"])
    # Set rather than fetched, so that it needs no REST.
    exchange.set_markets(markets)
    outcomes: list[Any] = []
    try:
        for name, *args in client["calls"]:
            try:
                outcomes.append({"answer": await getattr(exchange, name)(*args)})
            except ccxt.BaseError as error:
                outcomes.append({"error": [cls.__name__ for cls in type(error).__mro__], "text": str(error)})
    finally:
        await exchange.close()
    return outcomes


def _no_lookup(host: str | bytes | None, *_args: Any, **_kwargs: Any) -> Any:
    raise AssertionError(f"ccxt looked up {host!r}")


if __name__ == "__main__":
    socket.getaddrinfo = _no_lookup
    json.dump(asyncio.run(main(json.load(sys.stdin))), sys.stdout)
