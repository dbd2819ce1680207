"""What is imported where REST is not used."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from support.config_files import key_files

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

# Prints whether the HTTP library is loaded after the exporter ran for a while.
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
    for _ in range(int(sys.argv[2])):
        await asyncio.sleep(0.1)
        if "httpx" in sys.modules:
            break
    stop.set()
    await running

asyncio.run(run())
print({"httpx", "httpcore"} & set(sys.modules) != set())
"""


@pytest.mark.parametrize(("enabled", "rounds"), [(False, 20), (True, 600)])
async def test_http_library_is_loaded_only_if_used(
    exchange: Any, tmp_path: Path, rounds: int, *, enabled: bool
) -> None:
    """Without REST the HTTP library is not loaded, which saves memory; with a key check it is."""
    path = key_files(tmp_path)
    account = {"name": "main", "api_key_file": "main.key", "secret_key_file": "main.secret"}
    binance = {"endpoint": exchange.url, "rest_endpoint": exchange.rest_url, "proxy": "none"}
    path.write_text(yaml.safe_dump({"binance": binance, "accounts": [account], "key_check": {"enabled": enabled}}))

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _PROGRAM, str(path), str(rounds)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )

    assert str(enabled) == done.stdout.splitlines()[-1]
