"""Reloads of the configuration: what a changed file, an invalid one and one that hangs do to a running exporter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.polling import FAST
from support.service import running, scrape, serving, until_counted, until_sample, value
from support.waiting import until

from exporter.app.service import Service, WebSettings
from exporter.binance.errors import Reason
from exporter.config import exporter_yml
from exporter.simulator.demo import write_configuration
from exporter.web import config as web_configuration
from exporter.web.config import WebConfig
from exporter.web.listen_address import ListenAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import httpx

    from exporter.simulator import SimulatedExchange

RELOAD_FAILED = "configuration reload failed, keeping the previous configuration"


class System:
    """An exporter and its configuration file, with a client while it runs."""

    def __init__(self, exchange: SimulatedExchange, directory: Path) -> None:
        self.path = write_configuration(exchange.url, exchange.accounts.values(), directory)
        self.edit(lambda document: document.update(poll={"interval": "1s"}))
        self.client: httpx.AsyncClient
        self.service: Service

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the configuration file."""
        document = yaml.safe_load(self.path.read_text())
        change(document)
        self.path.write_text(yaml.safe_dump(document))

    def load(self) -> exporter_yml.Config:
        """Load the configuration file."""
        return exporter_yml.load(self.path, {})

    @contextlib.asynccontextmanager
    async def open(self, *, lifecycle: bool = False, web: WebConfig | None = None) -> AsyncIterator[System]:
        """Run the exporter while the block runs."""
        addresses = (ListenAddress("127.0.0.1", 0),)
        settings = WebSettings(addresses=addresses, lifecycle=lifecycle, config=web or WebConfig())
        self.service = Service(self.load(), settings, FAST, self.load)
        async with running(self.service) as self.client:
            yield self

    async def shows(self, expected: float | None, name: str, account: str) -> None:
        """Wait until a series of an account has a value (None: is absent)."""
        await until_sample(self.client, expected, name, account=account)


@pytest.fixture
def system(virtual_time: None, exchange: SimulatedExchange, tmp_path: Path) -> System:
    """An exporter for alice and bob, not running yet."""
    return System(exchange, tmp_path)


@pytest.fixture
def real_time_system(exchange: SimulatedExchange, tmp_path: Path) -> System:
    """The same in real time: virtual time stands still while a thread hangs."""
    return System(exchange, tmp_path)


