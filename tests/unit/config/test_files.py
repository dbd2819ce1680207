"""The reader of small files: what it reads, what it rejects, and when it gives up."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.config_files import API_KEY, HMAC, SECRET_KEY, key_files
from support.waiting import DEADLINE_SECONDS, wait_for

from exporter.cli.main import run
from exporter.config import time_limit
from exporter.config.document import ConfigError, InvalidValue
from exporter.config.exporter_yml import load
from exporter.config.files import Files
from exporter.config.time_limit import TimeLimit, UnreadableFile
from exporter.web import config as web_configuration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

ACCOUNT = "accounts: [{name: main, api_key_file: main.key, secret_key_file: main.secret}]\n"


@contextlib.contextmanager
def limited_to(seconds: float) -> Iterator[None]:
    """Shorten the time that a file may take, only while it hangs: a busy machine may need long to read a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_limit, "_FILE_SECONDS", seconds)
        yield


class Hanging:
    """Makes every access to one file hang until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.path = path
        self.release = threading.Event()
        self.threads: list[threading.Thread] = []
        stat = Path.stat

        def hang(path: Path, **options: Any) -> os.stat_result:
            if path == self.path and not self.release.is_set():
                self.threads.append(threading.current_thread())
                self.release.wait(DEADLINE_SECONDS)
            return stat(path, **options)

        monkeypatch.setattr(Path, "stat", hang)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hanging]:
    """A file that hangs, as on a dead network file system, until its `release` is set."""
    file = Hanging(monkeypatch, tmp_path / "main.key")
    file.path.write_text("content")
    yield file
    file.release.set()
    for thread in file.threads:
        thread.join(DEADLINE_SECONDS)


def feed(pipe: Path, *pieces: str) -> threading.Thread:
    """Write into a pipe from a thread."""

    def write() -> None:
        with pipe.open("w") as file:
            for piece in pieces:
                file.write(piece)
                file.flush()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_pipe_is_read_until_its_writer_closes_it(tmp_path: Path) -> None:
    """A pipe is read to its end, whether the writer or the reader opens it first."""
    os.mkfifo(tmp_path / "pipe")
    writer = feed(tmp_path / "pipe", "a" * 100_000, "b")
    content = Files().read(tmp_path / "pipe", 200_000, pipe=True).content
    writer.join(DEADLINE_SECONDS)

    assert b"a" * 100_000 + b"b" == content


def test_pipe_whose_writer_writes_nothing_is_empty(tmp_path: Path) -> None:
    """A pipe whose writer closes it without writing is empty."""
    os.mkfifo(tmp_path / "pipe")
    writer = feed(tmp_path / "pipe")
    content = Files().read(tmp_path / "pipe", 10, pipe=True).content
    writer.join(DEADLINE_SECONDS)

    assert b"" == content


def test_pipe_without_a_writer_is_given_up(tmp_path: Path) -> None:
    """A configuration file that is a pipe without a writer is an error, and a regular file in its place is read."""
    path = key_files(tmp_path)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with limited_to(0.2), pytest.raises(ConfigError, match=r"exporter\.yml: cannot be read: no response in time$"):
        load(path, {})
    path.unlink()
    path.write_text(ACCOUNT)

    assert ["main"] == [account.name for account in load(path, {}).accounts]


def test_process_substitution(tmp_path: Path) -> None:
    """A shell can hand over the configuration by process substitution."""
    key_files(tmp_path)
    document = ACCOUNT.replace("main.", f"{tmp_path}/main.")
    (tmp_path / "source.yml").write_text(document)
    command = f"exec {sys.executable} -m exporter --config.check --config.file <(cat {tmp_path}/source.yml)"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)  # noqa: S607

    assert (0, "") == (done.returncode, done.stderr)


def test_devices(tmp_path: Path) -> None:
    """A device that is empty is an empty document, and one without an end is too large."""
    assert b"" == Files().read(Path(os.devnull), 10, pipe=True).content
    with pytest.raises(InvalidValue, match="is larger than 1 MiB"):
        Files().read(Path("/dev/zero"), 2**20, pipe=True)


def test_file_that_hangs_is_an_error(hanging: Hanging, tmp_path: Path) -> None:
    """A key file that hangs is an error that names it; it is not read again until it responds."""
    path = key_files(tmp_path)
    path.write_text(ACCOUNT)
    error = r"accounts\[0\]\.api_key_file: cannot read main\.key: no response in"
    for _ in range(3):
        with limited_to(1.0), pytest.raises(ConfigError, match=error):
            load(path, {})
    threads = len(hanging.threads)
    hanging.release.set()
    wait_for(lambda: not hanging.threads[0].is_alive())

    assert 1 == threads
    assert ["main"] == [account.name for account in load(path, {}).accounts]


def test_files_that_hang_share_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that hangs is given up after 10 seconds; after 60, the other files of the load are not attempted."""
    seconds = 0.0
    released = threading.Event()

    def pass_time(futures: Iterable[Future[Any]], timeout: float) -> Any:
        nonlocal seconds
        seconds += timeout
        return wait(futures, 0)

    monkeypatch.setattr(time_limit, "time", SimpleNamespace(monotonic=lambda: seconds))
    monkeypatch.setattr(time_limit, "wait", pass_time)
    limit, ends = TimeLimit(), []
    for name in "abcdef":
        with pytest.raises(UnreadableFile, match="no response in time"):
            limit.run(Path(name), lambda _: released.wait(DEADLINE_SECONDS))
        ends.append(seconds)
    with pytest.raises(UnreadableFile, match="not attempted because other files took too long to respond"):
        limit.run(Path("g"), lambda _: released.wait(DEADLINE_SECONDS))
    released.set()

    assert [10.0, 20.0, 30.0, 40.0, 50.0, 60.0] == ends


