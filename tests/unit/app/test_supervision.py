"""Supervised tasks, and the program's behaviour when it cannot start a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from support.builders import OPENMETRICS
from support.polling import FAST, Polled, connected
from support.service import configured, running
from support.waiting import until

from exporter import supervision
from exporter.app.service import Service, WebSettings
from exporter.binance.errors import Reason
from exporter.supervision import supervise
from exporter.threads import ThreadUnavailable, run_in_thread, run_in_thread_or_loop
from exporter.web.config import load
from exporter.web.limits import Limits
from exporter.web.listen_address import ListenAddress
from exporter.web.passwords import Passwords
from exporter.web.watcher import WebConfigWatcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.simulator import SimulatedExchange


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restart tasks at once."""
    monkeypatch.setattr(supervision, "_FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(supervision, "_LONGEST_DELAY_SECONDS", 0.002)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that makes the start of every thread fail from then on."""

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(threading.Thread, "start", fail)


class Unprintable(Exception):
    """An error that cannot be formatted."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


async def run_out_of(*failures: type[BaseException] | None) -> int:
    """Supervise a task that ends with each of `failures` in turn, None for an end without one; return its runs."""
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs > len(failures):
            await asyncio.Event().wait()
        if failure := failures[runs - 1]:
            raise failure

    task = asyncio.create_task(supervise("work", work))
    await until(lambda: runs > len(failures) or task.done())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return runs


async def test_failures_are_logged_when_they_change(quick: None, logged: list[Any]) -> None:
    """A task is restarted however it ends, each new kind of failure is logged once, and a cancelled task ends."""
    runs = await run_out_of(ZeroDivisionError, ZeroDivisionError, KeyError, None, asyncio.CancelledError, Unprintable)

    assert 7 == runs
    kinds = [ZeroDivisionError, KeyError, type(None), asyncio.CancelledError, Unprintable]
    assert kinds == [type(event["exc_info"]) for event in logged]
    assert {("task failed, restarting", "work")} == {(event["event"], event["task"]) for event in logged}


async def test_calls_without_threads(no_threads: Callable[[], None]) -> None:
    """Without threads a call is made in the loop where that is allowed, and is an error elsewhere."""
    no_threads()

    assert 3 == await run_in_thread_or_loop(sum, [1, 2])
    with pytest.raises(ThreadUnavailable, match="cannot start another thread"):
        await run_in_thread(sum, [1, 2])


@pytest.mark.parametrize("names", [[], ["binance_futures_up"]])
@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
async def test_scrapes_and_reload_without_threads(
    exchange: SimulatedExchange,
    tmp_path: Path,
    no_threads: Callable[[], None],
    logged: list[Any],
    accept: str,
    names: list[str],
) -> None:
    """Without threads every form of /metrics is answered, and a reload fails with an error that says why."""
    web = WebSettings(addresses=(ListenAddress("127.0.0.1", 0),), lifecycle=True)
    service = Service(configured(exchange, tmp_path), web, FAST)
    async with running(service) as client:
        await until(lambda: all(state.last_poll_succeeded for state in service._fleet.states))
        no_threads()
        answer = await client.get("/metrics", params={"name[]": names}, headers={"Accept": accept})
        reload = await client.post("/-/reload")
        after = (await client.get("/metrics")).text

    assert 200 == answer.status_code
    assert 'binance_futures_up{account="alice"} 1.0' in answer.text
    assert 500 == reload.status_code
    assert "cannot read the configuration: cannot start another thread" in reload.text
    assert "\nbinance_futures_exporter_config_last_reload_successful 0.0\n" in after
    assert "configuration reload failed, keeping the previous configuration" in {event["event"] for event in logged}


async def test_passwords_without_threads(no_threads: Callable[[], None]) -> None:
    """Passwords are checked even without threads."""
    no_threads()
    users = {b"prometheus": bcrypt.hashpw(b"right", bcrypt.gensalt(4))}
    passwords = Passwords(Limits())

    assert await passwords.verify(users, b"prometheus", b"right", "client")
    assert not await passwords.verify(users, b"prometheus", b"wrong", "client")


async def test_watcher_without_threads(
    tmp_path: Path, no_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher of the web configuration skips checks without threads, and applies changes later."""
    path = tmp_path / "web.yml"
    path.write_text("http_server_config: {headers: {X-Frame-Options: deny}}")
    live = WebConfigWatcher(load(path))
    path.write_text("http_server_config: {headers: {X-Frame-Options: sameorigin}}")
    await live.check()
    start = threading.Thread.start
    no_threads()
    await live.check()
    monkeypatch.setattr(threading.Thread, "start", start)
    before = live.current.headers
    await live.check()

    assert ((b"x-frame-options", b"deny"),) == before
    assert ((b"x-frame-options", b"sameorigin"),) == live.current.headers
    assert live.usable


async def test_refused_poll_without_threads(exchange: SimulatedExchange, no_threads: Callable[[], None]) -> None:
    """A refused account whose key files cannot be read for lack of a thread stays refused."""
    async with connected(exchange.url) as connection:
        alice = Polled(exchange, connection, reread=lambda: None)
        exchange.revoke("alice")
        await alice.poll()
        no_threads()
        await alice.poll()

    assert {Reason.REFUSED: 2} == alice.state.failures
