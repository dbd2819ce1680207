"""Nothing that the program writes or serves contains a secret, whatever the exchange and the network do."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
import os
import pickle
import shutil
import signal
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import pytest
import structlog
from support.http_clients import http_client
from support.log_lines import Terminal
from support.paths import ROOT
from support.program import started
from support.secrets_echoed_requests import IPV4
from support.secrets_objects import exporter_objects
from support.secrets_output import UP, URL, Output, collect_output
from support.secrets_search import Search
from support.secrets_system import (
    MARK,
    PASSPHRASE,
    PROXY_PASSWORD,
    PROXY_USER,
    Recorder,
    echoing_proxy,
    funded_account,
    proxy,
)
from support.waiting import until

from exporter import log, redaction
from exporter.cli import main as cli
from exporter.config import exporter_yml
from exporter.config.document import ConfigError
from exporter.simulator import new_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY: Final = new_key("HMAC", "key").api_key
SECRET: Final = new_key("HMAC", "secret").api_key
PASTED: Final = new_key("HMAC", "pasted").api_key[:30]  # too short to be redacted by its form
ADDRESSES: Final = (IPV4, "2001:db8", "8a2e:370", "198.51.100.23", "::d00d", "::beef")
RUN: Final = ("run", "--web.listen-address", "127.0.0.1:0", "--log.level", "debug")
KNOWN: Final = Search(
    {"key": [KEY], "secret": [SECRET], "pasted": [PASTED], "passphrase": [PASSPHRASE], "password": [PROXY_PASSWORD]}
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """All that the program writes and serves during every fault."""
    return asyncio.run(collect_output(tmp_path_factory.mktemp("secrets")))


class TestOutput:
    """The program at debug level in both formats, and `check`, during every fault."""

    @pytest.mark.parametrize("place", ["log", "metrics", "page", "report"])
    def test_no_secret_is_shown(self, output: Output, place: str) -> None:
        """No secret is in the output, nor a signature that an error's text contains in part, in pieces or encoded."""
        assert set() == output.leaks[place]

    @pytest.mark.parametrize("place", ["log", "metrics", "page", "report"])
    def test_no_address_is_shown(self, output: Output, place: str) -> None:
        """The addresses in an error's text are not shown anywhere."""
        assert [] == [address for address in ADDRESSES for text in output.texts[place] if address in text]

    @pytest.mark.parametrize("place", ["log", "page", "report"])
    def test_echoed_texts_are_shown(self, output: Output, place: str) -> None:
        """The texts with secrets are shown without them, rather than not at all."""
        counts = [text.count(MARK) for text in output.texts[place]]

        assert 2 == len(counts)
        assert (0 if place == "page" else 10) < min(counts)  # the page shows equal failures once

    @pytest.mark.parametrize(
        ("name", "up"),
        [*((name, 1) for name in UP), *((name, 0) for name in ("wrong 0", "wrong 1", "wrong 2", "revoked"))],
    )
    def test_secrets_were_used(self, output: Output, name: str, up: int) -> None:
        """Accounts with valid keys of every type, or behind a proxy with a password, are up; others are down."""
        assert any(f'binance_futures_up{{account="{name}"}} {up}.0\n' in text for text in output.texts["metrics"])


async def test_account_and_proxy_of_the_environment(tmp_path: Path) -> None:
    """A key and a proxy's password in variables are not shown, even if the proxy echoes them."""
    account = funded_account("main")
    account.api_key, secret = KEY, SECRET
    async with Recorder(account) as exchange, proxy(echoing_proxy) as port:
        variables = {"BINANCE_API_KEY": KEY, "BINANCE_SECRET_KEY": secret, "BINANCE_ENDPOINT": exchange.url}
        variables["http_proxy"] = f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:{port}"
        with started(tmp_path, *RUN, **variables) as program:
            url = await asyncio.to_thread(program.wait_for, URL)
            await until(lambda: "poll failed" in program.output)
            async with http_client(url) as client:
                served = [(await client.get(path)).text for path in ("/", "/metrics", "/-/ready")]
            code = await asyncio.to_thread(program.end, signal.SIGTERM)

    assert 0 == code
    assert "(through the proxy 127.0.0.1:" in program.output
    assert set() == KNOWN.names_in(program.output, *served)


