"""The fault table: what the exchange or the network may do, and what the exporter shows meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.fault_loop import FaultLoop, set_clocks
from support.fault_rows_answers import ANSWERS
from support.fault_rows_connections import CONNECTIONS
from support.fault_rows_values import VALUES
from support.fault_runner import run_fault
from support.fault_table import FaultRow, Result

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = (*CONNECTIONS, *ANSWERS, *VALUES)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_survived(
    fault: FaultRow, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """The exporter survives a fault, shows nothing false meanwhile, counts the reason and recovers."""
    set_clocks(monkeypatch)
    result = Result()
    try:
        with asyncio.Runner(loop_factory=FaultLoop) as runner:
            runner.run(run_fault(fault, result))
    finally:
        record_property("fault", result.row(fault))
