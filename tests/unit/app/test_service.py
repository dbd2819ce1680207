"""The service: what it serves, when it is ready, how it stops, and what happens if a part of it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import close
from support.polling import FAST
from support.service import configured, scrape, serving, until_counted, until_sample, value
from support.slow_clients import slow_socket
from support.waiting import DEADLINE_SECONDS, until

from exporter.account.poller import Poller
from exporter.app.service import Service, WebSettings
from exporter.binance.connection import Connection
from exporter.config import exporter_yml
from exporter.metrics.chunked_body import ChunkedBody
from exporter.simulator.answer_edits import error
from exporter.web.listen_address import ListenAddress

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator import SimulatedExchange

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_serves_every_account(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """Each account's values are served as the exchange reports them, and the service is ready."""
    async with serving(configured(exchange, tmp_path)) as client:
        for name in ("alice", "bob"):
            samples = await until_sample(client, 1.0, "up", account=name)
        ready = await client.get("/-/ready")
        exchange.account("alice")
        status = {"account": "alice", "currency": "USDT"}

    assert 200 == ready.status_code
    assert 0.1 == value(samples, "position_amount", account="bob", symbol="BTCUSDT", position_side="BOTH")
    assert 1.0 == value(samples, "account_open_positions", account="alice")
    wallet, pnl = value(samples, "account_wallet_balance", **status), value(samples, "account_unrealized_pnl", **status)
    assert wallet is not None
    assert pnl is not None
    assert wallet + pnl == pytest.approx(value(samples, "account_margin_balance", **status))


