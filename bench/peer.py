"""What every peer of the poll benchmark has in common; it needs nothing but the standard library.

`python -m bench.poll_… ABOUT WARM_UP POLLS`: ABOUT is JSON that tells the exchange's URL, a key, how many positions
there are and which families to set. It prints the CPU seconds of one poll.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

About = dict[str, Any]


class Peer(NamedTuple):
    """A connected client: polls once, and returns the text that would be scraped."""

    poll: Callable[[], Awaitable[None]]
    text: Callable[[], bytes]


def run(connect: Callable[[About], AbstractAsyncContextManager[Peer]]) -> None:
    """Poll as the command line says, and print the CPU seconds of one poll."""
    about, warm_up, polls = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    print(asyncio.run(_measure(connect, about, warm_up, polls)))


async def _measure(
    connect: Callable[[About], AbstractAsyncContextManager[Peer]], about: About, warm_up: int, polls: int
) -> float:
    async with connect(about) as peer:
        for _ in range(warm_up):
            await peer.poll()
        began = time.process_time()
        for _ in range(polls):
            await peer.poll()
        spent = time.process_time() - began
        if peer.text().count(b"position_notional{") != about["positions"]:
            raise SystemExit("the positions did not arrive")
    return spent / polls
