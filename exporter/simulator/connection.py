"""One client's connection: known before its handshake is over, and able to fall silent or to break."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

if TYPE_CHECKING:
    import asyncio


class ConnectionFaults(Protocol):
    """What a connection uses of `Faults`."""

    connections: set[Connection]

    def meet(self, connection: Connection) -> None:
        """Apply the faults of an opening."""

    def handshake_garbage(self) -> bytes | None:
        """Return what a handshake is answered with instead of HTTP."""


class Connection(ServerConnection):
    """A connection of the exchange whose toggles are `faults`.

    `taken` counts its requests, `unheard` holds what arrived while it was silent.
    """

    faults: ClassVar[ConnectionFaults]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be known from now on, and meet the faults of an opening."""
        self.taken = 0
        self._silences = 0
        self.unheard = bytearray()
        super().connection_made(transport)
        self.faults.connections.add(self)
        self.faults.meet(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be forgotten."""
        self.faults.connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hear the client, unless silent."""
        garbage = self.faults.handshake_garbage()
        if self.silent:
            self.unheard += data
        elif self.request is None and garbage is not None:
            self.transport.write(garbage)
            self.transport.close()
        else:
            super().data_received(data)

    def send_data(self) -> None:
        """Say what is to be said, pongs included, unless silent."""
        if not self.silent:
            super().send_data()

    @property
    def silent(self) -> bool:
        """Whether nothing is heard or said."""
        return self._silences > 0

    def silence(self) -> ExitStack:
        """Neither hear nor say anything, while TCP lives on; what was held back follows when the stack is closed."""
        self._silences += 1
        undo = ExitStack()
        undo.callback(self._speak)
        return undo

    def cut(self, data: str | bytes) -> None:
        """Break off in the middle of a frame."""
        opcode, payload = (Opcode.TEXT, data.encode()) if isinstance(data, str) else (Opcode.BINARY, data)
        written = Frame(opcode, payload).serialize(mask=False)
        if not self.silent:
            self.transport.write(written[: len(written) // 2])
        self.transport.abort()

    def drop(self) -> None:
        """Break off without a word."""
        self.transport.abort()

    def _speak(self) -> None:
        self._silences -= 1
        if self.silent or self.state is State.CLOSED or self.transport.is_closing():
            return
        unheard, self.unheard = bytes(self.unheard), bytearray()
        self.data_received(unheard)
