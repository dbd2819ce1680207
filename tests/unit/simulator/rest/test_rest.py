"""The REST side of the simulated exchange over real sockets: answers, signatures, weights, and HTTP."""

from __future__ import annotations

import asyncio
import http.client
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.rest_client import RestClient
from support.simulator_client import sign_query
from support.waiting import until

from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange
from exporter.simulator.market import ASSETS, SYMBOLS
from exporter.simulator.rest import API_RESTRICTIONS, ASSET_INDEX, FUNDING_INFO, PREMIUM_INDEX
from exporter.simulator.toggles import REST

if TYPE_CHECKING:
    from support.clocks import Clock

KEY_ERROR = "Invalid API-key, IP, or permissions for action, request ip: 127.0.0.1"


async def test_premium_index(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """A perpetual has its mark price, rate and next settlement, by its own interval."""
    exchange.market.pin("BTCUSDT", "104000.5")
    exchange.market.pin_funding_rate("BTCUSDT", "-0.00012345")
    row = await client.body(f"{PREMIUM_INDEX}?symbol=BTCUSDT")
    four_hours = await client.body(f"{PREMIUM_INDEX}?symbol=XRPUSDT")
    one_hour = await client.body(f"{PREMIUM_INDEX}?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT")

    assert {
        "symbol": "BTCUSDT",
        "markPrice": "104000.50000000",
        "indexPrice": "104013.34044688",
        "estimatedSettlePrice": "104013.34044688",
        "lastFundingRate": "-0.00012345",
        "interestRate": "0.00010000",
        "nextFundingTime": 1_700_006_400_000,
        "time": clock.now_ms,
    } == row
    assert 1_700_006_400_000 == four_hours["nextFundingTime"]
    assert ("币安人生USDT", 1_700_002_800_000) == (one_hour["symbol"], one_hour["nextFundingTime"])


async def test_premium_index_of_all_symbols(client: RestClient) -> None:
    """Without a symbol every symbol has a row; dated contracts and delisted symbols have no funding."""
    rows = {row["symbol"]: row for row in await client.body(PREMIUM_INDEX)}
    without = {name for name, row in rows.items() if row["lastFundingRate"] == ""}

    assert {*SYMBOLS, "LUNAUSDT"} == rows.keys()
    assert {"BTCUSDT_270326", "LUNAUSDT"} == without
    assert {("", 0)} == {(rows[name]["interestRate"], rows[name]["nextFundingTime"]) for name in without}
    assert {-1, 1} == {Decimal(row["lastFundingRate"]).compare(0) for row in rows.values() if row["lastFundingRate"]}


async def test_funding_info_has_only_adjusted_symbols(client: RestClient) -> None:
    """The intervals of 1 and 4 hours are listed, and one symbol whose interval is the usual one."""
    hours = {row["symbol"]: row["fundingIntervalHours"] for row in await client.body(FUNDING_INFO)}

    assert {"币安人生USDT": 1, "1000PEPEUSDT": 4, "XRPUSDT": 4, "DOGEUSDT": 8} == hours


async def test_asset_index_is_what_multi_assets_mode_values_with(
    exchange: SimulatedExchange, client: RestClient
) -> None:
    """The index of every margin asset is the rate of the accounts' valuation; other assets are listed, too."""
    exchange.market.pin("BTCUSDT", "100000")
    rows = {row["symbol"]: row for row in await client.body(ASSET_INDEX)}
    row = await client.body(f"{ASSET_INDEX}?symbol=BTCUSD")

    at = exchange.account("main").at
    assert {f"{asset}USD": exchange.market.usd_rate(asset, at) for asset in (*ASSETS, "ADA", "XRP")} == {
        name: Decimal(row["index"]) for name, row in rows.items()
    }
    assert rows["BTCUSD"] == row
    assert ("99960.00000000", "94962.00000000", "102459.00000000") == (
        row["index"],
        row["bidRate"],
        row["autoExchangeAskRate"],
    )


@pytest.mark.parametrize("path", [PREMIUM_INDEX, ASSET_INDEX])
async def test_unknown_symbols_are_rejected(client: RestClient, path: str) -> None:
    """A symbol that does not exist is rejected with -1121."""
    reply = await client.get(f"{path}?symbol=NOUSDT")

    assert (400, {"code": -1121, "msg": "Invalid symbol."}) == (reply.status, reply.body)


async def test_permissions_of_a_monitoring_key(exchange: SimulatedExchange, client: RestClient) -> None:
    """By default a key reads, has futures enabled and is bound to an IP; the account's attributes change that."""
    account = exchange.accounts["main"]
    default = (await client.signed(account, API_RESTRICTIONS)).body
    account.key_permissions["enableWithdrawals"] = True
    account.key_permissions["enableSomethingNew"] = True
    account.key_ip_restricted = False
    account.key_created_ms = 1_600_000_000_000
    changed = (await client.signed(account, API_RESTRICTIONS)).body

    assert {"ipRestrict", "enableReading", "enableFutures"} == {
        name for name, value in default.items() if value is True
    }
    assert 13 == len(default)
    assert {"enableReading", "enableFutures", "enableWithdrawals", "enableSomethingNew"} == {
        name for name, value in changed.items() if value is True
    }
    assert 1_600_000_000_000 == changed["createTime"]


@pytest.mark.parametrize("key_type", ["HMAC", "RSA", "Ed25519"])
async def test_every_key_type_signs(clock: Clock, key_type: KeyType) -> None:
    """A query signed with a key of each type is accepted, one signed with another key is not."""
    account, other = SimulatedAccount("main", key_type), SimulatedAccount("other", key_type)
    other.api_key = account.api_key
    async with SimulatedExchange([account], clock=clock) as exchange:
        with RestClient(exchange, clock) as client:
            accepted = await client.signed(account, API_RESTRICTIONS, recvWindow=5000)
            rejected = await client.signed(other, API_RESTRICTIONS)

    assert 200 == accepted.status
    assert (400, {"code": -1022, "msg": "Signature for this request is not valid."}) == (rejected.status, rejected.body)


def unsigned(query: str) -> str:
    """Return a query without its signature."""
    return query.partition("&signature=")[0]


# How a signed query is spoilt, and the status and code it is rejected with.
SPOILT: dict[str, tuple[Any, int, int]] = {
    "no signature": (unsigned, 400, -1102),
    "no timestamp": (lambda query: f"symbol=x&signature={query.partition('&signature=')[2]}", 400, -1102),
    "a parameter after the signature": (lambda query: f"{query}&recvWindow=5000", 400, -1022),
    "a changed parameter": (lambda query: f"recvWindow=60000&{query}", 400, -1022),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_spoilt_queries_are_rejected(
    exchange: SimulatedExchange, client: RestClient, clock: Clock, name: str
) -> None:
    """A query that is not wholly signed is rejected with the code for what is wrong with it."""
    spoil, status, code = SPOILT[name]
    account = exchange.accounts["main"]
    query = spoil(sign_query(account, clock))
    reply = await client.get(f"{API_RESTRICTIONS}?{query}", {"X-MBX-APIKEY": account.api_key})

    assert (status, code) == (reply.status, reply.body["code"])


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"timestamp": 1_700_000_004_000}, -1021),
        ({"timestamp": 1_700_000_011_000}, -1021),
        ({"recvWindow": 60_001}, -1131),
        ({"page": 1}, -1104),
    ],
)
async def test_wrong_parameters_are_rejected(
    exchange: SimulatedExchange, client: RestClient, params: dict[str, Any], code: int
) -> None:
    """A timestamp outside of the window, too wide a window and an unknown parameter are rejected."""
    reply = await client.signed(exchange.accounts["main"], API_RESTRICTIONS, **params)

    assert (400, code) == (reply.status, reply.body["code"])