@pytest.mark.parametrize(
    ("fault", "format_"),
    [
        ("loop", "logfmt"),
        ("loop", "json"),
        *((fault, "json") for fault in ("warning", "thread", "destructor", "supervisor")),
    ],
)
async def test_bug_of_the_program(fault: str, format_: str, tmp_path: Path) -> None:
    """An exception of a bug with keys in its text and in local variables does not show them."""
    shutil.copy(ROOT / "tests" / "support" / "secrets_sitecustomize.py", tmp_path / "sitecustomize.py")
    variables = {"BINANCE_API_KEY": KEY, "BINANCE_SECRET_KEY": SECRET, "BROKEN": fault}
    variables["PYTHONPATH"] = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    async with Recorder(funded_account("main")) as exchange:
        variables |= {"BINANCE_ENDPOINT": exchange.url, "PYTHONWARNINGS": "default"}
        with started(tmp_path, *RUN, "--log.format", format_, **variables) as program:
            if fault == "supervisor":
                await until(lambda: "task failed, restarting" in program.output)
            else:
                url = await asyncio.to_thread(program.wait_for, URL)
                await until(lambda: "internal error" in program.output)
                async with http_client(url) as client:
                    page = await client.get("/")
                assert (500, "Internal Server Error\n") == (page.status_code, page.text)
            await asyncio.to_thread(program.end, signal.SIGTERM)

    assert "RuntimeError" in program.output
    assert set() == KNOWN.names_in(program.output)


def test_configuration_with_misplaced_secrets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Configuration errors do not show keys in wrong places, nor parts of key files."""
    pem = new_key("Ed25519").private_key_pem
    assert pem
    for name, text in {"key": KEY, "two": f"{KEY} {SECRET}", "pem": pem[:60] + SECRET, "other": SECRET}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    login = f"{PROXY_USER}:{PROXY_PASSWORD}"
    keys: list[dict[str, Any]] = [
        {"api_key_file": KEY, "secret_key_file": PASTED},
        {"api_key_file": PASTED, "secret_key_file": SECRET, "binance": {"endpoint": PASTED, "request_timeout": PASTED}},
        {"api_key_file": "two", "secret_key_file": "other", "asset_mode": PASTED, SECRET: KEY},
        {"api_key_file": "key", "private_key_file": "pem", "private_key_passphrase_file": "other"},
        {"api_key_file": "key", "private_key_file": "other"},
        {"api_key_file": "key", "secret_key_file": "other", "poll": {"interval": PASTED, KEY: 1}},
        {"api_key_file": "key", "secret_key_file": "other", "binance": {"endpoint": f"ws://{login}@127.0.0.1:1/"}},
        {"api_key_file": "key", "secret_key_file": "other", "binance": {"proxy": f"ftp://{login}@127.0.0.1:1"}},
        {"api_key_file": "key", "secret_key_file": "other", "binance": {"proxy": f"http://{login}@127.0.0.1"}},
        {"api_key": KEY, "secret_key": SECRET, "binance": {"proxy": f"http://{login}@[x:1"}},
    ]
    accounts = [{"name": f"a{number}", **entry} for number, entry in enumerate(keys)]
    documents = [
        json.dumps({"accounts": accounts, "binance": {"weight_share": PASTED}, KEY: SECRET}),
        f"accounts: [{KEY}, {SECRET}]\nbinance: {SECRET}\n",
        f"accounts: &{KEY} *{SECRET}\n",
        f"accounts: *{PASTED}\n",
        f"accounts: !{PASTED} x\n",
        f"- {KEY}: {SECRET}: {KEY}\n",
        f'"{KEY}: {SECRET}',
    ]
    path = tmp_path / "exporter.yml"
    codes = []
    for document in documents:
        path.write_text(document)
        codes += [
            cli.run([command, "--config.file", str(path), "--log.level", "debug"]) for command in ("run", "check")
        ]
    captured = capfd.readouterr()

    assert [2] * 2 * len(documents) == codes
    assert 20 < len(captured.err.splitlines())
    assert set() == KNOWN.names_in(captured.err, captured.out)


@pytest.mark.parametrize("argument", ["--api-key=", "--log.level=", "--web.listen-address=", "--web.telemetry-path="])
def test_secret_as_a_flag_value(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A key as a flag's value is not shown by the error about it."""
    cli.run(["run", f"{argument}{SECRET}"])

    assert set() == KNOWN.names_in(capsys.readouterr().err)


