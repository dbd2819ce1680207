"""The demo scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from conftest import PATIENCE_SECONDS
from test_service import configured, serving

from exporter.simulator.demo import demo_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIGURATION = """\
global: {{scrape_interval: 3s, scrape_timeout: 3s}}
scrape_configs:
  - job_name: binance-futures
    static_configs: [{{targets: ['{target}']}}]
"""


def needs(tool: str) -> None:
    """Skip, or under CI fail, where a tool is missing."""
    if shutil.which(tool) is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{tool} is missing: make test-tools")


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def query(client: httpx.AsyncClient, expression: str) -> list[Any]:
    """Ask Prometheus for an instant vector."""
    answer = await client.get("/api/v1/query", params={"query": expression})
    return list(answer.json()["data"]["result"])


@contextlib.asynccontextmanager
async def scraping(folder: Path, configuration: str) -> AsyncIterator[tuple[httpx.AsyncClient, list[str]]]:
    """Run a Prometheus in `folder`: a client of it, and its warnings and errors, which are known after the block."""
    port = free_port()
    (folder / "prometheus.yml").write_text(configuration)
    log = folder / "prometheus.log"
    complaints: list[str] = []
    with log.open("wb") as file:
        prometheus = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=file,
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as asking:
                yield asking, complaints
        finally:
            prometheus.terminate()
            await prometheus.wait()
    complaints += [
        line
        for line in log.read_text().splitlines()
        if ("level=warn" in line or "level=error" in line) and "Received SIGTERM" not in line
    ]


async def until_all_are_up(asking: httpx.AsyncClient) -> None:
    """Wait until Prometheus has seen the demo's four accounts up."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                if len(await query(asking, "binance_futures_up == 1")) == 4:
                    break
            except (httpx.HTTPError, ValueError):
                pass  # still starting
            await asyncio.sleep(0.2)


async def test_promtool_accepts_the_metrics(tmp_path: Path) -> None:
    """`promtool check metrics` finds nothing to complain about in what the demo's four accounts expose."""
    needs("promtool")
    async with demo_exchange(seed=1) as exchange, serving(configured(exchange, tmp_path)) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            text = ""
            while text.count("binance_futures_account_open_positions{") < 4:
                text = (await client.get("/metrics")).text
    promtool = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=-2
    )
    complaints, _ = await promtool.communicate(text.encode())

    assert b"" == complaints
    assert 0 == promtool.returncode


async def test_prometheus_scrapes_without_a_warning(tmp_path: Path) -> None:
    """A real Prometheus scrapes every sample, gzipped, and logs no warning."""
    needs("prometheus")
    async with demo_exchange(seed=1) as exchange, serving(configured(exchange, tmp_path)) as client:
        configuration = CONFIGURATION.format(target=client.base_url.netloc.decode())
        async with scraping(tmp_path, configuration) as (asking, complaints):
            await until_all_are_up(asking)
            scraped = await query(asking, "up")
            balances = await query(asking, "binance_futures_account_margin_balance")

    assert ["1"] == [series["value"][1] for series in scraped]
    assert {"main", "multi", "hedge", "isolated"} == {series["metric"]["account"] for series in balances}
    assert [] == complaints
