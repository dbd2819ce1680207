"""Builders of answers, snapshots, settings, states and connections for tests; a scrape server and its client."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

import exporter
from exporter.account.queries import CONFIGURATION, Reading
from exporter.account.snapshot import AccountSnapshot, build_snapshot
from exporter.account.state import AccountSettings, AccountState
from exporter.binance.clock import ExchangeClock
from exporter.binance.configuration import decode_account_configuration
from exporter.binance.connection import Connection
from exporter.binance.dialing import Endpoint
from exporter.binance.rows import FIGURES, AccountStatus, AssetBalance, Position, PositionRisk
from exporter.binance.signing import Credentials, Secret
from exporter.binance.weight import WeightBudget
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.openmetrics import OpenMetricsExposition
from exporter.web.listen_address import ListenAddress
from exporter.web.page import render_page
from exporter.web.server import WebServer
from support.http_clients import http_client
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    import httpx

    from exporter.account.asset_mode import AssetMode
    from exporter.binance.configuration import AccountConfiguration
    from exporter.web.limits import Limits

_Row = TypeVar("_Row", bound=msgspec.Struct)

OPENMETRICS: Final = "application/openmetrics-text"
ENDPOINT: Final = Endpoint("localhost:1", "ws://localhost:1/ws-fapi/v1")
LOCAL: Final = ListenAddress("127.0.0.1", 0)


def make_figures(first: float = 1.0) -> dict[str, Any]:
    """Return the eleven figures: `first` and the ten numbers after it."""
    return {name: first + place for place, name in enumerate(FIGURES)}


def make_asset(asset: str = "USDT", **fields: Any) -> AssetBalance:
    """Return a row of assets; figures that are not given are absent."""
    return AssetBalance(asset=asset, **fields)


def make_position(symbol: str = "BTCUSDT", side: str = "BOTH", amount: float = 1.0, **fields: Any) -> Position:
    """Return a row of positions; figures that are not given are absent."""
    return Position(symbol=symbol, position_side=side, amount=amount, **fields)


def make_risk(symbol: str = "BTCUSDT", side: str = "BOTH", amount: float = 1.0, **fields: Any) -> PositionRisk:
    """Return a row of position risk; figures that are not given are absent."""
    return PositionRisk(symbol=symbol, position_side=side, amount=amount, **fields)


def fill(row: _Row) -> _Row:
    """Return a row with a different number in each field that was not sent."""
    missing = [field.name for field in msgspec.structs.fields(row) if getattr(row, field.name) is None]
    return msgspec.structs.replace(row, **{name: float(number) for number, name in enumerate(missing, 2)})


def make_status(
    assets: Iterable[AssetBalance] = (), positions: Iterable[Position] = (), **figures: Any
) -> AccountStatus:
    """Return a v2/account.status; totals that are not given are absent."""
    return AccountStatus(assets=tuple(assets), positions=tuple(positions), **figures)


def make_snapshot(
    assets: Iterable[AssetBalance] = (),
    positions: Iterable[Position] = (),
    risks: Iterable[PositionRisk] | None = None,
    *,
    asset_mode: AssetMode | None = None,
    configuration: AccountConfiguration | None = None,
    **figures: Any,
) -> AccountSnapshot:
    """Return the snapshot of a status and its position risk, None if that was not requested."""
    status, rows = make_status(assets, positions, **figures), None if risks is None else tuple(risks)
    reading = {CONFIGURATION: Reading(configuration, 990.0, 991.0, 1_700_000_000.0)} if configuration else {}
    return build_snapshot(status, rows, asset_mode=asset_mode, asked_at=999.0, answered_at=1000.0, readings=reading)


def make_configuration(leverage: int = 20, **flags: Any) -> AccountConfiguration:
    """Return an account's configuration with the same leverage for BTCUSDT and ETHUSDT."""
    rows = [{"symbol": symbol, "positionSide": "BOTH", "leverage": str(leverage)} for symbol in ("BTCUSDT", "ETHUSDT")]
    result = {"feeTier": 1, "canTrade": True, "canDeposit": True, "canWithdraw": False, "multiAssetsMargin": False}
    return decode_account_configuration(Raw(json.dumps(result | {"positions": rows} | flags).encode()))


def make_settings(name: str = "main", **fields: Any) -> AccountSettings:
    """Return settings of an account with a made-up HMAC key."""
    credentials = Credentials.hmac(Secret(f"api key of {name}"), Secret(f"secret key of {name}"))
    return AccountSettings(**{"name": name, "endpoint": ENDPOINT, "credentials": credentials, **fields})


def make_state(name: str = "main", *, answered_at: float | None = None, **settings: Any) -> AccountState:
    """Return the state of an account before its first poll, or after a successful one at `answered_at`."""
    state = AccountState(make_settings(name, **settings))
    if answered_at is not None:
        state.polls = 1
        state.last_poll_succeeded = state.first_poll_finished = True
        state.answered_at, state.last_success_unix = answered_at, 1_700_000_000.5
        state.stale_at = answered_at + state.stale_after_seconds
    return state


