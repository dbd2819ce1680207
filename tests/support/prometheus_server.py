"""Runs real Prometheus, promtool and Alertmanager."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import httpx

from bench.prometheus import warnings_in
from support.http_clients import http_client
from support.program import Program, started
from support.tools import missing, needs
from support.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


PROMETHEUS_FLAGS = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
LISTENING = r'msg="Listening on".* address=(127\.0\.0\.1:\d+)'  # of all servers
CONFIGURATION = """\
global: {{scrape_interval: 3s, scrape_timeout: 3s}}
scrape_configs:
  - job_name: binance-futures
    static_configs: [{{targets: ['{target}']}}]
"""


async def query(client: httpx.AsyncClient, expression: str) -> list[Any]:
    """Return the instant vector of an expression."""
    response = await client.get("/api/v1/query", params={"query": expression})
    return list(response.json()["data"]["result"])


@contextlib.asynccontextmanager
async def scraping(folder: Path, configuration: str, *flags: str) -> AsyncIterator[tuple[httpx.AsyncClient, list[str]]]:
    """Run Prometheus in `folder`; yield a client, and a list that has its warnings and errors after the block.

    Its data is in `folder / "data"`.
    """
    (folder / "prometheus.yml").write_text(configuration)
    complaints: list[str] = []
    with started(folder, *PROMETHEUS_FLAGS, *flags, program="prometheus") as prometheus:
        url = f"http://{await asyncio.to_thread(prometheus.wait_for, LISTENING)}"
        async with http_client(url) as client:
            yield client, complaints
        await asyncio.to_thread(prometheus.end, signal.SIGTERM)
    complaints += warnings_in(prometheus.output)


async def until_ready(client: httpx.AsyncClient) -> None:
    """Wait until Prometheus answers queries."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/-/ready")).is_success:
                    break
            await asyncio.sleep(0.1)


async def until_all_are_up(client: httpx.AsyncClient) -> None:
    """Wait until Prometheus has seen the demo's four accounts up."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                if len(await query(client, "binance_futures_up == 1")) == 4:
                    break
            except (httpx.HTTPError, ValueError):
                pass  # still starting
            await asyncio.sleep(0.2)


def promtool(*arguments: str | Path, text: str = "") -> tuple[int, str]:
    """Run promtool with `text` as its input; return its exit code and all that it printed."""
    needs("promtool")
    command = [shutil.which("promtool") or "", *arguments]
    # Less garbage collection saves an eighth of the time of a unit test.
    environment = {**os.environ, "GOGC": "400"}
    done = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )
    return done.returncode, done.stdout


def alertmanager(folder: Path, configuration: Path) -> contextlib.AbstractContextManager[Program]:
    """Run Alertmanager, which has another name on Debian, in `folder`."""
    path = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    path = path or missing("alertmanager", "test-tools")
    flags = ("--storage.path=alerts", "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
    return started(folder, f"--config.file={configuration}", *flags, program=path)
