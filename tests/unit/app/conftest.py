"""Exporters for alice and bob."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import reloads, rest_system

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator import SimulatedExchange


@pytest.fixture
def reloadable(virtual_time: None, exchange: SimulatedExchange, tmp_path: Path) -> reloads.System:
    """An exporter whose configuration a test reloads, not running yet."""
    return reloads.System(exchange, tmp_path)


@pytest.fixture
def system(virtual_time: None, exchange: SimulatedExchange, tmp_path: Path) -> rest_system.System:
    """An exporter with everything that REST provides enabled, not running yet."""
    return rest_system.System(exchange, tmp_path)
