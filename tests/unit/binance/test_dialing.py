"""Dials: how they are opened against real servers, why they fail, and why open connections end."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dials import answering, at, exchange, first_answer, refusal_of, resolve
from support.ports import free_port
from support.proxies import PROXY_USER, Proxy, certificate, listen
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidURI
from websockets.uri import parse_uri

from exporter.binance import dialing
from exporter.binance.advice import advise_on_dial_failure
from exporter.binance.dialing import (
    Backoff,
    Endpoint,
    Timing,
    handshake_date_ms,
    open_socket,
)
from exporter.binance.disconnects import DialFailure, explain_dial_failure, explain_disconnect
from exporter.binance.errors import DisconnectReason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    Behaviour = Callable[[ServerConnection], Awaitable[None]]

PATH = "/ws-fapi/v1"


@contextlib.contextmanager
def dropping_packets(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, int]]:
    """Return an address of this machine at which the kernel drops further SYNs, since its backlog is full."""
    with socket.socket() as full, contextlib.ExitStack() as clients:
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):  # the backlog is full after the first or second
            client = clients.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(full.getsockname())
        yield full.getsockname()


async def loss_of(port: int) -> tuple[DisconnectReason, str]:
    """Return why an open socket ended."""
    connection = await open_socket(at(port))
    with pytest.raises(ConnectionClosed) as caught:
        await connection.recv()
    return explain_disconnect(caught.value)


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
        [("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480500), ("", None), ("soon", None), (None, None)],
    )
    async def test_date_of_the_handshake_is_the_middle_of_its_second(
        self, date: str | None, milliseconds: int | None
    ) -> None:
        """The handshake's date is the middle of its second, None if it is missing or not a date."""

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


