"""Signals at any time from start to exit, also while requests, reloads or log writes hang."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from support.http_clients import get
from support.program import Program, started
from support.waiting import DEADLINE_SECONDS, read_next

if TYPE_CHECKING:
    from pathlib import Path

RELOADED = 'msg="configuration reloaded"'
DEMO = ("demo", "--web.listen-address", "127.0.0.1:0")
ENVIRONMENT = {
    "BINANCE_API_KEY": "k" * 64,
    "BINANCE_SECRET_KEY": "s" * 64,
    "BINANCE_ENDPOINT": "ws://127.0.0.1:1/",
    "BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0",
}

# Sends a signal to itself when it imports a module, inside a weak reference's callback: no exception gets out of that.
EARLY = """
import signal, sys, weakref

number, moment = int(sys.argv.pop(1)), sys.argv.pop(1)

class Thing: pass

class Sender:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == moment:
            thing = Thing()
            reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
            del thing

sys.meta_path.insert(0, Sender)
from exporter.__main__ import main
main()
"""


def address_of(program: Program) -> tuple[str, int]:
    """Wait until the program listens, and return its host and port."""
    url = httpx.URL(program.wait_for(r" url=(http\S+)\n"))
    assert url.port
    return url.host, url.port


def test_platform_without_posix_signals() -> None:
    """Where signals cannot be blocked, the program says that it needs Linux, and exits with 1."""
    code = "import signal; del signal.pthread_sigmask; from exporter.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=DEADLINE_SECONDS, check=False)

    assert (1, b"") == (done.returncode, done.stdout)
    assert b"use Linux" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "structlog"),
        (signal.SIGINT, "exporter.cli.main"),
        (signal.SIGTERM, "structlog"),
        (signal.SIGTERM, "httptools"),
    ],
)
def test_signal_while_modules_are_imported(number: signal.Signals, moment: str) -> None:
    """A signal during imports kills the process without output."""
    argv = [sys.executable, "-c", EARLY, str(int(number)), moment, *DEMO]
    done = subprocess.run(argv, capture_output=True, timeout=DEADLINE_SECONDS, check=False)

    assert (-number, b"", b"") == (done.returncode, done.stdout, done.stderr)


def test_ignored_interrupt_stays_ignored() -> None:
    """A process started with SIGINT ignored, as in the background of a script, is not interrupted."""
    argv = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", EARLY, "2", "structlog", "--version"]
    done = subprocess.run(argv, capture_output=True, timeout=DEADLINE_SECONDS, check=False)

    assert (0, b"") == (done.returncode, done.stderr)


def test_reload_requested_while_modules_are_imported(tmp_path: Path) -> None:
    """A SIGHUP before `run` serves causes a reload once it does."""
    arguments = ("-c", EARLY, str(int(signal.SIGHUP)), "structlog", "run")
    with started(tmp_path, *arguments, program=sys.executable, **ENVIRONMENT) as program:
        program.wait_for(f"({RELOADED})")
        code = program.end(signal.SIGTERM)

    assert 0 == code
    assert program.output.index("msg=started") < program.output.index(RELOADED)


@pytest.mark.parametrize("command", ["demo", "check"])
def test_hangup_of_a_command_that_does_not_reload(command: str) -> None:
    """A SIGHUP ends the other commands, as any program."""
    argv = [sys.executable, "-c", EARLY, str(int(signal.SIGHUP)), "structlog", command]
    done = subprocess.run(
        argv, capture_output=True, env=os.environ | ENVIRONMENT, timeout=DEADLINE_SECONDS, check=False
    )

    assert (-signal.SIGHUP, b"") == (done.returncode, done.stderr)


def test_ignored_hangup_stays_ignored() -> None:
    """Under nohup a SIGHUP does not end a command."""
    argv = ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", EARLY, "1", "structlog", "metrics"]
    done = subprocess.run(argv, capture_output=True, timeout=DEADLINE_SECONDS, check=False)

    assert (0, b"") == (done.returncode, done.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_repeated_signals(number: signal.Signals, tmp_path: Path) -> None:
    """A signal repeated until the process has ended does not change the exit code."""
    with started(tmp_path, *DEMO) as program:
        program.scrape(accounts=4)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while program.process.poll() is None and time.monotonic() < deadline:
            program.process.send_signal(number)
            time.sleep(0.001)
        code = program.process.wait(0)

    assert 0 == code
    assert "Traceback" not in program.output


HANGING_RELOAD = """
import sys, time
from exporter.config import exporter_yml

