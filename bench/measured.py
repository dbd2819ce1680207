"""The exporter as the command line runs it, with a look at its event loop: prints its URL, then how late the loop was.

For each line of standard input it prints the delays since the last one, in seconds, as a line of JSON; it ends with
that input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from exporter import config as configuration
from exporter import log
from exporter.app.service import Service, WebSettings
from exporter.threads import DaemonThreads
from exporter.web.server import ListenAddress

_LOOK_EVERY_SECONDS: Final = 0.05


async def main(path: Path) -> None:
    """Poll and serve what the configuration at `path` says until standard input ends."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(DaemonThreads())
    delays: list[float] = []

    def answer() -> None:
        if not os.read(sys.stdin.fileno(), 100):
            loop.remove_reader(sys.stdin)
            stop.set()
            return
        print(json.dumps(delays), flush=True)
        delays.clear()

    async def look() -> None:
        while True:
            due = time.monotonic() + _LOOK_EVERY_SECONDS
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            delays.append(max(time.monotonic() - due, 0.0))

    service = Service(configuration.load(path, {}), WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)))
    print(*service.bind(), flush=True)
    loop.add_reader(sys.stdin, answer)
    looking = asyncio.create_task(look())
    await service.run(stop)
    looking.cancel()


if __name__ == "__main__":
    log.configure("warning", "json")
    asyncio.run(main(Path(sys.argv[1])))