@pytest.mark.parametrize(
    ("api_key", "error"),
    [
        (None, {"code": -2014, "msg": "API-key format invalid."}),
        ("short", {"code": -2014, "msg": "API-key format invalid."}),
        ("x" * 64, {"code": -2015, "msg": KEY_ERROR}),
    ],
)
async def test_wrong_keys_are_rejected(
    exchange: SimulatedExchange, client: RestClient, clock: Clock, api_key: str | None, error: dict[str, Any]
) -> None:
    """A missing or malformed key is rejected with -2014, an unknown one with -2015 and the caller's IP."""
    query = sign_query(exchange.accounts["main"], clock)
    headers = {} if api_key is None else {"X-MBX-APIKEY": api_key}
    reply = await client.get(f"{API_RESTRICTIONS}?{query}", headers)

    assert (401, error) == (reply.status, reply.body)


async def test_revoked_key_is_rejected(exchange: SimulatedExchange, client: RestClient) -> None:
    """A revoked key is rejected like an unknown one, and one without the permission to read, too."""
    account = exchange.accounts["main"]
    with exchange.revoke("main"):
        revoked = await client.signed(account, API_RESTRICTIONS)
    account.key_permissions["enableReading"] = False
    unreadable = await client.signed(account, API_RESTRICTIONS)

    assert [(401, -2015)] * 2 == [(reply.status, reply.body["code"]) for reply in (revoked, unreadable)]


