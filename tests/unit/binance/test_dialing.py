"""Dials that succeed: what they open, which addresses they try, and the date of their handshake."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from support.dials import PATH, answering, at, dropping_packets, exchange, first_answer, refusal_of, resolve
from support.proxies import PROXY_USER, Proxy, listen
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from exporter.binance.dialing import Endpoint, handshake_date_ms, open_socket

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response


class TestOpening:
    """Dials that succeed."""

    async def test_open_socket_carries_messages_without_compression_or_limit_of_a_mebibyte(self) -> None:
        """A socket carries frames both ways, offers no compression and takes frames of more than 1 MiB."""
        heads: list[Request] = []

        def record(_: ServerConnection, request: Request) -> None:
            heads.append(request)

        async with exchange(process_request=record, max_size=None) as port, await open_socket(at(port)) as connection:
            await connection.send("x" * (2**20 + 1))
            length = len(await connection.recv())

        assert (2**20 + 1, [PATH]) == (length, [head.path for head in heads])
        assert "Sec-WebSocket-Extensions" not in heads[0].headers

    async def test_nothing_is_logged_of_handshake_and_frames(self, caplog: pytest.LogCaptureFixture) -> None:
        """Even at debug level the client logs no headers and no frames."""
        caplog.set_level(logging.DEBUG)
        async with exchange() as port, answering(b"HTTP/1.1 403 Forbidden\r\n\r\n") as forbidden:
            await first_answer(at(port))
            await refusal_of(at(forbidden))
        loggers = {record.name for record in caplog.records}

        assert set() == loggers - {"websockets.server", "asyncio"}

    @pytest.mark.parametrize(
        ("date", "milliseconds"),
        [
            ("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480500),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("soon", None),
            ("", None),
            (None, None),
        ],
    )
    async def test_date_of_the_handshake_is_the_middle_of_its_second(
        self, date: str | None, milliseconds: int | None
    ) -> None:
        """The handshake's date is the middle of its second; None if there is none, or if it cannot be true."""

        def redate(_: ServerConnection, __: Request, response: Response) -> Response:
            del response.headers["Date"]
            if date is not None:
                response.headers["Date"] = date
            return response

        async with exchange(process_response=redate) as port, await open_socket(at(port)) as connection:
            failure = handshake_date_ms(connection)

        assert milliseconds == failure

    async def test_socket_without_an_answer_has_no_date(self) -> None:
        """Before the handshake there is no date."""
        assert None is handshake_date_ms(ClientConnection(ClientProtocol(parse_uri("ws://localhost"))))


class TestAddresses:
    """Names with several addresses."""

    @pytest.mark.parametrize("way", ["direct", "http", "socks5", "socks5h"])
    async def test_second_address_is_tried_while_the_first_drops_packets(
        self, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The endpoint's and a proxy's name lead to the address that answers when the first one drops packets."""
        proxy = Proxy()
        serve_proxy = proxy.http if way == "http" else proxy.socks
        async with exchange() as port, listen(serve_proxy) as proxy_port:
            answering_port = port if way == "direct" else proxy_port
            with dropping_packets("127.0.0.2", answering_port) as dropping:
                resolve(monkeypatch, {"several.test": [dropping, ("127.0.0.1", answering_port)]})
                direct = at(port, host="several.test")
                proxied = at(port, proxy=f"{way}://{PROXY_USER}@several.test:{proxy_port}")
                answer = await first_answer(direct if way == "direct" else proxied)

        assert "币安" == answer


def test_endpoint_shows_only_its_label() -> None:
    """An endpoint's repr contains neither URL nor proxy, and equal endpoints are the same key."""
    endpoints = [Endpoint("mainnet", "wss://x/?k=1", f"http://{PROXY_USER}@proxy:1") for _ in range(2)]

    assert "Endpoint(mainnet)" == f"{endpoints[0]}" == repr(endpoints[0])
    assert 1 == len(set(endpoints))
