"""An exchange with one account, its clock, and a client of its REST side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.rest_client import RestClient

from exporter.simulator import SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.clocks import Clock


@pytest.fixture
async def exchange(clock: Clock) -> AsyncIterator[SimulatedExchange]:
    """Run an exchange with one account."""
    async with SimulatedExchange([SimulatedAccount("main")], clock=clock) as running:
        yield running


@pytest.fixture
def client(exchange: SimulatedExchange, clock: Clock) -> Iterator[RestClient]:
    """Return a client of the exchange."""
    with RestClient(exchange, clock) as connected:
        yield connected
