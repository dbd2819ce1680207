"""Why a dial failed or a connection ended, as a reason to count and a message that may be logged."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from exporter.binance import dialing
from exporter.binance.errors import DisconnectReason, scrub
from exporter.binance.http_headers import retry_after_seconds
from exporter.binance.proxies import UnusableProxy, explain_proxy_error


@dataclass(frozen=True, slots=True)
class DialFailure:
    """Why a dial failed; the message may be logged, `status` and `retry_after_seconds` are those of HTTP."""

    reason: DisconnectReason
    message: str
    status: int | None = None
    retry_after_seconds: float | None = None
    advice: str = ""  # empty: see `advice.advise_on_dial_failure`


def explain_dial_failure(error: Exception) -> DialFailure:
    """Return why opening a socket failed."""
    match error:
        case InvalidStatus():
            status = error.response.status_code
            message = f"handshake rejected with HTTP status {status}"
            return DialFailure(DisconnectReason.REJECTED, message, status, retry_after_seconds(error.response.headers))
        case OSError() | UnicodeError() | EOFError() | InvalidMessage():
            return _explain_network_error(error)
        case dialing.ProxyFailure(__cause__=Exception() as cause):
            failure = explain_dial_failure(cause)
            proxy_reason = (
                failure.reason
                if failure.reason in {DisconnectReason.DNS, DisconnectReason.TLS}
                else DisconnectReason.UNREACHABLE
            )
            advice = "check the proxy's scheme, host and port, and that it is running and reachable from this host"
            return DialFailure(proxy_reason, f"cannot connect to the proxy: {failure.message}", advice=advice)
        case ProxyError():
            # Without the proxy's status: the exchange was not reached, and so does not ask for a pause.
            message, advice = explain_proxy_error(error)
            return DialFailure(DisconnectReason.UNREACHABLE, message, advice=advice)
        case UnusableProxy():
            return DialFailure(DisconnectReason.UNREACHABLE, str(error), advice="correct the proxy's URL")
        case InvalidProxy() | InvalidURI():
            # Their texts contain the whole URL, which may contain a password.
            return DialFailure(DisconnectReason.UNREACHABLE, "invalid URL")
        case _:
            reason = DisconnectReason.REJECTED if isinstance(error, InvalidHandshake) else DisconnectReason.UNREACHABLE
            return DialFailure(reason, scrub(f"{type(error).__name__}: {error}"))


def _explain_network_error(error: OSError | UnicodeError | EOFError | InvalidMessage) -> DialFailure:
    match error:
        case ssl.SSLCertVerificationError():
            return DialFailure(DisconnectReason.TLS, f"certificate verification failed: {scrub(error.verify_message)}")
        case ssl.SSLError():
            return DialFailure(DisconnectReason.TLS, f"TLS handshake failed: {scrub(error.reason or str(error))}")
        case socket.gaierror() | UnicodeError():
            problem = getattr(error, "strerror", "not a valid name")
            return DialFailure(DisconnectReason.DNS, f"cannot resolve host name: {problem}")
        case TimeoutError():
            reason, stage = (
                (DisconnectReason.UNREACHABLE, "TCP connection")
                if error.errno
                else (DisconnectReason.SILENT, "handshake")
            )
            return DialFailure(reason, f"{stage} timed out after {dialing.OPEN_TIMEOUT_SECONDS} s")
        case ConnectionRefusedError():
            return DialFailure(DisconnectReason.UNREACHABLE, "connection refused")
        case ConnectionError() | EOFError() | InvalidMessage():
            return DialFailure(DisconnectReason.RESET, "connection closed during the handshake")
        case _:
            return DialFailure(
                DisconnectReason.UNREACHABLE, scrub(error.strerror or str(error) or type(error).__name__)
            )


def explain_disconnect(closed: ConnectionClosed) -> tuple[DisconnectReason, str]:
    """Return why an open connection ended, and a message that may be logged."""
    if is_oversized(closed):
        return DisconnectReason.CLOSED, f"received a frame of more than {dialing.MAX_FRAME_BYTES} bytes"
    if closed.sent is not None and (closed.rcvd is None or not closed.rcvd_then_sent):
        if closed.sent.code == 1011:
            return DisconnectReason.SILENT, f"no pong within {dialing.PING_SECONDS} s"
        return DisconnectReason.CLOSED, f"closed by the exporter with code {closed.sent.code}"
    if closed.rcvd is not None:
        return DisconnectReason.CLOSED, scrub(
            f"closed by the exchange with code {closed.rcvd.code} {closed.rcvd.reason}"
        )
    return DisconnectReason.RESET, "connection reset"


def is_oversized(closed: ConnectionClosed) -> bool:
    """Whether this side closed the connection because a frame was too large; the exchange may do so, too."""
    return closed.sent is not None and closed.sent.code == 1009 and not closed.rcvd_then_sent