def only(name: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that leaves one account in the document."""

    def change(document: dict[str, Any]) -> None:
        document["accounts"] = [account for account in document["accounts"] if account["name"] == name]

    return change


async def test_added_account_is_polled(system: System) -> None:
    """An account that a reload adds is polled; the others keep their connection and counters and stay ready."""
    both = system.path.read_text()
    system.edit(only("alice"))
    async with system.open():
        await system.shows(1, "up", "alice")
        before = await scrape(system.client)
        system.path.write_text(both)
        assert "" == await system.service.reload()
        ready = (await system.client.get("/-/ready")).status_code
        await system.shows(1, "up", "bob")
        after = await scrape(system.client)

    assert 200 == ready
    assert value(before, "polls_total", account="alice") <= value(after, "polls_total", account="alice")  # type: ignore[operator]
    assert 0 == sum(
        count for (name, labels), count in after.items() if "failures" in name and ("account", "alice") in labels
    )
    assert [1] == [count for (name, _), count in after.items() if name == "binance_futures_connections_total"]


async def test_added_account_is_polled_soon(system: System) -> None:
    """However long the interval, an account that a reload adds is polled within seconds."""
    system.edit(lambda document: document.update(poll={"interval": "1h"}))
    both = system.path.read_text()
    system.edit(only("alice"))
    async with system.open():
        await system.shows(1, "up", "alice")
        system.path.write_text(both)
        began = asyncio.get_running_loop().time()
        await system.service.reload()
        before = value(await scrape(system.client), "up", account="bob")
        await system.shows(1, "up", "bob")
        took = asyncio.get_running_loop().time() - began

    assert before is None
    assert took <= 60


async def test_removed_account_disappears_at_once(system: System, exchange: SimulatedExchange) -> None:
    """An account that a reload removes is neither shown nor polled any more."""
    async with system.open():
        await system.shows(1, "up", "alice")
        await system.shows(1, "up", "bob")
        system.edit(only("alice"))
        await system.service.reload()
        shown = (await system.client.get("/metrics")).text
        page = (await system.client.get("/")).text
        count = len(exchange.received)
        await until(lambda: len(exchange.received) >= count + 5)

    assert 'account="bob"' not in shown
    assert "bob" not in page
    keys = {received.params.get("apiKey") for received in list(exchange.received)[count + 2 :]}
    assert exchange.accounts["bob"].api_key not in keys


async def test_changed_account_starts_again(system: System, exchange: SimulatedExchange) -> None:
    """An account whose key was changed shows none of its former series, and is polled with the new key."""
    async with system.open():
        await system.shows(1, "up", "alice")
        await system.shows(1, "up", "bob")
        alice, _ = yaml.safe_load(system.path.read_text())["accounts"]
        system.edit(lambda document: document.update(accounts=[alice, alice | {"name": "bob"}]))
        with exchange.replace_answer("v2/account.status", "alice", lambda _: "unanswered"):  # both have alice's key
            await system.service.reload()
            shown = await scrape(system.client)
        await system.shows(1, "up", "bob")
        after = await scrape(system.client)

    assert value(shown, "account_wallet_balance", account="bob", currency="USDT") is None
    assert value(after, "account_wallet_balance", account="alice", currency="USDT") == value(
        after, "account_wallet_balance", account="bob", currency="USDT"
    )


async def test_bad_file_changes_nothing(system: System, logged: list[Any]) -> None:
    """An invalid file changes nothing, and is shown in log and metrics until a valid one is loaded."""
    good = system.path.read_text()
    async with system.open():
        await system.shows(1, "up", "alice")
        system.path.write_text("accounts: [{name: alice, api_key_file: nowhere.key}]\nsurprise: 1\n")
        error = await system.service.reload()
        failed = await scrape(system.client)
        polls = value(failed, "polls_total", account="bob") or 0
        await until_counted(system.client, polls + 2, "polls_total", account="bob")
        system.path.write_text(good)
        assert "" == await system.service.reload()
        fixed = await scrape(system.client)

    assert "surprise" in error
    assert "nowhere.key" in error
    reload = "exporter_config_last_reload_success"
    assert (0, 1) == (value(failed, f"{reload}ful"), value(fixed, f"{reload}ful"))
    times = [value(samples, f"{reload}_timestamp_seconds") or 0 for samples in (failed, fixed)]
    assert times[0] < times[1]
    events = [event["error"] for event in logged if event["event"] == RELOAD_FAILED]
    assert error.splitlines() == events
    assert 3 == len(events)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_request_reloads(system: System, method: str) -> None:
    """With the lifecycle enabled a POST or PUT reloads, and reports the errors of an invalid file."""
    async with system.open(lifecycle=True):
        good = await system.client.request(method, "/-/reload")
        system.path.write_text("surprise: 1\n")
        bad = await system.client.request(method, "/-/reload")
        read = await system.client.get("/-/reload")

    assert (200, "OK\n") == (good.status_code, good.text)
    assert 500 == bad.status_code
    assert "surprise: unknown key" in bad.text
    assert 405 == read.status_code


async def test_request_does_not_reload_unless_enabled(system: System) -> None:
    """Without the lifecycle a request cannot reload the configuration."""
    async with system.open():
        system.path.write_text("surprise: 1\n")
        answer = await system.client.post("/-/reload")
        samples = await scrape(system.client)

    assert 403 == answer.status_code
    assert "--web.enable-lifecycle" in answer.text
    assert 1 == value(samples, "exporter_config_last_reload_successful")


async def test_unused_endpoint_is_disconnected(system: System, exchange: SimulatedExchange) -> None:
    """A connection whose last account is removed is closed, and its series disappear."""
    async with system.open():
        await system.shows(1, "up", "bob")
        system.edit(
            lambda document: document["binance"].update(request_timeout="9s", endpoint=exchange.url + "?second")
        )
        await system.service.reload()
        await until_sample(system.client, 1, "up", account="bob")
        await until(lambda: len(exchange.connections) == 1)
        samples = await scrape(system.client)

    assert 1 == len([name for name, _ in samples if name == "binance_futures_connected"])


async def test_ban_outlasts_its_endpoint(system: System, exchange: SimulatedExchange) -> None:
    """An endpoint that is removed while it is banned, and added again, is not contacted before the ban is over."""
    good = system.path.read_text()
    async with system.open():
        await system.shows(1, "up", "bob")
        with exchange.ban(600):
            (before,) = system.service._fleet.connections
            await until(lambda: before.budget.paused)
            system.edit(lambda document: document["binance"].update(endpoint=exchange.url + "?other"))
            await system.service.reload()
            system.path.write_text(good)
            await system.service.reload()
            (after,) = system.service._fleet.connections

            assert before is not after
            assert 300 < after.budget.pause_seconds


async def test_order_of_endpoints_changes_nothing(system: System, exchange: SimulatedExchange) -> None:
    """Accounts that reach one exchange in two ways keep connections and labels when the file is reordered."""
    other = {"endpoint": exchange.url + "?second"}
    system.edit(lambda document: document["accounts"][1].update(binance=other))
    async with system.open():
        connections = {connection.endpoint.label: connection for connection in system.service._fleet.connections}
        system.edit(lambda document: document["accounts"].reverse())
        await system.service.reload()
        third = {"endpoint": exchange.url + "?third"}
        system.edit(lambda document: document["accounts"][1].update(binance=third))
        await system.service.reload()
        after = {connection.endpoint.label: connection for connection in system.service._fleet.connections}
        states = {state.settings.name: state.settings.endpoint.label for state in system.service._fleet.states}

    first, second = connections
    assert f"{first} #2" == second
    assert {first, second} == set(after)
    assert connections[second] is after[second]
    assert {"alice": first, "bob": second} == states


async def test_kept_account_rereads_its_moved_files(system: System) -> None:
    """An unchanged account whose key files have moved is kept, and its keys are reread from their new paths."""
    keys = system.path.parent / "keys"
    async with system.open():
        (alice, _) = system.service._fleet.states
        (keys / "moved.secret").write_text((keys / "alice.secret").read_text())
        system.edit(lambda document: document["accounts"][0].update(secret_key_file="keys/moved.secret"))
        await system.service.reload()
        (keys / "moved.secret").write_text("Z" * 64)
        reread = alice.settings.reread
        assert reread is not None
        credentials = reread()

        assert (alice,) == system.service._fleet.states[:1]
    assert credentials not in {None, alice.settings.credentials}


async def test_internal_error_of_a_reload_is_reported(
    system: System, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload that fails for an internal error is shown like an invalid file, and the next one succeeds."""
    async with system.open():
        with monkeypatch.context() as patch:
            patch.setattr(system.service, "_load", None)
            error = await system.service.reload()
        failed = await scrape(system.client)
        next_error = await system.service.reload()

    assert "" == next_error != error
    assert 0 == value(failed, "exporter_config_last_reload_successful")
    assert "configuration reload failed, internal error" in {event["event"] for event in logged}


class GatedLoad:
    """Delays every load of a configuration until it is permitted."""

    def __init__(self, system: System) -> None:
        self.load = system.load
        self.begun = 0
        self.permits = threading.Semaphore(0)

    def __call__(self) -> exporter_yml.Config:
        """Load the file as it is when permitted."""
        self.begun += 1
        assert self.permits.acquire(timeout=30)
        return self.load()


async def test_storm_of_reloads_is_two(real_time_system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reloads that are requested while one is running share the next, which begins after all of them."""
    async with real_time_system.open():
        load = GatedLoad(real_time_system)
        monkeypatch.setattr(real_time_system.service, "_load", load)
        first = asyncio.create_task(real_time_system.service.reload())
        await until(lambda: load.begun)
        others = [asyncio.create_task(real_time_system.service.reload()) for _ in range(50)]
        impatient = asyncio.create_task(real_time_system.service.reload())
        await asyncio.sleep(0)
        impatient.cancel()
        load.permits.release()
        good = await first
        real_time_system.path.write_text("surprise: 1\n")
        load.permits.release()
        results = set(await asyncio.gather(*others))

    assert "" == good
    assert 2 == load.begun
    (result,) = results
    assert "surprise" in result


async def test_reload_that_hangs_is_never_applied(real_time_system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that has timed out is not applied when it ends after all; until then no other one begins."""
    monkeypatch.setattr("exporter.app.service._LOAD_SECONDS", 0.05)
    async with real_time_system.open():
        load = GatedLoad(real_time_system)
        monkeypatch.setattr(real_time_system.service, "_load", load)
        errors = [await real_time_system.service.reload() for _ in range(2)]
        failed = await scrape(real_time_system.client)
        real_time_system.edit(only("alice"))
        hanging = real_time_system.service._loading
        assert hanging is not None
        load.permits.release()
        await until(hanging.done)
        accounts = len(real_time_system.service._fleet.states)
        monkeypatch.setattr("exporter.app.service._LOAD_SECONDS", 30)
        load.permits.release()
        assert "" == await real_time_system.service.reload()

        assert 1 == len(real_time_system.service._fleet.states)
    assert ["cannot read the configuration: timed out"] * 2 == errors
    assert 0 == value(failed, "exporter_config_last_reload_successful")
    assert (2, 2) == (accounts, load.begun)


async def test_file_that_hangs_fails_the_reload(
    real_time_system: System, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration file that hangs fails the reload with its name; once it responds, a reload succeeds."""
    good = real_time_system.path.read_text()
    async with real_time_system.open():
        real_time_system.path.unlink()
        os.mkfifo(real_time_system.path)
        with monkeypatch.context() as patch:
            patch.setattr("exporter.config.time_limit._FILE_SECONDS", 0.3)
            error = await real_time_system.service.reload()
        failed = await scrape(real_time_system.client)
        real_time_system.path.unlink()
        real_time_system.path.write_text(good)
        assert "" == await real_time_system.service.reload()
        after = await scrape(real_time_system.client)

    assert f"{real_time_system.path}: cannot be read: no response in time" == error
    name = "exporter_config_last_reload_successful"
    assert (0, 1) == (value(failed, name), value(after, name))
    assert [error] == [event["error"] for event in logged if event["event"] == RELOAD_FAILED]


async def test_web_configuration_counts_as_well(system: System, tmp_path: Path) -> None:
    """An invalid web configuration is shown like a failed reload, until both files are valid."""
    web, name = tmp_path / "web.yml", "exporter_config_last_reload_successful"
    good = "http_server_config: {headers: {X-Frame-Options: deny}}"
    web.write_text(good)
    async with system.open(web=web_configuration.load(web)):
        web.write_text("surprise: 1")
        await until_sample(system.client, 0, name)
        assert "" == await system.service.reload()
        reloaded = await scrape(system.client)
        web.write_text(good)
        after = await until_sample(system.client, 1, name)
        system.path.write_text("surprise: 1")
        await system.service.reload()
        web.write_text(good.replace("deny", "sameorigin"))
        live = system.service._watcher
        assert live is not None
        await until(lambda: b"sameorigin" in dict(live.current.headers).values())
        last = await scrape(system.client)

    assert (0, 1, 0) == tuple(value(samples, name) for samples in (reloaded, after, last))


async def test_new_share_stretches_the_plan(system: System) -> None:
    """A weight share that a reload changes determines the intervals from then on."""
    async with system.open():
        await system.shows(1, "poll_interval_seconds", "alice")
        system.edit(lambda document: document["binance"].update(weight_share=0.01))
        await system.service.reload()
        (alice, _) = system.service._fleet.states
        await until(lambda: alice.interval_seconds > 50)


async def test_rotated_key_files_are_noticed(system: System, logged: list[Any]) -> None:
    """Key files that change while their account is refused are tried with the next poll, without a reload."""
    good = system.path.parent / "keys" / "alice.secret"
    right = good.read_text()
    good.write_text("0" * 64)
    async with system.open():
        await system.shows(1, "up", "bob")
        (alice, _) = system.service._fleet.states
        await until(lambda: alice.failures[Reason.REFUSED] >= 1)
        good.write_text(" ")  # half written
        await until(lambda: any(event["event"].startswith("changed key files cannot be used") for event in logged))
        good.write_text(right)
        await system.shows(1, "up", "alice")

    assert {Reason.REFUSED} == set(alice.failures)


async def test_empty_shard_is_healthy_and_ready(exchange: SimulatedExchange) -> None:
    """A shard that owns no account serves its own metrics, and is healthy and ready at once."""
    empty = exporter_yml.Config(accounts=(), weight_share=0.5, warnings=())
    async with serving(empty) as client:
        answers = [await client.get(path) for path in ("/-/healthy", "/-/ready", "/metrics", "/")]

    assert [200] * 4 == [answer.status_code for answer in answers]
    assert "binance_futures_exporter_build_info" in answers[2].text
