"""Runs the exporter as the command does, with a view into its process: prints its URL, then answers commands.

`python -m bench.probe CONFIGURATION [--soak]` answers each line of standard input with a line of JSON, and ends when it
is closed: `delays` with the delays of the event loop since the last command, in seconds; `memory` with the memory in
use; `collected` with the same after a garbage collection. With `--soak`, connections are replaced every few seconds.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

from exporter import log
from exporter.app.service import Service, WebSettings
from exporter.binance.dialing import Timing
from exporter.config import exporter_yml
from exporter.threads import DaemonThreads
from exporter.web.listen_address import ListenAddress

_DELAY_SECONDS: Final = 0.05
_SOAK_TIMING: Final = Timing(
    rotate_between=(3.0, 6.0),
    stable_after=1.0,
    clock_interval=5.0,
    clock_timeout=2.0,
    silence_timeout=3.0,
    forbidden_delay=0.5,
    backoff_first=0.1,
    backoff_cap=1.0,
)


class _Malloc(ctypes.Structure):
    """glibc's `mallinfo2`: ten numbers, two of which are the bytes in use, in pages and in smaller blocks."""

    _fields_ = (
        ("_before", ctypes.c_size_t * 4),
        ("mapped_bytes", ctypes.c_size_t),
        ("_between", ctypes.c_size_t * 2),
        ("used_bytes", ctypes.c_size_t),
        ("_after", ctypes.c_size_t * 2),
    )
    mapped_bytes: int
    used_bytes: int


def _memory() -> dict[str, int]:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Malloc
    malloc: _Malloc = mallinfo2()
    return {
        "tasks": len(asyncio.all_tasks()),
        "gc_objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "malloc_bytes": malloc.used_bytes + malloc.mapped_bytes,
    }


async def main(path: Path, timing: Timing | None) -> None:
    """Run the exporter with the configuration at `path` until standard input is closed."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(DaemonThreads())
    delays: list[float] = []

    def answer() -> None:
        question = os.read(sys.stdin.fileno(), 100)
        if not question:
            loop.remove_reader(sys.stdin)
            stop.set()
            return
        if question == b"collected\n":
            gc.collect()
        result: Any = delays if question == b"delays\n" else _memory()
        print(json.dumps(result), flush=True)
        delays.clear()

    async def measure_delays() -> None:
        while True:
            due = time.monotonic() + _DELAY_SECONDS
            await asyncio.sleep(_DELAY_SECONDS)
            delays.append(max(time.monotonic() - due, 0.0))

    # So that a leak of descriptors is measured and does not hit the limit.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    web = WebSettings(addresses=(ListenAddress("127.0.0.1", 0),))
    service = Service(exporter_yml.load(path, {}), web, timing)
    print(*service.bind(), flush=True)
    loop.add_reader(sys.stdin, answer)
    measuring = asyncio.create_task(measure_delays())
    await service.run(stop)
    measuring.cancel()


if __name__ == "__main__":
    soak = "--soak" in sys.argv
    log.configure("info" if soak else "warning", "json")
    asyncio.run(main(Path(sys.argv[1]), _SOAK_TIMING if soak else None))
