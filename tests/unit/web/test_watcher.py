"""A web configuration whose files change while the server runs: which changes are applied, and which rejected."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
import trustme
from support.builders import close
from support.tls import (
    CLIENTS,
    REFUSED,
    REQUIRED,
    SERVED,
    TLS,
    ask,
    client_of,
    curl,
    guarded,
    prepared,
    until_answer,
    write_identity,
)
from support.waiting import DEADLINE_SECONDS, until

from exporter.web.config import load
from exporter.web.watcher import WebConfigWatcher

if TYPE_CHECKING:
    from exporter.config.files import Files

LINKED = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}"


async def test_replaced_certificate(tmp_path: Path) -> None:
    """New connections get a replaced certificate without a restart, and open connections continue."""
    folder = prepared(tmp_path)
    context = client_of(folder)
    async with guarded(folder, f"{TLS}}}") as (url, _):
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        write_identity(folder, "localhost", "second.example")
        await until_answer(url, context, lambda answer: answer.last_name == "second.example")
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status_line = await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)
        await close(writer)

    assert b"HTTP/1.1 200 OK\r\n" == status_line


def point(link: Path, name: str) -> None:
    """Swap a symbolic link, as Kubernetes does for a secret."""
    new = link.with_name("new")
    new.symlink_to(name)
    new.replace(link)


def versions(folder: Path, *names: str) -> Path:
    """Make folders with different identities of equal size and age, a link to the first, and links through it."""
    for name in names:
        (folder / name).mkdir()
        write_identity(folder / name, "localhost", f"{name}.example")
        for file in (folder / name).iterdir():
            file.write_bytes(file.read_bytes().ljust(4096, b"\n"))
            os.utime(file, (1, 1))
    (folder / "data").symlink_to(names[0])
    for suffix in ("crt", "key"):
        (folder / f"tls.{suffix}").symlink_to(f"data/server.{suffix}")
    return folder / "data"


async def until_read(live: WebConfigWatcher, former: Files) -> None:
    """Wait until the files have been read again."""
    await until(lambda: live._files is not former)


async def test_swapped_link(tmp_path: Path) -> None:
    """A folder whose symbolic link is swapped is read again."""
    folder = prepared(tmp_path)
    data, context = versions(folder, "first", "second"), client_of(folder)
    async with guarded(folder, LINKED) as (url, _):
        before = await ask(url, context)
        point(data, "second")
        await until_answer(url, context, lambda answer: answer.last_name == "second.example")

    assert "first.example" == before.last_name


async def test_broken_certificate(tmp_path: Path, logged: list[Any]) -> None:
    """If a new certificate is broken the old one is served until it is fixed, with one warning."""
    folder = prepared(tmp_path)
    data, context = versions(folder, "first", "second", "third", "fourth"), client_of(folder)
    for broken in ("second", "third"):
        (folder / broken / "server.crt").write_text(f"no certificate: {broken}")
    async with guarded(folder, LINKED) as (url, live):
        for broken in ("second", "third"):
            former = live._files
            point(data, broken)
            await until_read(live, former)
        during = await ask(url, context)
        point(data, "fourth")
        await until_answer(url, context, lambda answer: answer.last_name == "fourth.example")

    assert "first.example" == during.last_name
    problem = f"{folder}/web.yml: tls_server_config.cert_file: tls.crt is not a PEM certificate"
    assert [problem] == [event["error"] for event in logged if event["log_level"] == "warning"]
    assert "web configuration reloaded" == logged[-1]["event"]


async def test_replaced_client_authority(tmp_path: Path) -> None:
    """When the clients' CA is replaced, clients of the new one are served and those of the old one are not."""
    folder = prepared(tmp_path)
    contexts = [client_of(folder), client_of(folder)]
    new = trustme.CA()
    for context, signer in zip(contexts, (CLIENTS, new), strict=True):
        signer.issue_cert("prometheus.example").configure_cert(context)
    async with guarded(folder, f"{TLS}, {REQUIRED}}}") as (url, _):
        before = [await ask(url, context) == REFUSED for context in contexts]
        new.cert_pem.write_to_path(str(folder / "clients.crt"))
        await until_answer(url, contexts[1], lambda answer: answer != REFUSED)
        after = await ask(url, contexts[0])

    assert [False, True] == before
    assert REFUSED == after


@pytest.mark.parametrize("document", ["", "tls_server_config:\n"])
async def test_tls_is_not_switched_off(tmp_path: Path, document: str, logged: list[Any]) -> None:
    """A file that loses TLS, like a half-written one, is rejected with a log line."""
    folder = prepared(tmp_path)
    async with guarded(folder, f"{TLS}}}") as (url, _):
        (folder / "web.yml").write_text(document)
        await until(lambda: logged)
        answer = await ask(url, client_of(folder))

    assert SERVED == answer.line
    assert f"{folder}/web.yml: tls_server_config: cannot be added or removed without a restart" == logged[0]["error"]