class TestRefusals:
    """Dials that fail."""

    @pytest.mark.parametrize(
        ("status", "header", "retry_after"),
        [
            *((status, "", None) for status in (200, 401, 403, 404, 451, 500)),
            (418, "Retry-After: 120", 120.0),
            (429, "retry-after: 7.5", 7.5),
            (503, "Retry-After: 0", 0.0),
            (503, "Retry-After: -5", 0.0),
            (429, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
            (429, "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 07:30:00 GMT", 120.0),
            (429, "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed Oct 21 07:30:00 2015", 120.0),
            (429, "Retry-After: Wed, 99 Oct 2015 07:28:00 GMT", None),
            (429, f"Retry-After: {'9' * 5000}", 1e9),
            (418, "Retry-After:", None),
            (418, "Retry-After: soon", None),
            (418, "Retry-After: nan", None),
            (418, "Retry-After: inf", 1e9),
            (418, "Retry-After: 1e308", 1e9),
            (418, "Retry-After: 1e400", 1e9),
            (418, "Retry-After: 120\r\nRetry-After: 240", 120.0),
        ],
    )
    async def test_rejected_handshake_reports_status_and_retry_after(
        self, status: int, header: str, retry_after: float | None
    ) -> None:
        """A handshake answered with HTTP is a refusal with its status and, in seconds, when to come back."""
        head = "\r\n".join([f"HTTP/1.1 {status} No", *([header] if header else []), "Content-Length: 0"])
        async with answering(f"{head}\r\n\r\n".encode()) as port:
            failure = await refusal_of(at(port))

        assert (
            DialFailure(DisconnectReason.REJECTED, f"handshake rejected with HTTP status {status}", status, retry_after)
            == failure
        )

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
    async def test_redirect_is_not_followed(self, status: int) -> None:
        """A redirect rejects the handshake, and its target gets no request."""
        requested: list[ServerConnection] = []

        async def record(connection: ServerConnection) -> None:
            requested.append(connection)

        async with exchange(record) as other:
            head = f"HTTP/1.1 {status} Moved\r\nLocation: ws://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n"
            async with answering(head.encode()) as port:
                failure = await refusal_of(at(port))

        assert (
            DialFailure(DisconnectReason.REJECTED, f"handshake rejected with HTTP status {status}", status),
            [],
        ) == (
            failure,
            requested,
        )

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    async def test_server_that_closes_is_a_reset(self, scheme: str) -> None:
        """A server that closes during the handshake has reset the connection."""

        async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with listen(close) as port:
            failure = await refusal_of(at(port, scheme))

        assert DialFailure(DisconnectReason.RESET, "connection closed during the handshake") == failure

    async def test_answer_that_is_no_websocket_is_named(self) -> None:
        """An answer that agrees to no WebSocket is a refusal that names what is wrong."""
        async with answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n") as port:
            failure = await refusal_of(at(port))

        assert DialFailure(DisconnectReason.REJECTED, "InvalidUpgrade: missing Connection header") == failure

    async def test_closed_port_refuses(self) -> None:
        """A port without a listener refuses the connection."""
        assert DialFailure(DisconnectReason.UNREACHABLE, "connection refused") == await refusal_of(at(free_port()))

    async def test_host_that_drops_packets_is_unreachable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A TCP connection that is never accepted is distinguished from a handshake that is never answered."""
        monkeypatch.setattr(dialing, "OPEN_TIMEOUT_SECONDS", 0.05)
        with dropping_packets() as (_, port):
            failure = await refusal_of(at(port))

        assert DialFailure(DisconnectReason.UNREACHABLE, "TCP connection timed out after 0.05 s") == failure

    async def test_name_that_cannot_be_encoded_is_of_dns(self) -> None:
        """A host name with a label that is too long cannot be resolved."""
        failure = await refusal_of(at(443, "wss", "x" * 70 + ".invalid"))

        assert DialFailure(DisconnectReason.DNS, "cannot resolve host name: not a valid name") == failure

    @pytest.mark.parametrize(
        ("proxy", "words"),
        [
            ("none", "cannot resolve host name: "),
            ("http://proxy.invalid:8080", "cannot connect to the proxy: cannot resolve host name: "),
            ("socks5://proxy.invalid:8080", "cannot connect to the proxy: cannot resolve host name: "),
        ],
    )
    async def test_unknown_host_name_is_a_dns_failure(self, proxy: str, words: str) -> None:
        """A host name that cannot be resolved is reported as such, a proxy's as the proxy's."""
        refusal = await refusal_of(at(443, "wss", "exchange.invalid", proxy))

        assert (DisconnectReason.DNS, True) == (refusal.reason, refusal.message.startswith(words))

    @pytest.mark.usefixtures("virtual_time")
    async def test_server_that_does_not_respond_is_silent(self) -> None:
        """A server that accepts the connection and never responds is given up."""

        async def stay_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listen(stay_silent) as port:
            failure = await refusal_of(at(port))

        assert DialFailure(DisconnectReason.SILENT, "handshake timed out after 10 s") == failure

    @pytest.mark.parametrize(
        ("error", "reason", "words"),
        [
            (OSError(113, "No route to host 203.0.113.7"), DisconnectReason.UNREACHABLE, "No route to host [ip]"),
            (OSError(), DisconnectReason.UNREACHABLE, "OSError"),
            (
                OSError("Multiple exceptions: [Errno 111] 203.0.113.7"),
                DisconnectReason.UNREACHABLE,
                "Multiple exceptions: [Errno 111] [ip]",
            ),
            (
                InvalidProxy("ftp://user:hunter22@proxy:1", "no such scheme"),
                DisconnectReason.UNREACHABLE,
                "invalid URL",
            ),
            (
                InvalidURI("wss://user:hunter22@host", "odd"),
                DisconnectReason.UNREACHABLE,
                "invalid URL",
            ),
            (ValueError("bad 203.0.113.7\n"), DisconnectReason.UNREACHABLE, "ValueError: bad [ip]"),
            (InvalidHandshake("odd"), DisconnectReason.REJECTED, "InvalidHandshake: odd"),
            (EOFError(), DisconnectReason.RESET, "connection closed during the handshake"),
            (ConnectionResetError(104, "reset"), DisconnectReason.RESET, "connection closed during the handshake"),
        ],
        ids=lambda parameter: type(parameter).__name__ if isinstance(parameter, Exception) else None,
    )
    def test_any_error_has_a_message_without_an_address(
        self, error: Exception, reason: DisconnectReason, words: str
    ) -> None:
        """Every error of a dial has a reason, and a message without an IP address."""
        assert DialFailure(reason, words) == explain_dial_failure(error)


class TestTls:
    """Certificates and host names are checked."""

    async def test_trusted_certificate_is_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate that the system trusts, for the configured host, is accepted."""
        tls = certificate(tmp_path, "127.0.0.1")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        async with exchange(ssl=tls) as port:
            answer = await first_answer(at(port, "wss"))

        assert "币安" == answer

    @pytest.mark.parametrize(
        ("name", "days", "trusted", "words"),
        [
            ("127.0.0.1", 1, False, "self-signed certificate"),
            ("127.0.0.1", -1, True, "certificate has expired"),
            ("203.0.113.7", 1, True, "IP address mismatch, certificate is not valid for '[ip]'."),
            ("exchange.test", 1, True, "IP address mismatch, certificate is not valid for '[ip]'."),
        ],
    )
    async def test_bad_certificate_is_refused(
        self, name: str, days: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
    ) -> None:
        """A certificate that is untrusted, expired or of another host is rejected with a message without an address."""
        tls = certificate(tmp_path, name, days)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        async with exchange(ssl=tls) as port:
            failure = await refusal_of(at(port, "wss"))

        assert DialFailure(DisconnectReason.TLS, f"certificate verification failed: {words}") == failure

    async def test_wrong_host_name_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A trusted certificate of another host name is refused."""
        tls = certificate(tmp_path, "exchange.test")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        async with exchange(ssl=tls) as port:
            failure = await refusal_of(at(port, "wss", "localhost"))

        assert (DisconnectReason.TLS, True) == (failure.reason, "not valid for 'localhost'" in failure.message)

    async def test_server_without_tls_is_reported(self) -> None:
        """A server without TLS is distinguished from one with a bad certificate."""

        async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()

        async with listen(speak_plainly) as port:
            failure = await refusal_of(at(port, "wss"))

        assert (DisconnectReason.TLS, True) == (failure.reason, failure.message.startswith("TLS handshake failed: "))


class TestDisconnects:
    """Open sockets that end."""

    @pytest.mark.parametrize(
        ("code", "reason", "words"),
        [
            (1000, "", "closed by the exchange with code 1000"),
            (1001, "24 hours are over", "closed by the exchange with code 1001 24 hours are over"),
            (1008, "too many from 203.0.113.7", "closed by the exchange with code 1008 too many from [ip]"),
        ],
    )
    async def test_close_frame_is_reported_with_code_and_reason(self, code: int, reason: str, words: str) -> None:
        """A close frame is reported with its code and its scrubbed reason."""
        async with exchange(lambda connection: connection.close(code, reason)) as port:
            assert (DisconnectReason.CLOSED, words) == await loss_of(port)

    async def test_broken_socket_is_a_reset(self) -> None:
        """A socket that ends without a close frame is a reset."""

        async def abort(connection: ServerConnection) -> None:
            connection.transport.abort()

        async with exchange(abort) as port:
            assert (DisconnectReason.RESET, "connection reset") == await loss_of(port)

    async def test_oversized_frame_ends_the_socket(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A frame above the limit ends the socket and is reported with the limit."""
        monkeypatch.setattr(dialing, "MAX_FRAME_BYTES", 1000)
        async with exchange(lambda connection: connection.send("x" * 1001)) as port:
            assert (DisconnectReason.CLOSED, "received a frame of more than 1000 bytes") == await loss_of(port)

    async def test_missing_pong_is_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that answers no ping is silent."""
        monkeypatch.setattr(dialing, "PING_SECONDS", 0.02)
        monkeypatch.setattr(dialing, "_CLOSE_TIMEOUT_SECONDS", 0.02)

        async def ignore_close(connection: ServerConnection) -> None:
            connection.transport.pause_reading()
            await connection.wait_closed()

        async with exchange(ignore_close, ping_interval=None) as port:
            failure = await loss_of(port)

        assert (DisconnectReason.SILENT, "no pong within 0.02 s") == failure

    async def test_socket_closed_by_this_program_is_reported_as_such(self) -> None:
        """A socket that this program closes is reported with this program's code."""
        async with exchange() as port:
            connection = await open_socket(at(port))
            await connection.close()
            with pytest.raises(ConnectionClosed) as caught:
                await connection.recv()

        assert (DisconnectReason.CLOSED, "closed by the exporter with code 1000") == explain_disconnect(caught.value)


class TestBackoff:
    """How long to wait before the next dial."""

    def test_delay_doubles_up_to_the_cap_and_begins_again(self) -> None:
        """The longest delay doubles from half a second to a minute, for ever, until it is reset."""
        backoff = Backoff(jitter=lambda: 1.0)
        delays = [backoff.next_seconds() for _ in range(5000)]
        backoff.reset()

        assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 4993] == delays
        assert 0.5 == backoff.next_seconds()

    @given(st.floats(0, 1), st.floats(0.001, 10), st.floats(10, 1000), st.integers(0, 40))
    def test_delay_is_any_part_of_the_longest(self, part: float, first: float, cap: float, tries: int) -> None:
        """A delay is the drawn part of the longest one."""
        backoff = Backoff(first, cap, lambda: part)
        delays = [backoff.next_seconds() for _ in range(tries + 1)]

        assert pytest.approx(part * min(cap, first * 2**tries)) == delays[-1]

    def test_jitter_is_random_by_default(self) -> None:
        """Without a given jitter the delay is random, up to the longest."""
        delays = {Backoff().next_seconds() for _ in range(20)}

        assert len(delays) > 1
        assert 0.0 <= min(delays) <= max(delays) <= Timing().backoff_first


