"""Runs the program against every fault at debug level, and collects all that it writes and serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from exporter import log
from exporter.simulator.fault_catalog import FAULTS
from support.builders import DEADLINE_SECONDS
from support.secrets_echoed_requests import CONNECTIONS, CUT_SIGNATURES, FRAMES, TEXTS, switch_answers
from support.secrets_search import Search
from support.secrets_system import (
    PROXY_PASSWORD,
    PROXY_USER,
    Recorder,
    SecretsSetup,
    echoing_proxy,
    funded_account,
    http_proxy,
    kind_of,
    proxy,
    refusing_socks_proxy,
    socks_proxy,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TIMEOUT_SECONDS: Final = 200.0  # many programs start at once
# Faults whose accounts' first polls wait for the next minute's weight.
WAITING: Final = frozenset({"busy-ip", "rate-limited"})
REST: Final = ("rest 1", "rest 10", "rest 2")  # their API keys, of every type, are checked
UP: Final = ("well 0", "well 1", "well 2", "http proxy", "socks proxy", *REST)
_PROXIES: Final[dict[str, Any]] = {
    "http proxy": ("http", http_proxy),
    "socks proxy": ("socks5", socks_proxy),
    "echoing proxy": ("http", echoing_proxy),
    "refusing proxy": ("socks5", refusing_socks_proxy),
}


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition of another process is true."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - a condition has no event
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Output:
    """All that was written and served, by place, and the accounts whose secrets are in it."""

    texts: dict[str, list[str]]
    leaks: dict[str, set[str]]


class Program:
    """The program in its own process; `output` is that of standard output and error."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self._output_file = folder / f"output {len(list(folder.iterdir()))}"
        environ = {
            name: text for name, text in os.environ.items() if not re.search("^BINANCE_|_proxy$", name, re.IGNORECASE)
        }
        with self._output_file.open("wb") as file:
            argv = [sys.executable, "-m", "exporter", *arguments]
            self.process = subprocess.Popen(argv, env=environ | variables, stdout=file, stderr=subprocess.STDOUT)

    @property
    def output(self) -> str:
        """All output so far."""
        return self._output_file.read_text(encoding="utf-8")

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    async def url(self) -> str:
        """Wait until it listens, and return its URL."""
        listening = re.compile(r"http://127\.0\.0\.1:\d+(?=/metrics)")
        await until(lambda: listening.search(self.output) or self.over)
        match = listening.search(self.output)
        assert match, self.output
        return match[0]

    async def end(self) -> int:
        """Terminate it, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        await until(lambda: self.over)
        return self.process.returncode

    def kill(self) -> None:
        """Kill it if it still runs."""
        if not self.over:
            self.process.kill()
            self.process.wait()


@contextlib.asynccontextmanager
async def all_faults() -> AsyncIterator[SecretsSetup]:
    """Run the exchanges and proxies of every fault, with an account for each."""
    setup = SecretsSetup()
    async with contextlib.AsyncExitStack() as stack:

        async def exchange(*names: str) -> Recorder:
            accounts = [funded_account(name, kind_of(name)) for name in names]
            running = await stack.enter_async_context(Recorder(*accounts))
            setup.exchanges.append(running)
            return running

        working = await exchange(*UP[:3], "wrong 0", "wrong 1", "wrong 2", "revoked", *_PROXIES)
        working.revoke("revoked")
        for name, account in working.accounts.items():
            proxy_url = "none"
            if name in _PROXIES:
                kind, serve = _PROXIES[name]
                proxy_url = (
                    f"{kind}://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:{await stack.enter_async_context(proxy(serve))}"
                )
            setup.add(working, account, proxy=proxy_url, wrong=name.startswith("wrong"))
        rest = await exchange(*REST)
        rest.echoes_rest = True
        for account in rest.accounts.values():
            setup.add(rest, account, key_check=True)
        echoing = await exchange(*TEXTS, *CUT_SIGNATURES, *FRAMES)
        for name, account in echoing.accounts.items():
            switch_answers(echoing, name)
            setup.add(echoing, account, timeout="3s" if name in FRAMES else "30s")
        for name in (*CONNECTIONS, *FAULTS):
            faulty = await exchange(name)
            setup.add(faulty, faulty.accounts[name], timeout="3s")
            (CONNECTIONS[name] if name in CONNECTIONS else FAULTS[name].switch)(faulty)
        yield setup


async def watch(program: Program) -> dict[str, list[str]]:
    """Wait until every account has been polled, and return all that was served."""
    served: dict[str, list[str]] = {"page": [], "metrics": []}
    async with httpx.AsyncClient(base_url=await program.url(), trust_env=False, timeout=DEADLINE_SECONDS) as client:

        async def get(path: str, place: str = "metrics", **headers: str) -> str:
            answer = await client.get(path, headers=headers)
            served[place].append(f"{answer.headers}\n{answer.text}")
            return answer.text

        async def over() -> bool:
            waiting = set((await get("/-/ready")).strip().rpartition(": ")[2].split(", ")) - WAITING - {"OK"}
            scrape = await get("/metrics")
            return not waiting and all(f'binance_futures_up{{account="{name}"}} 1.0\n' in scrape for name in UP)

        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await over():  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.5)
        for path in ("/metrics", "/-/healthy", "/-/reload", "/nonsense", "/metrics?name[]=binance_futures_up"):
            await get(path)
        await get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        await get("/", "page")
    return served


async def collect_output(folder: Path) -> Output:
    """Run the program against every fault, in every format, and return all that it wrote and served."""
    async with all_faults() as setup:
        path = setup.write(folder / "all")
        quick = setup.write(folder / "quick", without=WAITING)
        levels = ("--log.level", "debug", "--log.format")
        run = ("run", "--web.listen-address", "127.0.0.1:0", "--config.file", str(path))
        check = ("check", "--config.file", str(quick))
        programs = [Program(folder, *run, *levels, format_) for format_ in log.FORMATS]
        checks = [
            Program(folder, *check, "--output", output, *levels, format_)
            for output, format_ in (("text", "logfmt"), ("json", "json"))
        ]
        try:
            served = await asyncio.gather(*(watch(program) for program in programs))
            await until(lambda: all(program.over for program in checks))
            codes = await asyncio.gather(*(program.end() for program in programs))
        finally:
            for program in (*programs, *checks):
                program.kill()
        texts = {place: [text for pages in served for text in pages[place]] for place in ("page", "metrics")}
        texts |= {"log": [program.output for program in programs], "report": [program.output for program in checks]}
        search = Search(setup.all_secrets())

    assert [0, 0] == codes
    return Output(texts, {place: search.names_in(*texts[place]) for place in texts})
