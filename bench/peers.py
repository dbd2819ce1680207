"""The clients that the poll benchmark compares, this exporter among them, and the program that measures one of them.

`python -m bench.peers PEER EXCHANGE WARM_UP POLLS` polls and prints the CPU seconds of one poll. EXCHANGE is JSON: the
exchange's URL, a key, the number of positions and the families to set. The module needs nothing but prometheus_client,
since ccxt has a separate environment; each client is imported by its own function.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import warnings
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, Gauge, generate_latest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

Exchange = dict[str, Any]
OURS: Final = "this exporter"
OURS_BOTH: Final = "this exporter, two requests"
CCXT: Final = "ccxt, two requests"


class Peer(NamedTuple):
    """A connected client: polls once, and returns the text that would be scraped."""

    poll: Callable[[], Awaitable[None]]
    text: Callable[[], bytes]


class Gauges:
    """What most exporters do with a response: Gauge.labels().set() for each value, for the same families as ours.

    Args:
        families: of account, account without currency, asset and position, each with Binance's name of its field.
        clears: whether all series of positions are removed before each poll, so that closed ones disappear.
        name: converts Binance's name of a field to the one that `read` takes.
        read: returns a row's value of that name, None if it is absent.
    """

    def __init__(
        self,
        families: list[list[dict[str, Any]]],
        *,
        clears: bool = False,
        name: Callable[[str], str] = str,
        read: Callable[[Any, str], Any] = dict.get,
    ) -> None:
        self._registry = CollectorRegistry()
        self._clears = clears
        self._read = read
        self._asset, self._symbol, self._side, self._amount = map(
            name, ("asset", "symbol", "positionSide", "positionAmt")
        )
        self._account, [(_, self._open)], self._assets, self._positions = (
            [
                (
                    name(family["field"]),
                    Gauge(family["name"], family["help"], family["labels"], registry=self._registry),
                )
                for family in group
            ]
            for group in families
        )

    def set(self, status: Any, assets: Iterable[Any], positions: Iterable[Any]) -> None:
        """Set every value of a response, given its totals and its rows."""
        read = self._read
        if self._clears:
            for _, gauge in self._positions:
                gauge.clear()
        self._set(self._account, status, {"account": "one", "currency": "USDT"})
        for row in assets:
            self._set(self._assets, row, {"account": "one", "asset": read(row, self._asset)})
        open_positions = 0
        for row in positions:
            open_positions += float(read(row, self._amount)) != 0
            labels = {"account": "one", "symbol": read(row, self._symbol), "position_side": read(row, self._side)}
            self._set(self._positions, row, labels)
        self._open.labels(account="one").set(open_positions)

    def text(self) -> bytes:
        """Return what would be scraped."""
        return generate_latest(self._registry)

    def _set(self, family: list[tuple[str, Gauge]], row: Any, labels: Mapping[str, str]) -> None:
        for name, gauge in family:
            value = self._read(row, name)
            if value is not None:
                gauge.labels(**labels).set(float(value))


@asynccontextmanager
async def _this_exporter(exchange: Exchange, *, position_risk: bool = False) -> AsyncIterator[Peer]:
    """Poll from the socket to rendered text, optionally v2/account.position too."""
    from exporter import log
    from exporter.account.asset_mode import AssetMode
    from exporter.account.availability import MethodAvailability
    from exporter.account.pacing import EndpointPacing
    from exporter.account.poller import Poller
    from exporter.account.state import AccountSettings, AccountState
    from exporter.binance.clock import ExchangeClock
    from exporter.binance.connection import Connection
    from exporter.binance.dialing import Endpoint
    from exporter.binance.signing import Credentials, Secret
    from exporter.binance.weight import WeightBudget
    from exporter.metrics.exposition import Exposition
    from exporter.metrics.self_catalog import Program

    log.configure("error", "logfmt")
    clock = ExchangeClock()
    budget = WeightBudget(0.9, clock)
    budget.limit = 10**6  # so that nothing waits for the first response, which reports the limit
    endpoint = Endpoint("bench", exchange["url"])
    connection = Connection(endpoint, budget, clock)
    state = AccountState(
        AccountSettings(
            name="one",
            endpoint=endpoint,
            credentials=Credentials.hmac(Secret(exchange["api_key"]), Secret(exchange["secret_key"])),
            asset_mode=AssetMode.SINGLE,
            position_risk=position_risk,
        )
    )
    exposition = Exposition(Program(lambda: [connection.state]), lambda: [state], clock.monotonic)
    availability, pacing = MethodAvailability(connection), EndpointPacing(clock.monotonic)
    poller = Poller(state, connection, availability, pacing, exposition.publish, exposition.poll_finished)
    running = asyncio.create_task(connection.run())
    await connection.first_attempt_finished.wait()

    async def poll() -> None:
        await poller.poll(clock.monotonic() + 60)
        if not state.last_poll_succeeded:
            raise SystemExit(f"a poll failed: {state.last_failure}")

    yield Peer(poll, lambda: bytes(exposition.body()))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _python_binance(exchange: Exchange, *, clears: bool = False) -> AsyncIterator[Peer]:
    """Connect with the first poll."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports websockets' deprecated interface for a type
        from binance import AsyncClient
        from binance.ws.websocket_api import WebsocketAPI

    client = AsyncClient(exchange["api_key"], exchange["secret_key"])
    # The address of the futures WebSocket API is a constant there, so its client is replaced.
    client.ws_future = WebsocketAPI(url=exchange["url"], tld="com")
    gauges = Gauges(exchange["families"], clears=clears)

    async def poll() -> None:
        status = await client.ws_futures_v2_account_status()
        gauges.set(status, status["assets"], status["positions"])

    yield Peer(poll, gauges.text)
    await client.close_connection()