async def test_before_the_first_answer(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """Before an account's first poll has ended it is neither up nor down, and the service is not ready."""
    with exchange.lose_answers():
        async with serving(configured(exchange, tmp_path)) as client:
            samples = await scrape(client)
            ready = await client.get("/-/ready")
            healthy = await client.get("/-/healthy")

    assert (503, "not ready: waiting for the first poll of 2 accounts\n") == (ready.status_code, ready.text)
    assert 200 == healthy.status_code
    assert None is value(samples, "up", account="alice") is value(samples, "up", account="bob")
    shown = {name for name, labels in samples if ("account", "alice") in labels}
    assert not {name for name in shown if name.startswith(("binance_futures_asset", "binance_futures_position"))}
    assert "binance_futures_account_open_positions" not in shown
    assert "binance_futures_last_success_timestamp_seconds" not in shown


async def test_ready_although_the_exchange_is_down(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """The service is ready although the exchange cannot be reached."""
    with exchange.reject_handshake(503):
        async with serving(configured(exchange, tmp_path)) as client:
            await until_counted(client, 1.0, "poll_failures_total", account="bob", reason="connection")
            ready = await client.get("/-/ready")

    assert 200 == ready.status_code


async def test_closed_position_disappears(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """All series of a position disappear with the first poll after it was closed; the account's stay."""
    position = {"account": "alice", "symbol": "BTCUSDT", "position_side": "BOTH"}
    async with serving(configured(exchange, tmp_path)) as client:
        await until_sample(client, 0.1, "position_amount", **position)
        exchange.account("alice").close("BTCUSDT")
        samples = await until_sample(client, 0.0, "account_open_positions", account="alice")

    assert not [name for name, labels in samples if frozenset(position.items()) <= labels]


async def test_stale_series_disappear_and_return(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """An account's series disappear when its last good answer is stale, another's stay; they return with the next."""
    async with serving(configured(exchange, tmp_path, stale_after="3s")) as client:
        await until_sample(client, 1.0, "account_open_positions", account="alice")
        failing = exchange.replace_answer("v2/account.status", "alice", error(500, code=-1000, msg="no"))
        down = await until_sample(client, 0.0, "up", account="alice")
        stale = await until_sample(client, None, "account_open_positions", account="alice")
        failing.close()
        await until_sample(client, 1.0, "account_open_positions", account="alice")

    assert 1.0 == value(down, "account_open_positions", account="alice")  # not stale yet
    assert not [name for name, labels in stale if ("account", "alice") in labels and name.endswith("wallet_balance")]
    assert 1.0 == value(stale, "up", account="bob")
    assert 1.0 == value(stale, "account_open_positions", account="bob")
    assert 0 < (value(stale, "poll_failures_total", account="alice", reason="exchange") or 0)


async def test_endpoints_have_separate_connections(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """Accounts on another endpoint have another connection, so an outage of one does not affect the other."""
    loaded = configured(exchange, tmp_path)
    key = tmp_path / "keys" / "alice.key"
    (tmp_path / "two.yml").write_text(
        f"poll: {{interval: 1s}}\nbinance: {{endpoint: '{exchange.url}'}}\naccounts:\n"
        f"  - {{name: up, api_key_file: {key}, secret_key_file: keys/alice.secret}}\n"
        f"  - {{name: down, api_key_file: {key}, secret_key_file: keys/alice.secret,"
        f" binance: {{endpoint: 'ws://127.0.0.1:1/'}}}}\n"
    )
    assert 2 == len(loaded.accounts)
    async with serving(exporter_yml.load(tmp_path / "two.yml", {})) as client:
        await until_sample(client, 1.0, "up", account="up")
        samples = await until_counted(client, 1.0, "poll_failures_total", account="down", reason="connection")

    assert 0.0 == value(samples, "connected", endpoint="127.0.0.1:1")
    assert 1.0 == value(samples, "connected", endpoint=exchange.url.split("/")[2])


async def test_stops_within_two_seconds(
    exchange: SimulatedExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service stops within two seconds despite a hanging poll, an idle client and one that does not read."""
    body = ChunkedBody([b"metric 1.0\n" * 500_000])  # more than fits the sockets' buffers
    monkeypatch.setattr("exporter.app.service.Exposition.body", lambda _: body)
    service = Service(configured(exchange, tmp_path), WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)), FAST)
    (url,) = service.bind()
    port = int(url.rpartition(":")[2])
    stop = asyncio.Event()
    with exchange.lose_answers():
        running = asyncio.create_task(service.run(stop))
        await until(lambda: exchange.received)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        idle_writer.write(b"GET /-/healthy HTTP/1.1\r\n\r\n")
        await idle.readuntil(b"OK\n")
        slow, slow_writer = await asyncio.open_connection(sock=await slow_socket(port), limit=1024)
        slow_writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        await slow.readexactly(100)
        stopped_at = asyncio.get_running_loop().time()
        stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await running
        seconds = asyncio.get_running_loop().time() - stopped_at
    for writer in (idle_writer, slow_writer):
        await close(writer)

    assert seconds <= 2


async def test_failed_task_is_started_again(
    exchange: SimulatedExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """A poller and a connection that fail unexpectedly are logged and restarted, while scrapes are answered."""
    run: dict[type, Any] = {Poller: Poller.run, Connection: Connection.run}

    async def fail_once(worker: Any) -> None:
        if failing.pop(type(worker), None):
            raise ZeroDivisionError
        await run[type(worker)](worker)

    failing = dict.fromkeys(run, True)
    for kind in run:
        monkeypatch.setattr(kind, "run", fail_once)
    async with serving(configured(exchange, tmp_path)) as client:
        await scrape(client)
        for name in ("alice", "bob"):
            await until_sample(client, 1.0, "up", account=name)

    failures = [event for event in logged if event["event"] == "task failed, restarting"]
    assert 2 == len(failures)
    assert all(isinstance(event["exc_info"], ZeroDivisionError) for event in failures)


async def test_web_server_that_fails_ends_the_service(
    exchange: SimulatedExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its web server fails, the service ends with the error."""

    async def fail(_server: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.web.server.WebServer.run", fail)
    service = Service(configured(exchange, tmp_path), WebSettings(addresses=(ListenAddress("127.0.0.1", 0),)), FAST)
    service.bind()
    with pytest.raises(ZeroDivisionError):
        await service.run(asyncio.Event())
    service._server.close()


async def test_empty_shard_is_healthy_and_ready(exchange: SimulatedExchange) -> None:
    """A shard that owns no account serves its own metrics, and is healthy and ready at once."""
    empty = exporter_yml.Config(accounts=(), weight_share=0.5, warnings=())
    async with serving(empty) as client:
        answers = [await client.get(path) for path in ("/-/healthy", "/-/ready", "/metrics", "/")]

    assert [200] * 4 == [answer.status_code for answer in answers]
    assert "binance_futures_exporter_build_info" in answers[2].text
