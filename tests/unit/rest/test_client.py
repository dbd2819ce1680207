"""The REST client: signatures, its closed list of paths, bounded responses, the clock, and secrets."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

import pytest
from support.polling import credentials_of
from support.proxies import listen
from support.rest import Client, client_of, failure, replace_rest
from support.waiting import until

from exporter.binance.errors import (
    DecodeError,
    ExchangeError,
    NotConnected,
    ProtocolError,
)
from exporter.redaction import hidden
from exporter.rest.requests import RestPath, decode_api_restrictions
from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.toggles import REST

if TYPE_CHECKING:
    import contextlib


@pytest.mark.parametrize("kind", ["HMAC", "RSA", "Ed25519"])
async def test_each_kind_of_key_signs_requests(kind: Literal["HMAC", "RSA", "Ed25519"]) -> None:
    """The exchange accepts the signatures of HMAC, RSA and Ed25519 keys."""
    async with (
        SimulatedExchange([SimulatedAccount("main", kind)]) as exchange,
        client_of(exchange.rest_url) as client,
    ):
        credentials = credentials_of(exchange.accounts["main"])
        for _ in range(4):  # most, but not all, base64 signatures contain characters that must be encoded
            response = await client.get(RestPath.API_RESTRICTIONS, 1, credentials=credentials)
            await asyncio.sleep(0.002)  # another timestamp

    assert decode_api_restrictions(response.body).permissions["reading"]
    assert 4 == sum(client.durations[RestPath.API_RESTRICTIONS].counts)


async def test_parameters_are_encoded(exchange: SimulatedExchange, client: Client) -> None:
    """The exchange receives a symbol that is not ASCII as it is."""
    with pytest.raises(ExchangeError, match="Invalid symbol"):
        await client.get(RestPath.PREMIUM_INDEX, 1, {"symbol": "币安&人生=USDT"})

    assert {"symbol": "币安&人生=USDT"} == exchange.received[-1].params


async def test_only_listed_paths_can_be_requested(exchange: SimulatedExchange, client: Client) -> None:
    """A path that is not on the list is not sent."""
    with pytest.raises(ValueError, match="order"):
        await client.get("/fapi/v1/order", 1)  # type: ignore[arg-type]

    assert [] == list(exchange.received)


async def test_redirect_is_not_followed(exchange: SimulatedExchange, client: Client) -> None:
    """A redirect is an error, and nothing is sent to its target."""
    REST_FAULTS["rest-redirects"].switch(exchange)
    error = await failure(client, ProtocolError)

    assert "redirected with HTTP status 302, which is not followed" == str(error)
    assert ["/fapi/v1/assetIndex"] == [request.method for request in exchange.received]


async def test_no_cookie_is_kept() -> None:
    """A cookie that a response sets is not sent with the next request, which is a GET without a body."""
    heads: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: tracked=1; Path=/\r\n\r\n{}")

    async with listen(handle) as port, client_of(f"http://127.0.0.1:{port}") as client:
        for _ in range(2):
            await client.get(RestPath.FUNDING_INFO, 0)

    assert 2 == len(heads)
    assert all(head.startswith("get /fapi/v1/fundinginfo http/1.1\r\n") for head in heads)
    assert not [head for head in heads if "cookie" in head or "user-agent" in head or "content-" in head]


async def test_response_that_is_too_large_is_not_read(exchange: SimulatedExchange, client: Client) -> None:
    """A response of more than 8 MiB fails the request and closes its connection."""
    REST_FAULTS["rest-huge"].switch(exchange)

    assert "response: is larger than 8388608 bytes" == str(await failure(client, DecodeError))
    await until(lambda: not exchange.connections)


async def test_compressed_response_is_not_decompressed(exchange: SimulatedExchange, client: Client) -> None:
    """The client asks for an uncompressed response, and passes on the bytes of one that claims to be compressed."""
    replace_rest(exchange, 200, b"\x1f\x8b\x08", {"Content-Encoding": "gzip"})

    assert b"\x1f\x8b\x08" == bytes((await client.get(RestPath.FUNDING_INFO, 0)).body)


async def test_wrong_clock_is_read_again_once(exchange: SimulatedExchange, client: Client) -> None:
    """If the timestamp is rejected, the exchange's time is read again and the request sent once more."""
    credentials = credentials_of(exchange.accounts["bob"])
    exchange.skew_clock(30.0)
    client.exchange_ahead_seconds = 30.0
    await client.get(RestPath.API_RESTRICTIONS, 1, credentials=credentials)

    assert (1, 2) == (client.resyncs, len(exchange.received))


async def test_clock_that_stays_wrong(exchange: SimulatedExchange, client: Client) -> None:
    """If the timestamp is rejected again, the request fails; without a key nothing is read again."""
    credentials = credentials_of(exchange.accounts["bob"])
    exchange.skew_clock(30.0)
    with pytest.raises(ExchangeError, match="code -1021"):
        await client.get(RestPath.API_RESTRICTIONS, 1, credentials=credentials)
    replace_rest(exchange, 400, {"code": -1021, "msg": "Timestamp"})
    await failure(client, ExchangeError)

    assert (1, 3) == (client.resyncs, len(exchange.received))


async def test_clock_that_cannot_be_read(exchange: SimulatedExchange, client: Client) -> None:
    """If the exchange's time cannot be read, the error is that of the request."""

    async def resync(_: float) -> None:
        raise NotConnected("not connected")

    client._resync_clock = resync
    exchange.skew_clock(30.0)
    with pytest.raises(ExchangeError, match="code -1021"):
        await client.get(RestPath.API_RESTRICTIONS, 1, credentials=credentials_of(exchange.accounts["bob"]))


async def test_nothing_secret_is_logged_or_in_errors(
    exchange: SimulatedExchange, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At debug level no logger gets a query or a key, and an echoed signature is redacted in errors."""
    account = exchange.accounts["alice"]
    records: list[logging.LogRecord] = []

    class Capture(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != "websockets.server":  # the exchange's
                records.append(record)

    monkeypatch.setattr(logging.root, "handlers", [Capture()])
    logging.root.setLevel(logging.DEBUG)
    logging.getLogger("test").debug("it works")
    signatures: list[str] = []

    def remember(texts: list[str]) -> contextlib.AbstractContextManager[None]:
        signatures.extend(texts)
        return hidden(texts)

    monkeypatch.setattr("exporter.rest.client.hidden", remember)
    await client.get(RestPath.API_RESTRICTIONS, 1, credentials=credentials_of(account))
    exchange.replace_answer(
        REST,
        None,
        lambda answer: {**answer, "status": 400, "body": {"code": -1022, "msg": f"bad {signatures[-1]}"}},
    )
    with pytest.raises(ExchangeError) as raised:
        await client.get(RestPath.API_RESTRICTIONS, 1, credentials=credentials_of(account))
    seen = repr([vars(record) for record in records]) + str(raised.value) + repr(client)

    assert not [record.name for record in records if record.name.startswith("http")]
    assert 2 == len(signatures)
    assert "it works" in seen
    assert not [text for text in (account.api_key, account.secret_key, *signatures, "recvWindow") if str(text) in seen]
