"""Dials through proxies: which one they use, and what the errors of proxies mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.dials import answering, at, exchange, first_answer, refusal_of, resolve
from support.ports import closed_port
from support.proxies import PROXY_USER, Proxy, listen

from exporter.binance.advice import advise_on_dial_failure
from exporter.binance.dialing import name_environment_proxy
from exporter.binance.errors import DisconnectReason

if TYPE_CHECKING:
    import asyncio


class TestDials:
    """Sockets that leave through a proxy."""

    @pytest.mark.parametrize(
        ("variable", "url"),
        [
            ("", "http://{}"),
            ("", "socks5://{}"),
            ("http_proxy", "http://{}"),
            ("HTTP_PROXY", "{}"),
            ("ALL_PROXY", "{}"),
            ("all_proxy", "socks5h://{}"),
            ("socks_proxy", "socks5://{}"),
            ("SOCKS_PROXY", "{}"),
        ],
    )
    async def test_socket_goes_through_the_proxy(
        self, variable: str, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The socket goes through the proxy of the configuration or the environment, with its password."""
        proxy = Proxy()
        socks = "socks" in f"{variable}{url}".lower()
        async with exchange() as port, listen(proxy.socks if socks else proxy.http) as proxy_port:
            url = url.format(f"{PROXY_USER}@127.0.0.1:{proxy_port}")
            if variable:
                monkeypatch.setenv(variable, url)
            answer = await first_answer(at(port, proxy=None if variable else url))

        assert ("币安", [("127.0.0.1", port)]) == (answer, proxy.targets)

    @pytest.mark.parametrize(("proxy_setting", "excluded"), [("none", ""), (None, "127.0.0.1")])
    async def test_proxy_of_the_environment_is_not_used_where_excluded(
        self, proxy_setting: str | None, excluded: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The environment's proxy is not used where the configuration or NO_PROXY excludes it."""
        proxy = Proxy()
        async with exchange() as port, listen(proxy.http) as proxy_port:
            monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy_port}")
            monkeypatch.setenv("NO_PROXY", excluded)
            answer = await first_answer(at(port, proxy=proxy_setting))

        assert ("币安", []) == (answer, proxy.targets)

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    async def test_proxy_that_is_not_there_is_reported_without_its_password(self, kind: str) -> None:
        """A proxy that does not listen is reported as such, without its password and address."""
        with closed_port() as port:
            refusal = await refusal_of(at(443, proxy=f"{kind}://{PROXY_USER}@127.0.0.1:{port}"))

        assert (DisconnectReason.UNREACHABLE, "cannot connect to the proxy: connection refused") == (
            refusal.reason,
            refusal.message,
        )
        assert "check the proxy's scheme, host and port" in advise_on_dial_failure(refusal)

    @pytest.mark.usefixtures("virtual_time")
    @pytest.mark.parametrize("kind", ["http", "socks5"])
    async def test_proxy_that_does_not_answer_is_reported(self, kind: str) -> None:
        """A proxy that accepts the connection and never answers is named, not the exchange."""

        async def stay_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listen(stay_silent) as port:
            refusal = await refusal_of(at(443, proxy=f"{kind}://127.0.0.1:{port}"))

        assert (DisconnectReason.UNREACHABLE, "cannot connect to the proxy: handshake timed out after 10 s") == (
            refusal.reason,
            refusal.message,
        )

    async def test_unusable_variable_is_named_and_nothing_is_dialled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable that names no usable proxy fails the dial, which must not leave by another IP, and is named."""
        monkeypatch.setenv("ALL_PROXY", "ftp://proxy:1")
        async with exchange() as port:
            refusal = await refusal_of(at(port, proxy=None))

        assert refusal.message.startswith("ALL_PROXY is invalid: ")
        assert "" == name_environment_proxy(at(port, proxy=None))


class TestRefusals:
    """Refusals by proxies."""

    @pytest.mark.parametrize(
        ("status", "words", "advice"),
        [
            (407, "HTTP status 407 (Proxy Authentication Required)", "user and password"),
            (403, "HTTP status 403 (Forbidden)", "forbids this host or port"),
            (429, "HTTP status 429 (Too Many Requests)", "rate limit"),
            (502, "HTTP status 502 (Bad Gateway)", "cannot reach the exchange"),
            (504, "HTTP status 504 (Gateway Timeout)", "cannot reach the exchange"),
            (501, "HTTP status 501 (Not Implemented)", "does not support CONNECT"),
            (405, "HTTP status 405 (Method Not Allowed)", "CONNECT to this port"),
            (400, "HTTP status 400 (Bad Request)", "check that the scheme"),
            (599, "HTTP status 599", "cannot reach the exchange"),
        ],
    )
    async def test_status_of_an_http_proxy_is_reported_with_advice(self, status: int, words: str, advice: str) -> None:
        """An HTTP proxy's status is reported as the proxy's, with matching advice and without the proxy's text."""
        answer = f"HTTP/1.1 {status} {PROXY_USER}\r\nContent-Length: 0\r\n\r\n"
        async with listen(Proxy(answer.encode()).http) as port:
            refusal = await refusal_of(at(443, proxy=f"http://{PROXY_USER}@127.0.0.1:{port}"))

        assert (DisconnectReason.UNREACHABLE, None) == (refusal.reason, refusal.status)
        assert f"the proxy responded with {words}" == refusal.message
        assert advice in advise_on_dial_failure(refusal)

    @pytest.mark.parametrize(
        ("reply", "words", "advice"),
        [
            (1, "general failure", "socks5h://"),
            (2, "connection not allowed by its ruleset", "forbids this host or port"),
            (3, "network unreachable", "socks5h://"),
            (4, "host unreachable", "socks5h://"),
            (5, "connection refused by the destination", "endpoint's host and port"),
            (6, "TTL expired", "socks5h://"),
            (7, "command not supported", "does not support CONNECT"),
            (8, "address type not supported", "socks5h://"),
        ],
    )
    async def test_reply_of_a_socks_proxy_is_reported_with_advice(self, reply: int, words: str, advice: str) -> None:
        """A SOCKS proxy's reply is reported in words, with matching advice."""
        async with listen(Proxy(socks_reply=reply).socks) as port:
            refusal = await refusal_of(at(443, proxy=f"socks5://{PROXY_USER}@127.0.0.1:{port}"))

        assert (DisconnectReason.UNREACHABLE, f"the SOCKS proxy replied: {words}") == (refusal.reason, refusal.message)
        assert advice in advise_on_dial_failure(refusal)

    @pytest.mark.parametrize(
        ("user", "words"),
        [
            ("desk:wrong@", "the SOCKS proxy rejected the user or password"),
            ("", "the SOCKS proxy accepts none of the offered authentication methods"),
        ],
    )
    async def test_refused_login_of_a_socks_proxy_is_reported(self, user: str, words: str) -> None:
        """A SOCKS proxy that wants another password, or one at all, is reported with advice on credentials."""
        async with listen(Proxy().socks) as port:
            refusal = await refusal_of(at(443, proxy=f"socks5://{user}127.0.0.1:{port}"))

        assert words == refusal.message
        assert "user and password" in advise_on_dial_failure(refusal)

    async def test_socks4_refusal_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A SOCKS4 proxy, which the environment may name, is reported with its reply."""

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(9)
            writer.write(b"\x00\x5b" + bytes(6))

        async with listen(refuse) as port:
            monkeypatch.setenv("ALL_PROXY", f"socks://127.0.0.1:{port}")
            refusal = await refusal_of(at(443, proxy=None))

        assert "the SOCKS proxy replied: request rejected or failed" == refusal.message

    @pytest.mark.parametrize(
        ("scheme", "answer", "words"),
        [
            ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "the proxy's response is not valid SOCKS"),
            ("socks5", b"", "the SOCKS proxy closed the connection"),
            ("http", b"\x05\xff", "unexpected response from the proxy"),
            ("http", b"", "unexpected response from the proxy"),
        ],
    )
    async def test_proxy_of_another_protocol_is_reported(self, scheme: str, answer: bytes, words: str) -> None:
        """A proxy that does not speak its URL's protocol is reported with advice on the scheme."""

        async def answer_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(answer)

        async with listen(answer_anything) as port:
            refusal = await refusal_of(at(443, proxy=f"{scheme}://127.0.0.1:{port}"))

        assert words == refusal.message
        assert "check that the scheme" in advise_on_dial_failure(refusal)

    async def test_name_that_this_host_cannot_resolve_is_the_endpoints(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With socks5:// a name that cannot be resolved here is reported as the endpoint's, not as the proxy's."""
        resolve(monkeypatch, {"exchange.invalid": []})
        async with listen(Proxy().socks) as port:
            refusal = await refusal_of(at(443, "wss", "exchange.invalid", f"socks5://{PROXY_USER}@127.0.0.1:{port}"))

        assert DisconnectReason.DNS is refusal.reason
        assert refusal.message.startswith("cannot resolve host name: ")
        assert "socks5h://" in advise_on_dial_failure(refusal)

    async def test_answer_of_the_exchange_through_a_proxy_is_the_exchanges(self) -> None:
        """A handshake that the exchange refuses through a proxy keeps its status."""
        async with answering(b"HTTP/1.1 451 No\r\n\r\n") as port, listen(Proxy().http) as proxy_port:
            refusal = await refusal_of(at(port, proxy=f"http://{PROXY_USER}@127.0.0.1:{proxy_port}"))

        assert 451 == refusal.status
