"""The fault table: whatever the exchange or the network may do, and how the exporter lives through it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.fault_runner import Fault, Record, live_through
from support.fault_time import NightLoop, set_clocks
from support.faults_answers import ANSWERS
from support.faults_connection import CONNECTIONS
from support.faults_values import VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = (*CONNECTIONS, *ANSWERS, *VALUES)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_survived(
    fault: Fault, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """The exporter lives through a fault, shows nothing false meanwhile, counts the reason and recovers."""
    set_clocks(monkeypatch)
    record = Record()
    try:
        with asyncio.Runner(loop_factory=NightLoop) as runner:
            runner.run(live_through(fault, record))
    finally:
        record_property("fault", record.row(fault))
