"""A fault of `simulate --fault`, and the switch for faults of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from exporter.simulator.answer_edits import Replacement
    from exporter.simulator.server import SimulatedExchange

    Switch = Callable[[SimulatedExchange], ExitStack]


class Fault(NamedTuple):
    """A fault, on until the stack that `switch` returns is closed; `help` must fit on a line with the name."""

    help: str
    switch: Switch


def answers(replacement: Callable[[], Replacement], method: str | None = None) -> Switch:
    """Return the switch of a fault that replaces answers; it gets another replacement each time it is switched on."""
    return lambda exchange: exchange.replace_answer(method, None, replacement())
