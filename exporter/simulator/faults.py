"""Named faults of the exchange: each switch works at once, and is undone when the stack it returns is closed.

`exchange.delay_answers(3.0)` stays; `with exchange.delay_answers(3.0): ...` lasts for the block.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.server import ServerConnection

    from exporter.simulator.weight import RequestWeight

    Replacement = Callable[[dict[str, Any]], dict[str, Any] | str | bytes]


class Faults:
    """The switches, and what they are set to. `connections` holds every connection, also those still opening."""

    def __init__(self, clock: Callable[[], float], weight: RequestWeight) -> None:
        self._clock = clock
        self.weight = weight
        self.connections: set[ServerConnection] = set()
        self._skew_seconds = 0.0
        self._delay_seconds = 0.0
        self._answers_lost = False
        self._handshake_status: int | None = None
        self._replacements: list[tuple[str, str | None, Replacement]] = []

    def server_time(self) -> float:
        """Tell the time the exchange believes it is."""
        return self._clock() + self._skew_seconds

    def skew_clock(self, seconds: float) -> ExitStack:
        """Put the exchange's clock ahead of the clock it was given, or behind it."""
        return self._set("_skew_seconds", value=seconds)

    def delay_answers(self, seconds: float) -> ExitStack:
        """Hold every answer back; requests are still taken and judged at once."""
        return self._set("_delay_seconds", value=seconds)

    def lose_answers(self) -> ExitStack:
        """Take requests and never answer."""
        return self._set("_answers_lost", value=True)

    def reject_handshake(self, status: int) -> ExitStack:
        """Refuse new connections with an HTTP status."""
        return self._set("_handshake_status", value=status)

    def replace_answer(self, method: str, account: str | None, function: Replacement) -> ExitStack:
        """Alter the answers to a method, to one account or to all: to another answer, or to a raw frame."""
        entry = (method, account, function)
        self._replacements.append(entry)
        undo = ExitStack()
        undo.callback(self._replacements.remove, entry)
        return undo

    def ban(self, seconds: float) -> ExitStack:
        """Ban the IP, as after too many requests."""
        banned_before = self.weight.banned_until
        self.weight.banned_until = self.server_time() + seconds
        undo = ExitStack()
        undo.callback(setattr, self.weight, "banned_until", banned_before)
        return undo

    def drop_connections(self) -> None:
        """Cut every connection without a word."""
        for connection in list(self.connections):
            connection.transport.abort()

    async def send_raw(self, data: str | bytes) -> None:
        """Send a frame that nobody asked for to every client: text, or binary for bytes."""
        for connection in [each for each in self.connections if each.state is State.OPEN]:
            with suppress(ConnectionClosed):
                await connection.send(data)

    def _set(self, name: str, *, value: float | bool | None) -> ExitStack:
        undo = ExitStack()
        undo.callback(setattr, self, name, getattr(self, name))
        setattr(self, name, value)
        return undo

    def _replace(self, method: str, account: str | None, answer: dict[str, Any]) -> dict[str, Any] | str | bytes:
        for wanted, owner, function in self._replacements:
            if wanted == method and owner in {None, account}:
                return function(answer)
        return answer
