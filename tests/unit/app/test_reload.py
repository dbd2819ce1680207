"""Reloads of the configuration: how they are requested, and how errors are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.reloads import RELOAD_FAILED, System
from support.service import scrape, until_counted, until_sample, value
from support.waiting import until

from exporter.web import config as web_configuration

if TYPE_CHECKING:
    from pathlib import Path


async def test_bad_file_changes_nothing(reloadable: System, logged: list[Any]) -> None:
    """An invalid file changes nothing, and is shown in log and metrics until a valid one is loaded."""
    good = reloadable.path.read_text()
    async with reloadable.open():
        await reloadable.shows(1, "up", account="alice")
        reloadable.path.write_text("accounts: [{name: alice, api_key_file: nowhere.key}]\nsurprise: 1\n")
        error = await reloadable.service.reload()
        failed = await scrape(reloadable.client)
        polls = value(failed, "polls_total", account="bob") or 0
        await until_counted(reloadable.client, polls + 2, "polls_total", account="bob")
        reloadable.path.write_text(good)
        assert "" == await reloadable.service.reload()
        fixed = await scrape(reloadable.client)

    assert "surprise" in error
    assert "nowhere.key" in error
    reload = "exporter_config_last_reload_success"
    assert (0, 1) == (value(failed, f"{reload}ful"), value(fixed, f"{reload}ful"))
    times = [value(samples, f"{reload}_timestamp_seconds") or 0 for samples in (failed, fixed)]
    assert times[0] < times[1]
    events = [event["error"] for event in logged if event["event"] == RELOAD_FAILED]
    assert error.splitlines() == events
    assert 3 == len(events)


async def test_internal_error_of_a_reload_is_reported(
    reloadable: System, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload that fails for an internal error is shown like an invalid file, and the next one succeeds."""
    async with reloadable.open():
        with monkeypatch.context() as patch:
            patch.setattr(reloadable.service, "_load", None)
            error = await reloadable.service.reload()
        failed = await scrape(reloadable.client)
        next_error = await reloadable.service.reload()

    assert "" == next_error != error
    assert 0 == value(failed, "exporter_config_last_reload_successful")
    assert "configuration reload failed, internal error" in {event["event"] for event in logged}


async def test_web_configuration_counts_as_well(reloadable: System, tmp_path: Path) -> None:
    """An invalid web configuration is shown like a failed reload, until both files are valid."""
    web, name = tmp_path / "web.yml", "exporter_config_last_reload_successful"
    good = "http_server_config: {headers: {X-Frame-Options: deny}}"
    web.write_text(good)
    async with reloadable.open(web=web_configuration.load(web)):
        web.write_text("surprise: 1")
        await until_sample(reloadable.client, 0, name)
        assert "" == await reloadable.service.reload()
        reloaded = await scrape(reloadable.client)
        web.write_text(good)
        after = await until_sample(reloadable.client, 1, name)
        reloadable.path.write_text("surprise: 1")
        await reloadable.service.reload()
        web.write_text(good.replace("deny", "sameorigin"))
        live = reloadable.service._watcher
        assert live is not None
        await until(lambda: b"sameorigin" in dict(live.current.headers).values())
        last = await scrape(reloadable.client)

    assert (0, 1, 0) == tuple(value(samples, name) for samples in (reloaded, after, last))


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_request_reloads(reloadable: System, method: str) -> None:
    """With the lifecycle enabled a POST or PUT reloads, and reports the errors of an invalid file."""
    async with reloadable.open(lifecycle=True):
        good = await reloadable.client.request(method, "/-/reload")
        reloadable.path.write_text("surprise: 1\n")
        bad = await reloadable.client.request(method, "/-/reload")
        read = await reloadable.client.get("/-/reload")

    assert (200, "OK\n") == (good.status_code, good.text)
    assert 500 == bad.status_code
    assert "surprise: unknown key" in bad.text
    assert 405 == read.status_code


async def test_request_does_not_reload_unless_enabled(reloadable: System) -> None:
    """Without the lifecycle a request cannot reload the configuration."""
    async with reloadable.open():
        reloadable.path.write_text("surprise: 1\n")
        answer = await reloadable.client.post("/-/reload")
        samples = await scrape(reloadable.client)

    assert 403 == answer.status_code
    assert "--web.enable-lifecycle" in answer.text
    assert 1 == value(samples, "exporter_config_last_reload_successful")
