"""Runs the program against every fault at debug level, and collects all that it writes and serves."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter import log
from exporter.simulator.fault_catalog import FAULTS
from support.http_clients import http_client
from support.program import Program, started
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
    from collections.abc import AsyncIterator
    from pathlib import Path

TIMEOUT_SECONDS: Final = 240.0  # for all waiting; many programs start at once
# Faults whose accounts' first polls wait for the next minute's weight.
WAITING: Final = frozenset({"busy-ip", "rate-limited"})
REST: Final = ("rest 1", "rest 10", "rest 2")  # their API keys, of every type, are checked
URL: Final = r"(http://127\.0\.0\.1:\d+)/metrics"
UP: Final = ("well 0", "well 1", "well 2", "http proxy", "socks proxy", *REST)
_PROXIES: Final[dict[str, Any]] = {
    "http proxy": ("http", http_proxy),
    "socks proxy": ("socks5", socks_proxy),
    "echoing proxy": ("http", echoing_proxy),
    "refusing proxy": ("socks5", refusing_socks_proxy),
}


@dataclass(frozen=True)
class Output:
    """All that was written and served, by place, and the accounts whose secrets are in it."""

    texts: dict[str, list[str]]
    leaks: dict[str, set[str]]


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
    url = await asyncio.to_thread(program.wait_for, URL)
    async with http_client(url) as client:

        async def get(path: str, place: str = "metrics", **headers: str) -> str:
            answer = await client.get(path, headers=headers)
            served[place].append(f"{answer.headers}\n{answer.text}")
            return answer.text

        async def over() -> bool:
            waiting = set((await get("/-/ready")).strip().rpartition(": ")[2].split(", ")) - WAITING - {"OK"}
            scrape = await get("/metrics")
            return not waiting and all(f'binance_futures_up{{account="{name}"}} 1.0\n' in scrape for name in UP)

        while not await over():  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.5)
        for path in ("/metrics", "/-/healthy", "/-/reload", "/nonsense", "/metrics?name[]=binance_futures_up"):
            await get(path)
        await get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        await get("/", "page")
    return served


async def collect_output(folder: Path) -> Output:
    """Run the program against every fault, in every format, and return all that it wrote and served."""
    async with all_faults() as setup, asyncio.timeout(TIMEOUT_SECONDS):
        path = setup.write(folder / "all")
        quick = setup.write(folder / "quick", without=WAITING)
        levels = ("--log.level", "debug", "--log.format")
        run = ("run", "--web.listen-address", "127.0.0.1:0", "--config.file", str(path))
        check = ("check", "--config.file", str(quick))
        with contextlib.ExitStack() as stack:
            programs = [stack.enter_context(started(folder, *run, *levels, format_)) for format_ in log.FORMATS]
            checks = [
                stack.enter_context(started(folder, *check, "--output", output, *levels, format_))
                for output, format_ in (("text", "logfmt"), ("json", "json"))
            ]
            served = await asyncio.gather(*(watch(program) for program in programs))
            while not all(program.over for program in checks):  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.05)
            codes = [await asyncio.to_thread(program.end, signal.SIGTERM) for program in programs]
        texts = {place: [text for pages in served for text in pages[place]] for place in ("page", "metrics")}
        texts |= {"log": [program.output for program in programs], "report": [program.output for program in checks]}
        search = Search(setup.all_secrets())

    assert [0, 0] == codes
    return Output(texts, {place: search.names_in(*texts[place]) for place in texts})
