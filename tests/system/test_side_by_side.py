"""Accounts on different exchanges, behind different proxies, each with its own settings, in one exporter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import yaml
from support.polling import traders
from support.proxies import PROXY_USER, Proxy, listen
from support.service import scrape, serving, until_sample, value
from support.waiting import DEADLINE_SECONDS

from exporter.config import exporter_yml
from exporter.simulator import SimulatedExchange
from exporter.simulator.demo import write_configuration

if TYPE_CHECKING:
    from pathlib import Path


async def test_exchanges_and_proxies_side_by_side(tmp_path: Path) -> None:
    """Two accounts with different proxies and exchanges share nothing but the exporter."""
    alice, bob = traders()
    http, socks = Proxy(), Proxy()
    async with (
        SimulatedExchange([alice]) as first,
        SimulatedExchange([bob]) as second,
        listen(http.http) as http_port,
        listen(socks.socks) as socks_port,
    ):
        path = write_configuration(first.url, (alice, bob), tmp_path)
        document = yaml.safe_load(path.read_text())
        document["poll"] = {"interval": "1h"}
        of_alice, of_bob = document["accounts"]
        of_alice["poll"] = {"interval": "1s"}
        of_alice["binance"] = {"proxy": f"http://{PROXY_USER}@127.0.0.1:{http_port}"}
        of_bob["poll"] = {"interval": "2s", "position_risk": False}
        of_bob["binance"] = {"endpoint": second.url, "proxy": f"socks5://{PROXY_USER}@127.0.0.1:{socks_port}"}
        path.write_text(yaml.safe_dump(document))
        ports = [int(exchange.url.split(":")[2].partition("/")[0]) for exchange in (first, second)]
        labels = [f"127.0.0.1:{ports[0]} via 127.0.0.1:{http_port}", f"127.0.0.1:{ports[1]} via 127.0.0.1:{socks_port}"]
        async with serving(exporter_yml.load(path, {})) as client:
            await until_sample(client, 1.0, "up", account="bob")
            up = await until_sample(client, 1.0, "up", account="alice")
            with first.ban(3600):
                await until_sample(client, 1.0, "paused", endpoint=labels[0], reason="banned")
                down = await until_sample(client, 0.0, "up", account="alice")
                polls, later = value(down, "polls_total", account="bob"), down
                async with asyncio.timeout(DEADLINE_SECONDS):
                    while value(later, "polls_total", account="bob") == polls:
                        later = await scrape(client)
        methods = {request.method for request in second.received}

    assert [{("127.0.0.1", port)} for port in ports] == [set(http.targets), set(socks.targets)]
    assert [1.0, 1.0] == [value(up, "connected", endpoint=label) for label in labels]
    assert [1.0, 2.0] == [value(up, "poll_interval_seconds", account=name) for name in ("alice", "bob")]
    assert "v2/account.position" not in methods
    assert 0.0 == value(later, "paused", endpoint=labels[1], reason="banned")
    assert 1.0 == value(later, "up", account="bob")
