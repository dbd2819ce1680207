"""The exporter that is soaked: as the command line runs it, but its connections are old after seconds.

It prints its URL, then a line of JSON about itself for each line of its standard input, and ends with that input.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import Final

from exporter import config as configuration
from exporter import log
from exporter.app.service import Service, WebSettings
from exporter.binance.dialing import Timing
from exporter.threads import DaemonThreads
from exporter.web.server import ListenAddress

ROTATE_BETWEEN_SECONDS: Final = (3.0, 6.0)
_TIMING: Final = Timing(
    rotate_between=ROTATE_BETWEEN_SECONDS,
    stable_after=1.0,
    clock_interval=5.0,
    clock_timeout=2.0,
    silence=3.0,
    forbidden=0.5,
    backoff_first=0.1,
    backoff_cap=1.0,
)


class _Malloc(ctypes.Structure):
    """What glibc's `mallinfo2` tells: ten figures, of which two are what was handed out, in pages and in pieces."""

    _fields_ = (
        ("_before", ctypes.c_size_t * 4),
        ("mapped_bytes", ctypes.c_size_t),
        ("_between", ctypes.c_size_t * 2),
        ("used_bytes", ctypes.c_size_t),
        ("_after", ctypes.c_size_t * 2),
    )
    mapped_bytes: int
    used_bytes: int


def _tell(mallinfo2: ctypes._NamedFuncPointer) -> dict[str, int]:
    malloc: _Malloc = mallinfo2()
    return {
        "tasks": len(asyncio.all_tasks()),
        "gc_objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "malloc_bytes": malloc.used_bytes + malloc.mapped_bytes,
    }


async def main(path: Path) -> None:
    """Poll and serve what the configuration at `path` says until standard input ends."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(DaemonThreads())
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Malloc

    def answer() -> None:
        question = os.read(sys.stdin.fileno(), 100)
        if not question:
            loop.remove_reader(sys.stdin)
            stop.set()
            return
        if question == b"collected\n":
            gc.collect()
        print(json.dumps(_tell(mallinfo2)), flush=True)

    # So that a leak of descriptors is measured, not cut short.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    config = configuration.load(path, {})
    service = Service(config, WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)), _TIMING)
    print(*service.bind(), flush=True)
    loop.add_reader(sys.stdin, answer)
    await service.run(stop)


if __name__ == "__main__":
    log.configure("info", "json")
    asyncio.run(main(Path(sys.argv[1])))