def make_connection(endpoint: Endpoint = ENDPOINT, monotonic: Callable[[], float] = time.monotonic) -> Connection:
    """Return a connection that is not run; its wall clock is `monotonic`."""
    clock = ExchangeClock(wall=monotonic, monotonic=monotonic)
    return Connection(endpoint, WeightBudget(0.5, clock), clock)


@asynccontextmanager
async def serving(
    body: bytes | Callable[[], bytes],
    *,
    addresses: Iterable[ListenAddress] = (LOCAL,),
    path: str = "/metrics",
    waiting: Callable[[], int] = int,
    reload: Callable[[], Awaitable[str]] | None = None,
    openmetrics: OpenMetricsExposition | None = None,
    limits: Limits | None = None,
    page: Callable[[], str] | None = None,
) -> AsyncIterator[tuple[httpx.AsyncClient, WebServer]]:
    """Serve a body during the block; yield a client of the first address, and the server, which must stop after it."""
    shared = ChunkedBody([body]) if isinstance(body, bytes) else None

    def text() -> ChunkedBody:
        return ChunkedBody([body()]) if callable(body) else shared or ChunkedBody([])

    page = page or partial(render_page, (), (), 0.0, path, exporter.__version__)
    openmetrics = openmetrics or OpenMetricsExposition(list)
    server = WebServer(tuple(addresses), path, text, openmetrics, waiting, page, reload=reload, limits=limits)
    urls = server.bind()
    task = asyncio.create_task(server.run())
    client = http_client(urls[0])
    try:
        yield client, server
    finally:
        server.stop()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await task
        await client.aclose()


async def raw_body(client: httpx.AsyncClient, accept_encoding: str | None) -> tuple[httpx.Response, bytes]:
    """Scrape, and return the body as it was sent."""
    request = client.build_request("GET", "/metrics")
    del request.headers["Accept-Encoding"]
    if accept_encoding is not None:
        request.headers["Accept-Encoding"] = accept_encoding
    response = await client.send(request, stream=True)
    return response, b"".join([piece async for piece in response.aiter_raw()])


async def connect(client: httpx.AsyncClient, request: str, **options: Any) -> tuple[Any, asyncio.StreamWriter]:
    """Send a request over a new connection."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, **options)
    writer.write(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection."""
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def without_comments(text: str) -> str:
    """Return a scrape without its HELP and TYPE lines."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def samples(text: bytes) -> dict[str, float]:
    """Return every series of an exposition with its value; duplicates are an error."""
    # Not splitlines, since label values may contain Unicode line separators.
    lines = [line for line in text.decode().split("\n") if line and not line.startswith("#")]
    values = {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}

    assert len(lines) == len(values)
    return values


# Strategies: any text and number that an answer may contain. `st.text()` finds the surrogates by encoding every
# character, which takes each test process five seconds; their category is equivalent.
characters = st.characters(exclude_categories=["Cs"])
any_text = st.text(characters)
words = st.text(characters | st.sampled_from('"\\\n{}=, #\x85\u2028é币'), min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, 999_999.999, 1e6, 123_456_789.0, -1e6, 1e15, 1e16, 1e21, 5e-324, 1e300, 1e-5, 0.0001]
)
figures = st.none() | numbers
times = st.none() | st.integers(0, 2**53)
sides = st.sampled_from(["BOTH", "LONG", "SHORT"])
totals = st.fixed_dictionaries(dict.fromkeys(FIGURES, figures))
asset_rows = st.builds(
    make_asset,
    words,
    **dict.fromkeys(FIGURES, figures),
    margin_available=st.none() | st.booleans(),
    update_time_ms=times,
)
position_rows = st.builds(
    make_position,
    words,
    sides,
    numbers,
    **dict.fromkeys(
        ("unrealized_pnl", "isolated_margin", "notional", "isolated_wallet_balance", "initial_margin"), figures
    ),
    maintenance_margin=figures,
    update_time_ms=times,
)
risk_rows = st.builds(
    make_risk,
    words,
    sides,
    numbers,
    **dict.fromkeys(("entry_price", "break_even_price", "mark_price", "liquidation_price"), figures),
    **dict.fromkeys(("open_order_initial_margin", "bid_notional", "ask_notional"), figures),
    margin_asset=st.none() | words,
    adl_quantile=st.none() | st.integers(0, 4),
)


@st.composite
def snapshots(draw: st.DrawFn) -> AccountSnapshot:
    """Draw the snapshot of an answer, with position risk for some of its rows."""
    positions = draw(st.lists(position_rows, max_size=3, unique_by=lambda row: (row.symbol, row.position_side)))
    risks = [
        msgspec.structs.replace(draw(risk_rows), symbol=row.symbol, position_side=row.position_side)
        for row in positions
        if draw(st.booleans())
    ]
    assets = draw(st.lists(asset_rows, max_size=3, unique_by=lambda row: row.asset))
    figures_of_totals: dict[str, Any] = draw(totals)
    return make_snapshot(assets, positions, risks, **figures_of_totals)


snapshots_by_name = st.dictionaries(words, snapshots(), max_size=3)
