"""The command `history`: its output and exit codes, and that its series join those of an exporter in Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from support.config_files import leaks
from support.paths import ROOT
from support.prometheus_server import CONFIGURATION, promtool, query, scraping
from support.rest_system import OFF, System
from support.tools import needs
from support.waiting import DEADLINE_SECONDS

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import INCOME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAYS: Final = 33  # so that the month turns at least once
RECEIVED: Final = "binance_futures_income_received_total"
PAID: Final = "binance_futures_income_paid_total"
Sums = dict[tuple[str, ...], float]


def exchange_time() -> float:
    """Return the time, but not of the first hours of a month, in which the join would be at its turn."""
    now = datetime.now(UTC)
    return now.timestamp() - 12 * 3600 * (now.day == 1 and now.hour < 6)


def add_income(account: SimulatedAccount) -> None:
    """Add a row of each type every 47 minutes until now, and none earlier than the history needs."""
    now = int(exchange_time())
    for number, at in enumerate(range(now - (DAYS + 32) * 86_400, now, 47 * 60)):
        amount = Decimal(number % 11 - 4) / 8
        account.record_income("FUNDING_FEE", "USDT", amount, symbol="BTCUSDT", time_ms=at * 1000)
        account.record_income("COMMISSION", "BNB", "-0.125", symbol="BTCUSDT", time_ms=at * 1000)
    # The first row of its series is between the history and the exporter's first value.
    account.record_income("TRANSFER", "USDT", "1000", time_ms=(now - 3600) * 1000, transaction=0)


def sums_since(account: SimulatedAccount, begin: float) -> Sums:
    """Return what the counters of an account's rows after a time add up to, without those that are 0."""
    sums: defaultdict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in account.income.rows:
        if row.time_ms > begin * 1000:
            sums[RECEIVED if row.amount > 0 else PAID, row.asset, row.income_type.lower()] += abs(row.amount)
    return {key: float(amount) for key, amount in sums.items() if amount}


def by_key(vector: list[Any], read: Any) -> dict[tuple[str, ...], Any]:
    """Return what `read` returns of each series, which must be one for each label set."""
    keys = [tuple(series["metric"][name] for name in ("__name__", "asset", "income_type")) for series in vector]
    assert len(keys) == len(set(keys))
    return {key: read(series) for key, series in zip(keys, vector, strict=True)}