def test_key_as_the_name() -> None:
    """An account with its key as its name is rejected, since names are labels."""
    with pytest.raises(ConfigError):
        exporter_yml.load(None, {"BINANCE_API_KEY": KEY, "BINANCE_SECRET_KEY": SECRET, "BINANCE_ACCOUNT": KEY})


class TestObjects:
    """All objects of a running exporter."""

    async def test_no_object_shows_a_secret(self, tmp_path: Path) -> None:
        """No object shows a secret as text, in any format, alone or in a container."""
        objects, search = await exporter_objects(tmp_path)
        shown = [show(item) for item in objects for show in (repr, str, format, ascii, "{0!r:>9}".format)]
        shown += [repr(objects), f"{[objects]}", f"{dict(enumerate(objects))}"]

        assert {"Config", "Credentials", "Secret", "Endpoint", "Connection", "Poller"} <= {
            type(item).__name__ for item in objects
        }
        assert set() == search.names_in(*shown)

    async def test_no_pickle_contains_a_secret(self, tmp_path: Path) -> None:
        """The pickles of objects that can be pickled contain no secret."""
        objects, search = await exporter_objects(tmp_path)
        pickles = []
        for item in objects:
            with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                pickles.append(pickle.dumps(item).decode("latin-1"))

        assert pickles
        assert set() == search.names_in(*pickles)

    @pytest.mark.parametrize("make", [pickle.dumps, copy.deepcopy])
    async def test_keys_cannot_be_copied(self, make: Callable[[object], object], tmp_path: Path) -> None:
        """Secrets, credentials and objects that contain them cannot be pickled or copied."""
        objects, _ = await exporter_objects(tmp_path)
        holders = [
            item
            for item in objects
            if type(item).__name__ in {"Secret", "Credentials", "AccountSettings", "Config", "Endpoint"}
        ]

        assert 10 <= len(holders)
        for item in holders:
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
                make(item)


def grouped() -> Exception:
    """Return an exception group with a cause and a note, all with a key."""
    cause = KeyError(KEY)
    cause.add_note(f"while requested with {SECRET}")
    group = ExceptionGroup(KEY, [ValueError(SECRET), OSError(1, KEY, SECRET)])
    group.__cause__ = cause
    return group


@pytest.mark.parametrize("format_", [*log.FORMATS, None])
def test_all_log_records_are_redacted(format_: str | None) -> None:
    """Bound and extra fields, arguments, notes, causes, groups, stacks and the loop's records show no key."""
    redaction.hide(KEY)
    stream = Terminal()
    log.configure("debug", format_, stream)
    ours = structlog.get_logger("ours").bind(key=KEY, nested={"x": [SECRET.encode()]})
    ours.debug("key %s", KEY, exc_info=grouped(), stack_info=True)
    arguments = (KEY.encode(), {"secret": SECRET})
    logging.getLogger("lib").error("key %r of %s", *arguments, exc_info=grouped(), extra={"api_key": KEY})
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": KEY, "exception": grouped(), KEY: [SECRET]})
    loop.close()
    lines = stream.getvalue()

    assert 6 <= lines.count("ValueError: [redacted]") + lines.count("KeyError: '[redacted]'")
    assert set() == KNOWN.names_in(lines)


@pytest.mark.parametrize(
    "encode", [str, lambda text: b64encode(text.encode()).decode(), lambda text: text.encode().hex()]
)
def test_search_finds_parts(encode: Any) -> None:
    """The search of these tests finds 16 characters of a secret, encoded or not, and not 15."""
    assert {"secret"} == KNOWN.names_in(f'<p title="x{encode(SECRET[20:36])}">')
    assert set() == KNOWN.names_in(f'<p title="x{encode(SECRET[20:35])}">')