async def test_files_that_disappear(tmp_path: Path, logged: list[Any]) -> None:
    """Without its files the server continues unchanged, and reads them when they return."""
    folder = prepared(tmp_path)
    async with guarded(folder, f"{TLS}}}") as (url, live):
        before = live.current
        (folder / "web.yml").rename(folder / "away.yml")
        await until(lambda: logged)
        answer = await ask(url, client_of(folder))
        shutil.move(folder / "away.yml", folder / "web.yml")
        await until(lambda: live.current is not before)

    assert SERVED == answer.line
    assert f"{folder}/web.yml: cannot be read: No such file or directory" == logged[0]["error"]


async def test_files_are_read_once_they_stop_changing(tmp_path: Path, logged: list[Any]) -> None:
    """Files that change between two checks are not read until a check finds them unchanged."""
    folder = prepared(tmp_path)
    (folder / "web.yml").write_text(f"{TLS}}}")
    live = WebConfigWatcher(load(folder / "web.yml"))
    first = live.current
    for name in ("one.example", "two.example", "three.example"):
        write_identity(folder, name)
        await live.check()
        assert first is live.current
    await live.check()
    second = live.current
    await live.check()

    assert first is not second
    assert second is live.current
    assert ["web configuration reloaded"] == [event["event"] for event in logged]


async def test_changed_users_are_applied(tmp_path: Path) -> None:
    """A changed password is accepted without a restart, and the former one rejected, although it was cached."""
    folder = prepared(tmp_path)

    def users(password: bytes) -> str:
        return f"basic_auth_users: {{prometheus: '{bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()}'}}"

    async def status(url: str, password: str) -> str:
        return (await curl("-o", os.devnull, "-w", "%{http_code}", "-u", f"prometheus:{password}", f"{url}/metrics"))[1]

    async with guarded(folder, users(b"first")) as (url, live):
        before = [await status(url, password) for password in ("first", "second")]
        former = live.current
        (folder / "web.yml").write_text(users(b"second"))
        await until(lambda: live.current is not former)
        after = [await status(url, password) for password in ("first", "second")]

    assert ["200", "401"] == before
    assert ["401", "200"] == after


async def test_passwords_are_not_switched_off(tmp_path: Path, logged: list[Any]) -> None:
    """A file that loses its users, like a half-written one, does not disable authentication."""
    folder = prepared(tmp_path)
    hashed = bcrypt.hashpw(b"first", bcrypt.gensalt(4)).decode()
    async with guarded(folder, f"basic_auth_users: {{prometheus: '{hashed}'}}") as (url, _):
        (folder / "web.yml").write_text("")
        await until(lambda: logged)
        _, body = await curl(f"{url}/metrics")

    assert "Unauthorized\n" == body
    assert f"{folder}/web.yml: basic_auth_users: cannot be removed without a restart" == logged[0]["error"]


async def test_file_that_hangs(tmp_path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A web configuration that hangs is logged once with its name, and applied when it responds again."""
    path = tmp_path / "web.yml"
    path.write_text("")
    live = WebConfigWatcher(load(path))
    path.unlink()
    os.mkfifo(path)
    with monkeypatch.context() as patch:
        patch.setattr("exporter.config.time_limit._FILE_SECONDS", 0.3)
        for _ in range(6):
            await live.check()
    usable = live.usable
    path.unlink()
    path.write_text("http_server_config: {headers: {X-Frame-Options: deny}}")
    for _ in range(2):
        await live.check()

    assert not usable
    assert [f"{path}: cannot be read: no response in time"] == [event["error"] for event in logged if "error" in event]
    assert live.usable
    assert ((b"x-frame-options", b"deny"),) == live.current.headers


async def check_until_usable(live: WebConfigWatcher) -> None:
    """Check the files until they can be used."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not live.usable:
            await live.check()


async def test_file_that_cannot_be_examined(tmp_path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that cannot be examined are an error until they can; the previous configuration stays in use."""
    path = tmp_path / "web.yml"
    path.write_text("")
    reports: list[bool] = []
    live = WebConfigWatcher(load(path), changed=lambda: reports.append(live.usable))
    release = threading.Event()
    stat = Path.stat

    def hang(path: Path, **options: Any) -> os.stat_result:
        release.wait(DEADLINE_SECONDS)
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", hang)
        patch.setattr("exporter.config.time_limit._FILE_SECONDS", 0.3)
        for _ in range(3):
            await live.check()
        release.set()
    await check_until_usable(live)

    assert [f"{path}: cannot be checked for changes: no response in time"] == [event["error"] for event in logged]
    assert [False, True] == reports