def test_endpoint_shows_only_its_label() -> None:
    """An endpoint's repr contains neither URL nor proxy, and equal endpoints are the same key."""
    endpoints = [Endpoint("mainnet", "wss://x/?k=1", f"http://{PROXY_USER}@proxy:1") for _ in range(2)]

    assert "Endpoint(mainnet)" == f"{endpoints[0]}" == repr(endpoints[0])
    assert 1 == len(set(endpoints))


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (DialFailure(DisconnectReason.REJECTED, "x", 451), "this IP or region"),
        (DialFailure(DisconnectReason.REJECTED, "x", 403), "this IP or region"),
        (DialFailure(DisconnectReason.REJECTED, "x", 404), "the endpoint's URL"),
        (DialFailure(DisconnectReason.REJECTED, "x", 502), "internal error"),
        (DialFailure(DisconnectReason.DNS, "x"), "DNS servers"),
        (DialFailure(DisconnectReason.TLS, "x"), "certificates"),
        (DialFailure(DisconnectReason.RESET, "x"), ""),
        (DialFailure(DisconnectReason.REJECTED, "x", 400), ""),
    ],
)
def test_advice_fits_the_refusal(refusal: DialFailure, words: str) -> None:
    """What to do about a refused dial depends on who refused it, and how."""
    failure = advise_on_dial_failure(refusal)

    assert words in failure
    assert bool(words) is bool(failure)
