"""A clock and an account of simulated exchanges."""

from __future__ import annotations

import pytest
from support.clocks import Clock

from exporter.simulator import SimulatedAccount


@pytest.fixture
def clock() -> Clock:
    """A stopped clock, at 22:13:30 UTC."""
    return Clock(1_700_000_010.0)


@pytest.fixture
def account() -> SimulatedAccount:
    """An account whose key signs fast."""
    return SimulatedAccount("main")
