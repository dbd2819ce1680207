"""What happens to the clocks of a host: a suspend, a pause of its virtual machine, and a wall clock that is set ahead.

A suspend is simulated by time that passes while nothing runs, as for a loop whose clock continues meanwhile; a pause by
wall clocks that run ahead of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from exporter.simulator import SimulatedExchange
from support.counting_exchange import Host
from support.virtual_time import VirtualTimeLoop

THREE_HOURS: Final = 3 * 3600.0
ClockEvent = Callable[[SimulatedExchange, Host], None]


def pause(exchange: SimulatedExchange, host: Host) -> None:
    """Pause the virtual machine for three hours, which only the wall clocks show."""
    host.ahead_seconds += THREE_HOURS
    exchange.skew_clock(THREE_HOURS)


def set_ahead(_exchange: SimulatedExchange, host: Host) -> None:
    """Set the host's wall clock three hours ahead."""
    host.ahead_seconds += THREE_HOURS


def suspend(_exchange: SimulatedExchange, _host: Host) -> None:
    """Suspend the host for three hours."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.suspend(THREE_HOURS)
