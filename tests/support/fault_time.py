"""Time that passes only while nothing happens: the loop's timers, the exporter's clocks and the exchange's go by it.

Minutes of waiting cost milliseconds, and what this machine does slowly takes no time at all: no deadline passes while
anything is still to be read, run or resolved. Sockets, servers and processor time stay real.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import socket
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

from exporter.binance import clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    import pytest

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

MIDNIGHT: Final = 1_760_054_400.0
# What is written to a socket of this machine can be read at once. Should it ever be late: every fourth leap waits, and
# of the ten seconds that a request is given a leap takes no more than half a second.
_LEAP_SECONDS: Final = 0.5
_WAITING_LEAPS: Final = 4
_WAIT_SECONDS: Final = 0.001
_THREADS_SECONDS: Final = 0.05


class _Selector(selectors.DefaultSelector):
    """Waits for sockets as ever, but for timers by leaping there."""

    def __init__(self, may_leap: Callable[[], bool], leap: Callable[[float], None]) -> None:
        super().__init__()
        self._may_leap = may_leap
        self._leap = leap
        self._leaps = itertools.cycle(range(_WAITING_LEAPS))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the sockets that are ready, none where time has passed instead."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None or not self._may_leap():
            return super().select(_THREADS_SECONDS)
        if not (ready := super().select(0 if next(self._leaps) else _WAIT_SECONDS)):
            self._leap(max(timeout, _LEAP_SECONDS))
        return ready


class NightLoop(asyncio.SelectorEventLoop):
    """An event loop with such a time. The name `exchange.test` leads to this machine while `resolves`.

    `host_ahead_seconds` is how far the host's wall clock is ahead of the exchange's.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._threads = 0
        self.resolves = True
        self.host_ahead_seconds = 0.0
        super().__init__(_Selector(lambda: self._threads == 0, self._leap))

    def time(self) -> float:
        """Tell the time in seconds."""
        return self._now

    def exchange_clock(self) -> float:
        """Tell the exchange's time, in seconds since the epoch."""
        return MIDNIGHT + self._now

    def host_clock(self) -> float:
        """Tell the host's time, in seconds since the epoch."""
        return MIDNIGHT + self._now + self.host_ahead_seconds

    async def getaddrinfo(self, host: Any, port: Any, **kinds: Any) -> Any:
        """Resolve a name."""
        if host != "exchange.test":
            return await super().getaddrinfo(host, port, **kinds)
        if not self.resolves:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await super().getaddrinfo("127.0.0.1", port, **kinds)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Arguments]], _Result], *args: *_Arguments
    ) -> asyncio.Future[_Result]:
        """Run something in a thread; no time passes meanwhile."""
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_over)
        return future

    def _thread_over(self, _future: asyncio.Future[Any]) -> None:
        self._threads -= 1

    def _leap(self, seconds: float) -> None:
        self._now += seconds


def night_loop() -> NightLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, NightLoop)
    return loop


class _Clocks:
    """What `exporter.binance.clock` knows as the module `time`."""

    @staticmethod
    def clock_gettime(_clock: int) -> float:
        """Tell monotonic seconds."""
        return night_loop().time()


def set_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the exporter's monotonic clock go by the running loop's."""
    monkeypatch.setattr(clock, "time", _Clocks)