@contextlib.asynccontextmanager
async def history(system: System, out: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command for the account of a system, at most for the time of the block."""
    flags = ("--config.file", str(system.path), "--account", "main", "--out", str(out), *arguments)
    command = (sys.executable, "-m", "exporter", "history", *flags)
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def until_loaded(client: httpx.AsyncClient, expected: float) -> None:
    """Wait until a scraped counter has a value."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                vector = await query(client, f'{RECEIVED}{{income_type="transfer"}}')
                if [expected] == [float(series["value"][1]) for series in vector]:
                    return
            except (httpx.HTTPError, KeyError, ValueError):
                pass  # still starting
            await asyncio.sleep(0.5)


@pytest.mark.prometheus
async def test_series_join_those_of_the_exporter(tmp_path: Path) -> None:
    """Past and present are one series that only decreases to 0, as months turn, and increases as the ledger does."""
    needs("prometheus")
    needs("promtool")
    out, account = tmp_path / "out", SimulatedAccount("main", seed=1)
    account.income.rows.clear()
    async with SimulatedExchange([account], clock=exchange_time) as exchange:
        add_income(account)
        system = System(exchange, tmp_path)
        system.edit(**OFF | {"income": {"enabled": True, "interval": "10s"}})
        async with system.open() as exporter:
            target = exporter.client.base_url.netloc.decode()
            labels = ("--label", "job=binance-futures", "--label", f"instance={target}")
            async with history(system, out, "--since", f"{DAYS}d", *labels) as process:
                _, errors = await process.communicate()
            assert 0 == process.returncode, errors
            for path in sorted(out.iterdir()):
                command = ("tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics")
                code, output = await asyncio.to_thread(promtool, *command, path, tmp_path / "data")
                assert 0 == code, output
            retention = "--storage.tsdb.retention.time=100d"
            async with scraping(tmp_path, CONFIGURATION.format(target=target), retention) as (prometheus, complaints):
                this_month = sums_since(account, 0.0)[RECEIVED, "USDT", "transfer"]
                await until_loaded(prometheus, this_month)
                exchange.account("main").deposit("USDT", "250.5")
                await until_loaded(prometheus, this_month + 250.5)
                every = f'{{__name__=~"{RECEIVED}|{PAID}"}}'
                samples = by_key(
                    await query(prometheus, f"{every}[{DAYS + 3}d]"),
                    lambda series: [(at, float(text)) for at, text in series["values"]],
                )
                increases = by_key(
                    await query(
                        prometheus, f"label_replace(increase({RECEIVED}[30d]), '__name__', '{RECEIVED}', '', '')"
                    ),
                    lambda series: float(series["value"][1]),
                )

    falls = [after for values in samples.values() for (_, before), (_, after) in pairwise(values) if after < before]
    rises = {
        key: sum(after - before if after > before else 0.0 for (_, before), (_, after) in pairwise(values))
        for key, values in samples.items()
    }
    begin = min(values[0][0] for values in samples.values())
    in_30_days = sums_since(account, time.time() - 30 * 86_400)

    assert DAYS + 1 <= len(list(out.iterdir())) <= DAYS + 2
    assert falls
    assert {0.0} == set(falls)
    assert sums_since(account, begin) == {key: pytest.approx(rise) for key, rise in rises.items() if rise}
    assert {key: amount for key, amount in in_30_days.items() if key[0] == RECEIVED} == {
        key: pytest.approx(increase, rel=0.005) for key, increase in increases.items() if increase
    }
    assert [] == complaints


@pytest.mark.prometheus
def test_documented_rules(tmp_path: Path) -> None:
    """The documented command writes a file with the rules of the counters, which promtool accepts."""
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    command = page[page.index("$ (printf") + 2 :].partition(" > income-rules.yml\n")[0]
    rules = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    (tmp_path / "rules.yml").write_bytes(rules)
    code, output = promtool("check", "rules", tmp_path / "rules.yml")

    assert 0 == code, output
    assert "2 rules found" in output
    assert [RECEIVED, PAID] == re.findall(r"max_over_time\((\w+)\[", rules.decode())


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """An exchange with an account that has income, and a configuration that does not enable it."""
    account = SimulatedAccount("main", seed=1)
    async with SimulatedExchange([account]) as exchange:
        add_income(account)
        system = System(exchange, tmp_path)
        system.edit(**OFF)
        yield system


async def test_output(system: System, tmp_path: Path) -> None:
    """It prints a line for each day to standard error, none of them with a key, and nothing to standard output."""
    async with history(system, tmp_path / "a" / "b", "--since", "2d") as process:
        output, errors = await process.communicate()
    account = system.exchange.accounts["main"]
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())

    assert (0, b"") == (process.returncode, output)
    assert [name.removeprefix("main-").removesuffix(".om") for name in files] == re.findall(
        r"^(\d{4}-\d\d-\d\d): \d+ series, [\d,]+ samples, \d\.\d MB$", errors.decode(), re.MULTILINE
    )
    assert files
    assert set() == leaks(errors.decode(), {account.api_key, account.secret_key or ""})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal(number: signal.Signals, system: System, tmp_path: Path) -> None:
    """A signal ends it at once while it waits; there are no files."""
    REST_FAULTS["rest-banned"].switch(system.exchange)
    async with history(system, tmp_path / "out", "--since", "2d") as process:
        assert process.stderr
        async with asyncio.timeout(DEADLINE_SECONDS):
            while b"; continuing in " not in await process.stderr.readline():
                pass
            process.send_signal(number)
            await process.communicate()

    assert -number == process.returncode
    assert 1 == system.requests(INCOME)
    assert [] == list((tmp_path / "out").iterdir())
