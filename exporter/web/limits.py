"""Every limit of the scrape server, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients can take of the server; docs/security.md states the sums."""

    # Connections
    connections: int = 512
    accepted_at_once: int = 16  # before other tasks run
    out_of_files_seconds: float = 0.1  # until connections are accepted again
    send_buffer_bytes: int = 128 * 1024  # of the system (Linux doubles it); the default grows to 4 MiB
    receive_buffer_bytes: int = 32 * 1024  # likewise
    idle_seconds: float = 75.0  # longer than usual scrape intervals, so that Prometheus need not reconnect

    # Requests
    head_seconds: float = 10.0  # for a TLS handshake, and again for a request's line and headers
    head_bytes: int = 16 * 1024
    headers: int = 100
    slice_bytes: int = 4096  # parsed before the limits are checked again
    pipelined: int = 8  # requests that wait for earlier responses
    ahead_bytes: int = 64 * 1024  # received during a response, or after the last one

    # Responses
    answer_seconds: float = 60.0  # from a request's last header until its response has been read
    unsent_bytes: int = 32 * 1024  # in asyncio's buffer before a response waits; with TLS the default is 512 KiB
    piece_bytes: int = 64 * 1024  # of a body, written at a time
    body_bytes: int = 64 * 1024 * 1024  # of all bodies that are being sent, shared ones counted once

    # The end of a connection
    closing_seconds: float = 5.0  # for the client to read the rest and close its side
    tls_closing_seconds: float = 1.0  # likewise, before the end is sent: TLS can read nothing after that
    grace_seconds: float = 0.8  # how long a stop waits for responses in progress

    # Passwords
    checks: int = 256  # that wait
    checks_of_client: int = 16  # likewise, of one address
    wrong_passwords: int = 1024  # remembered
