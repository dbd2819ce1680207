"""A REST client of the simulated exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.rest import Client, client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.simulator import SimulatedExchange


@pytest.fixture
async def client(exchange: SimulatedExchange) -> AsyncIterator[Client]:
    """A client of the exchange."""
    async with client_of(exchange.rest_url) as client:
        yield client
