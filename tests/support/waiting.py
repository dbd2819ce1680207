"""Waiting for conditions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable


PATIENCE_SECONDS = 120.0  # for slow machines


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    pause = 0.05 if isinstance(asyncio.get_running_loop(), VirtualTimeLoop) else 0.005
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a condition has no event
            await asyncio.sleep(pause)
