"""An exporter whose configuration a test reloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.reloads import System

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator import SimulatedExchange


@pytest.fixture
def reloadable(virtual_time: None, exchange: SimulatedExchange, tmp_path: Path) -> System:
    """An exporter for alice and bob, not running yet."""
    return System(exchange, tmp_path)
