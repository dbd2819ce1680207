"""The event loop of the fault table: its timers and the clocks of exporter and exchange are virtual.

Sockets, servers and processor time are real.
"""

from __future__ import annotations

import asyncio
import math
import socket
from typing import TYPE_CHECKING, Any, Final

from exporter.binance import clock
from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    import pytest

MIDNIGHT: Final = 1_760_054_400.0


class FaultLoop(VirtualTimeLoop):
    """An event loop in virtual time. The name `exchange.test` resolves to this machine while `resolves`.

    `host_ahead_seconds` is how far the host's wall clock is ahead of the exchange's.
    """

    def __init__(self) -> None:
        # What is written to a local socket can normally be read at once; the rests are for when it is late.
        super().__init__(shortest_leap=0.5, longest_leap=math.inf, leaps_between_rests=3)
        self.resolves = True
        self.host_ahead_seconds = 0.0

    def exchange_clock(self) -> float:
        """Return the exchange's time, in seconds since the epoch."""
        return MIDNIGHT + self.time()

    def host_clock(self) -> float:
        """Return the host's time, in seconds since the epoch."""
        return MIDNIGHT + self.time() + self.host_ahead_seconds

    async def getaddrinfo(self, host: Any, port: Any, **kinds: Any) -> Any:
        """Resolve a name."""
        if host != "exchange.test":
            return await super().getaddrinfo(host, port, **kinds)
        if not self.resolves:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await super().getaddrinfo("127.0.0.1", port, **kinds)


def running_loop() -> FaultLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FaultLoop)
    return loop


class _Clocks:
    """Replaces the module `time` in `exporter.binance.clock`."""

    @staticmethod
    def clock_gettime(_clock: int) -> float:
        """Return monotonic seconds."""
        return running_loop().time()


def set_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the exporter's monotonic clock that of the running loop."""
    monkeypatch.setattr(clock, "time", _Clocks)