@pytest.mark.parametrize(("method", "path"), [("GET", "/fapi/v1/unknown"), ("POST", PREMIUM_INDEX)])
async def test_unknown_paths_are_rejected(client: RestClient, method: str, path: str) -> None:
    """A path that does not exist, or not for the method, is rejected with 404."""
    reply = await client.get(path, method=method)

    assert (404, {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"}) == (reply.status, reply.body)


async def test_weights(exchange: SimulatedExchange, client: RestClient) -> None:
    """Every answer has its host's used weight, errors included; the WebSocket API's weight is another."""
    targets = (f"{PREMIUM_INDEX}?symbol=BTCUSDT", PREMIUM_INDEX, FUNDING_INFO, ASSET_INDEX, "/fapi/v1/unknown")
    used = [(await client.get(target)).headers["x-mbx-used-weight-1m"] for target in targets]
    sapi = await client.signed(exchange.accounts["main"], API_RESTRICTIONS)

    assert ["1", "11", "11", "21", "22"] == used
    assert ("1", None) == (
        sapi.headers["x-sapi-used-ip-weight-1m"],
        sapi.headers.get("x-mbx-used-weight-1m"),
    )
    assert 0 == exchange.spent_weight()


async def test_limit_and_ban(exchange: SimulatedExchange, client: RestClient, clock: Clock) -> None:
    """Over the limit requests get 429, then 418, both with Retry-After; the WebSocket API and /sapi/ still work."""
    exchange.rest_weight.limit = 20
    replies = [await client.get(PREMIUM_INDEX) for _ in range(13)]
    other = await client.signed(exchange.accounts["main"], API_RESTRICTIONS)
    clock.now += 121
    after = await client.get(PREMIUM_INDEX)

    assert [200] * 2 + [429] * 10 + [418] == [reply.status for reply in replies]
    assert (None, "30", "120") == tuple(replies[number].headers.get("retry-after") for number in (1, 2, 12))
    assert [-1003, -1003] == [replies[number].body["code"] for number in (2, 12)]
    assert "IP(127.0.0.1) banned until 1700000130000" in replies[12].body["msg"]
    assert (200, 200) == (other.status, after.status)


async def test_other_limits(exchange: SimulatedExchange, client: RestClient) -> None:
    """FundingInfo has a limit of requests in five minutes, and /sapi/ is limited without bans."""
    exchange.funding_info_requests.limit = 1
    exchange.sapi_weight.limit = 0
    info = [await client.get(FUNDING_INFO) for _ in range(2)]
    sapi = [await client.signed(exchange.accounts["main"], API_RESTRICTIONS) for _ in range(12)]
    index = await client.get(PREMIUM_INDEX)

    assert [(200, None), (429, "90")] == [(reply.status, reply.headers.get("retry-after")) for reply in info]
    assert {429} == {reply.status for reply in sapi}
    assert 200 == index.status


async def test_connection_is_kept_alive(exchange: SimulatedExchange, client: RestClient) -> None:
    """A connection serves many requests, and is closed after one that asks for it."""
    await client.get(PREMIUM_INDEX)
    (connection,) = exchange.connections
    await client.get(FUNDING_INFO)
    kept = {connection} == exchange.connections
    last = await client.get(FUNDING_INFO, {"Connection": "close"})
    await until(lambda: not exchange.connections)

    assert kept
    assert 200 == last.status
    assert [PREMIUM_INDEX, FUNDING_INFO, FUNDING_INFO] == [request.method for request in exchange.received]


async def test_stopping_ends_kept_connections(clock: Clock) -> None:
    """An exchange stops with connections that are kept alive or wait for an answer."""
    async with SimulatedExchange([], clock=clock) as exchange:
        with RestClient(exchange, clock) as idle, RestClient(exchange, clock) as waiting:
            await idle.get(FUNDING_INFO)
            exchange.delay_answers(3600.0, REST)
            hanging = asyncio.create_task(waiting.get(FUNDING_INFO))
            await until(lambda: len(exchange.received) == 2)
            await exchange.stop()
            with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
                await hanging

    assert not exchange.connections


async def test_garbage_ends_a_connection(exchange: SimulatedExchange) -> None:
    """What is not HTTP after a first request ends the connection."""
    host, _, port = urlsplit(exchange.rest_url).netloc.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {FUNDING_INFO} HTTP/1.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"garbage\r\n\r\n")
    rest = await reader.read()
    writer.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert rest.endswith(b"]")


async def test_answers_are_dated_by_the_exchange(exchange: SimulatedExchange, client: RestClient) -> None:
    """The Date header and the times of answers follow the exchange's clock."""
    with exchange.skew_clock(3600.0):
        reply = await client.get(f"{PREMIUM_INDEX}?symbol=BTCUSDT")

    assert ("Tue, 14 Nov 2023 23:13:30 GMT", 1_700_003_610_000) == (reply.headers["date"], reply.body["time"])
