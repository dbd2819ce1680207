"""Reloads that hang or are requested while another one is running."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.reloads import RELOAD_FAILED, System, only
from support.service import scrape, value
from support.waiting import DEADLINE_SECONDS, until

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import exporter_yml
    from exporter.simulator import SimulatedExchange


@pytest.fixture
def real_time_system(exchange: SimulatedExchange, tmp_path: Path) -> System:
    """An exporter for alice and bob, not running yet; in real time: virtual time stands still while a thread hangs."""
    return System(exchange, tmp_path)


class GatedLoad:
    """Delays every load of a configuration until it is permitted."""

    def __init__(self, system: System) -> None:
        self.load = system.load
        self.begun = 0
        self.permits = threading.Semaphore(0)

    def __call__(self) -> exporter_yml.Config:
        """Load the file as it is when permitted."""
        self.begun += 1
        assert self.permits.acquire(timeout=DEADLINE_SECONDS)
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