@asynccontextmanager
async def _binance_sdk(exchange: Exchange) -> AsyncIterator[Peer]:
    from binance_common.configuration import ConfigurationWebSocketAPI
    from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
        DerivativesTradingUsdsFutures,
    )

    configuration = ConfigurationWebSocketAPI(
        api_key=exchange["api_key"], api_secret=exchange["secret_key"], stream_url=exchange["url"]
    )
    api: Any = DerivativesTradingUsdsFutures(config_ws_api=configuration).websocket_api
    await api.create_connection()
    gauges = Gauges(exchange["families"], name=_snake_case, read=getattr)

    async def poll() -> None:
        status = (await api.account_information_v2()).data().result
        gauges.set(status, status.assets, status.positions)

    yield Peer(poll, gauges.text)
    await api.close_connection(close_session=True)


def _snake_case(name: str) -> str:
    """Return the SDK's attribute for a field."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@asynccontextmanager
async def _ccxt(exchange: Exchange) -> AsyncIterator[Peer]:
    """Connect with the first poll.

    ccxt returns only the assets of v2/account.status: positions need a second request, and there are no totals.
    """
    import ccxt.pro

    urls = {"api": {"ws": {"ws-api": {"linear": exchange["url"]}}}}
    # Its rate limiter polls every millisecond, which would be most of the CPU.
    settings = {"apiKey": exchange["api_key"], "secret": exchange["secret_key"], "urls": urls, "enableRateLimit": False}
    client = ccxt.pro.binanceusdm(settings)
    client.set_markets([_ccxt_market(*symbol) for symbol in exchange["symbols"]])  # so that it needs no REST
    gauges = Gauges(exchange["families"])

    async def poll() -> None:
        assets = (await client.fetch_balance_ws({"method": "v2/account.status"}))["info"]
        positions = await client.fetch_positions_ws(None, {"method": "v2/account.position"})
        gauges.set({}, assets, [position["info"] for position in positions])

    yield Peer(poll, gauges.text)
    await client.close()


def _ccxt_market(symbol: str, base: str, margin_asset: str) -> dict[str, Any]:
    """Return what ccxt would have made of a symbol of exchangeInfo."""
    names = {"id": symbol, "symbol": f"{base}/{margin_asset}:{margin_asset}", "base": base, "quote": margin_asset}
    kind = {"type": "swap", "spot": False, "swap": True, "contract": True, "linear": True, "inverse": False}
    return {**names, **kind, "settle": margin_asset, "contractSize": 1, "precision": {}}


PEERS: Final[dict[str, Callable[[Exchange], AbstractAsyncContextManager[Peer]]]] = {
    OURS: _this_exporter,
    "python-binance": _python_binance,
    "python-binance, clearing": partial(_python_binance, clears=True),
    "Binance's SDK": _binance_sdk,
    OURS_BOTH: partial(_this_exporter, position_risk=True),
    CCXT: _ccxt,
}
"""The peers by name, in the order of the table."""


async def _measure(peer: str, exchange: Exchange, warm_up: int, polls: int) -> float:
    async with PEERS[peer](exchange) as client:
        for _ in range(warm_up):
            await client.poll()
        began = time.process_time()
        for _ in range(polls):
            await client.poll()
        spent = time.process_time() - began
        if client.text().count(b"position_notional{") != exchange["positions"]:
            raise SystemExit("the scraped text lacks positions")
    return spent / polls


if __name__ == "__main__":
    print(asyncio.run(_measure(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
