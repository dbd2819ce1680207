"""What is imported where REST is not used."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from support.config_files import key_files
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator import SimulatedExchange

# Prints whether the HTTP library is loaded once it should be, or once the account has been polled.
_PROGRAM = """
import asyncio, sys
from pathlib import Path
from exporter.app.service import Service, WebSettings
from exporter.cli import main
from exporter.config import exporter_yml
from exporter.web.listen_address import ListenAddress

async def run():
    config = exporter_yml.load(Path(sys.argv[1]), {})
    service = Service(config, WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)))
    service.bind()
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    (state,) = service._fleet.states
    while not ("httpx" in sys.modules if sys.argv[2] == "True" else state.polls):
        await asyncio.sleep(0.1)
    stop.set()
    await running

asyncio.run(run())
print({"httpx", "httpcore"} & set(sys.modules) != set())
"""


@pytest.mark.parametrize("enabled", [False, True])
async def test_http_library_is_loaded_only_if_used(
    exchange: SimulatedExchange, tmp_path: Path, *, enabled: bool
) -> None:
    """Without REST the HTTP library is not loaded, which saves memory; with a key check it is."""
    path = key_files(tmp_path)
    account = {"name": "main", "api_key_file": "main.key", "secret_key_file": "main.secret"}
    binance = {"endpoint": exchange.url, "rest_endpoint": exchange.rest_url, "proxy": "none"}
    path.write_text(yaml.safe_dump({"binance": binance, "accounts": [account], "key_check": {"enabled": enabled}}))

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _PROGRAM, str(path), str(enabled)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    )

    assert str(enabled) == done.stdout.splitlines()[-1]
