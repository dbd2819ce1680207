"""Why dials fail and why open connections end, each with a reason and a message without an IP address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.dials import answering, at, dropping_packets, exchange, refusal_of, resolve
from support.ports import closed_port
from support.proxies import listen
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidURI

from exporter.binance import dialing
from exporter.binance.dialing import open_socket
from exporter.binance.disconnects import DialFailure, explain_dial_failure, explain_disconnect
from exporter.binance.errors import DisconnectReason

if TYPE_CHECKING:
    import asyncio

    from websockets.asyncio.server import ServerConnection


async def loss_of(port: int) -> tuple[DisconnectReason, str]:
    """Return why an open socket ended."""
    connection = await open_socket(at(port))
    with pytest.raises(ConnectionClosed) as caught:
        await connection.recv()
    return explain_disconnect(caught.value)


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
        with closed_port() as port:
            failure = await refusal_of(at(port))

        assert DialFailure(DisconnectReason.UNREACHABLE, "connection refused") == failure

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
    async def test_unknown_host_name_is_a_dns_failure(
        self, monkeypatch: pytest.MonkeyPatch, proxy: str, words: str
    ) -> None:
        """A host name that cannot be resolved is reported as such, a proxy's as the proxy's."""
        resolve(monkeypatch, {"exchange.invalid": [], "proxy.invalid": []})
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