load = exporter_yml.load

def load_once(*arguments):
    exporter_yml.load = lambda *_: (print("hanging", file=sys.stderr, flush=True), time.sleep(300))
    return load(*arguments)

exporter_yml.load = load_once
from exporter.__main__ import main
main()
"""


@pytest.mark.parametrize("way", ["signal", "request"])
def test_end_during_a_reload_that_hangs(way: str, tmp_path: Path) -> None:
    """A reload whose files hang, as on a dead network file system, does not delay the exit."""
    arguments = ("-c", HANGING_RELOAD, "run", "--web.enable-lifecycle")
    with ExitStack() as stack:
        program = stack.enter_context(started(tmp_path, *arguments, program=sys.executable, **ENVIRONMENT))
        address = address_of(program)
        if way == "signal":
            program.process.send_signal(signal.SIGHUP)
        else:
            client = stack.enter_context(socket.create_connection(address))
            client.sendall(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        program.wait_for("(hanging)")
        code = program.end(signal.SIGTERM)

    assert 0 == code
    assert "msg=stopped" in program.output
    assert "Traceback" not in program.output


def test_end_while_passwords_are_checked(tmp_path: Path) -> None:
    """Checks of wrong passwords that would take minutes are abandoned, without a traceback."""
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{someone: '$2b$14${'.' * 22}{'a' * 31}'}}\n")
    with ExitStack() as stack:
        program = stack.enter_context(started(tmp_path, "run", f"--web.config.file={web}", **ENVIRONMENT))
        address = address_of(program)
        clients = []
        for number in range(256):
            source = f"127.0.0.{2 + number // 16}"  # each may have 16 passwords waiting
            client = stack.enter_context(socket.create_connection(address, source_address=(source, 0)))
            credentials = httpx.BasicAuth("someone", f"wrong {number}")._auth_header
            client.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {credentials}\r\n\r\n".encode())
            clients.append(client)
        healthy = f"http://{address[0]}:{address[1]}/-/healthy"
        assert 200 == get(healthy).status_code
        code = program.end(signal.SIGTERM)

    assert 0 == code
    assert "msg=stopped" in program.output
    assert "Traceback" not in program.output


def test_end_while_clients_do_not_read(tmp_path: Path) -> None:
    """Clients that request much and read nothing are disconnected at the exit."""
    with ExitStack() as stack:
        program = stack.enter_context(started(tmp_path, *DEMO))
        program.scrape(accounts=4)
        for _ in range(20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(address_of(program))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
        program.scrape(accounts=4)
        code = program.end(signal.SIGTERM)

    assert 0 == code
    assert "Traceback" not in program.output


def test_end_while_the_log_is_not_read() -> None:
    """With a full log pipe the program keeps serving, reloads, and exits on a signal."""
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-m", "exporter", "run"], env=os.environ | ENVIRONMENT, stderr=writing)
    try:
        text = b""
        while not (match := re.search(rb" url=(\S+)\n", text)):
            text += read_next(reading)
        url = match[1].decode()
        # Its own opening of the pipe: being non-blocking is a property of that.
        filling = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(filling, b".")
        for _ in range(5):
            process.send_signal(signal.SIGHUP)
            assert "binance_futures_up" in get(url).text
        process.send_signal(signal.SIGTERM)
        code = process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()
    for descriptor in (reading, writing, filling):
        os.close(descriptor)

    assert 0 == code
