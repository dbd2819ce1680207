"""One client's connection, which can stall or be reset, even during its handshake.

This is the only module of the simulator that uses websockets beyond its documentation: it overrides methods of its
connections, writes to their transports and serializes frames.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

if TYPE_CHECKING:
    import asyncio


class ConnectionFaults(Protocol):
    """The part of `Faults` that a connection uses."""

    connections: set[Connection]

    def on_accept(self, connection: Connection) -> None:
        """Apply the faults of new connections."""

    def handshake_garbage(self) -> bytes | None:
        """Return what a handshake is answered with instead of HTTP."""


class Connection(ServerConnection):
    """A connection subject to `faults`.

    `requests` counts its requests; `unread` holds what arrived while it was stalled. For REST, `rest` is set: it gets
    what arrives after the first request.
    """

    faults: ClassVar[ConnectionFaults]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, and apply the faults of new connections."""
        self.requests = 0
        self._stalls = 0
        self.unread = bytearray()
        self.rest: asyncio.StreamReader | None = None
        super().connection_made(transport)
        self.faults.connections.add(self)
        self.faults.on_accept(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self.faults.connections.discard(self)
        if self.rest is not None:
            self.rest.feed_eof()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read from the client, unless stalled."""
        garbage = self.faults.handshake_garbage()
        if self.stalled:
            self.unread += data
        elif self.rest is not None:
            self.rest.feed_data(data)
        elif self.request is None and garbage is not None:
            self.transport.write(garbage)
            self.hang_up()
        else:
            super().data_received(data)

    def send_data(self) -> None:
        """Write what is due, pongs included, unless stalled."""
        if not self.stalled:
            super().send_data()

    @property
    def stalled(self) -> bool:
        """Whether nothing is read or written."""
        return self._stalls > 0

    def stall(self) -> ExitStack:
        """Stop reading and writing while TCP stays open; closing the stack resumes with what was held back."""
        self._stalls += 1
        undo = ExitStack()
        undo.callback(self._resume)
        return undo

    def write(self, data: bytes, *, cut: bool = False) -> None:
        """Write bytes as they are, or half of them and then reset the connection."""
        if not self.stalled:
            self.transport.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.transport.abort()

    def cut(self, data: str | bytes) -> None:
        """Send half of a frame, then reset the connection."""
        opcode, payload = (Opcode.TEXT, data.encode()) if isinstance(data, str) else (Opcode.BINARY, data)
        self.write(Frame(opcode, payload).serialize(mask=False), cut=True)

    def hang_up(self) -> None:
        """Close the connection without a close frame once everything has been sent."""
        self.transport.close()

    def drop(self) -> None:
        """Reset the connection without a close frame."""
        self.transport.abort()

    def _resume(self) -> None:
        self._stalls -= 1
        if self.stalled or self.state is State.CLOSED or self.transport.is_closing():
            return
        unread, self.unread = bytes(self.unread), bytearray()
        self.data_received(unread)