def test_change_of_a_file_that_hangs_is_unknown(hanging: Hanging) -> None:
    """The check for changes of a file that hangs is an error that names it."""
    hanging.release.set()
    read = Files()
    read.read(hanging.path, 10)
    hanging.release.clear()
    error = r"main\.key: cannot be checked for changes: no response in time"
    with limited_to(0.2), pytest.raises(InvalidValue, match=error):
        read.changed()
    hanging.release.set()
    wait_for(lambda: not hanging.threads[0].is_alive())

    assert read.changed() is None


def test_without_threads_files_are_read_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read even if the system cannot start a thread."""
    path = key_files(tmp_path)
    path.write_text(ACCOUNT)

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)

    assert ["main"] == [account.name for account in load(path, {}).accounts]


@pytest.mark.parametrize("option", ["--config.file", "--web.config.file"])
def test_name_that_the_locale_cannot_encode(option: str, tmp_path: Path) -> None:
    """File names that the locale cannot encode are errors with their place, on the command line and in a file."""
    path = key_files(tmp_path)
    path.write_text("accounts: [{name: main, api_key_file: größe.key, secret_key_file: main.secret}]\n")
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: größe.crt, key_file: größe.key}\n")
    named = path if option == "--config.file" else tmp_path / "web.yml"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if option == "--web.config.file":
        path.write_text(ACCOUNT)
    command = [sys.executable, "-m", "exporter", "--config.check", f"--config.file={path}", f"{option}={named}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    assert 2 == done.returncode
    assert ".key: its name cannot be encoded in this system's locale" in done.stderr
    assert "Traceback" not in done.stderr


DIGITS = {
    "decimal": "9" * 5000,
    "hexadecimal": "0x" + "f" * 5000,
    "octal": "0" + "7" * 5000,
    "binary": "0b" + "1" * 50_000,
    "sexagesimal": "1" + ":59" * 5000,
    "fraction": "1." + "9" * 5000,
    "tagged": "!!int '0x" + "f" * 5000 + "'",
}


@pytest.mark.no_cover
@pytest.mark.parametrize("number", DIGITS.values(), ids=DIGITS)
@pytest.mark.parametrize(
    "document",
    [
        "? {}\n: 1",
        "binance: {{weight_share: {}}}",
        "poll: {{interval: {}}}",
        "accounts: [{{name: {}}}]",
        "accounts: [{{? {} : 1}}]",
        "accounts: [{{api_key_file: {}}}]",
    ],
)
def test_huge_numbers(document: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number of thousands of digits, as a key or a value, is an error with its place."""
    path = tmp_path / "exporter.yml"
    path.write_text(document.format(number))
    code = run(["--config.check", f"--config.file={path}"])
    errors = capsys.readouterr().err

    assert 2 == code
    assert f"{path}: is not valid YAML at line 1, column " in errors
    assert "a number with too many digits" in errors


@pytest.mark.no_cover
@pytest.mark.parametrize("number", DIGITS.values(), ids=DIGITS)
@pytest.mark.parametrize(
    "document",
    [
        "? {}\n: 1",
        "http_server_config: {{headers: {{X-Frame-Options: {}}}}}",
        "basic_auth_users: {{? {} : x}}",
        "tls_server_config: {{cipher_suites: [{}]}}",
        "rate_limit: {}",
    ],
)
def test_huge_numbers_of_a_web_configuration(document: str, number: str, tmp_path: Path) -> None:
    """A number of thousands of digits in a web configuration is an error with its place."""
    (tmp_path / "web.yml").write_text(document.format(number))
    with pytest.raises(ConfigError, match=r"is not valid YAML at line 1, column .*: a number with too many digits"):
        web_configuration.load(tmp_path / "web.yml")


LONG = "x" * 300_000


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "document",
    [
        f"? {LONG}\n: 1\n",
        f"accounts: [{{{HMAC}, name: {LONG}}}]",
        f"accounts: [{{name: a, api_key_file: {LONG}}}]",
        f"binance: {{endpoint: 'wss://{LONG}'}}",
        f"poll: {{interval: '{LONG}'}}",
    ],
)
def test_huge_texts(document: str, tmp_path: Path) -> None:
    """Keys and values of hundreds of kilobytes are errors that do not repeat them."""
    (tmp_path / "exporter.yml").write_text(document)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "exporter.yml", {})

    assert len(str(caught.value)) < 2000


def test_content_and_keys_are_not_in_a_repr(tmp_path: Path) -> None:
    """Neither file contents nor the keys of a configuration are in their representations."""
    path = key_files(tmp_path)
    path.write_text(ACCOUNT)
    content = (tmp_path / "main.key").read_text()

    assert content not in repr(Files().read(tmp_path / "main.key", 1000))
    assert "private_keys" not in repr(load(path, {}))
    assert not {API_KEY, SECRET_KEY} & {repr(load(path, {}))}
