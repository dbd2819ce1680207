"""Income over the turn of a month, with a restart and a refused page, as a real Prometheus stores and queries it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.prometheus_server import promtool, query, scraping, until_ready
from support.rest_system import OFF, System
from support.service import Samples, scrape
from support.tools import needs
from support.virtual_time import now
from support.waiting import until

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import INCOME

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus

TURN = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
HOURS_BEFORE, HOURS_AFTER = 1.0, 1.25
SCRAPE_SECONDS = 60.0
CONFIGURATION = "global: {scrape_interval: 1h}\n"
COUNTERS = {"binance_futures_income_received_total": 1, "binance_futures_income_paid_total": -1}
LABELS = ("asset", "income_type")


class World:
    """An account that trades around the turn of a month, and all that is scraped of it."""

    def __init__(self, directory: Path) -> None:
        starts_at = now()
        clock = lambda: TURN - HOURS_BEFORE * 3600 + now() - starts_at  # noqa: E731
        self.account = SimulatedAccount("main")
        self.exchange = SimulatedExchange([self.account], clock=clock)
        self.directory = directory
        self.scraped: list[tuple[float, Samples]] = []
        self._random = Random(1)  # noqa: S311 - it must be repeatable

    async def run(self) -> None:
        """Trade and scrape, and restart the exporter an hour before the turn, with its first read interrupted."""
        async with self.exchange as exchange:
            self.account.move_to(0.0, int((TURN - 20 * 86_400) * 1000))
            self.account.deposit("USDT", "100000")
            self.account.deposit("BNB", "10")
            system = System(exchange, self.directory)
            system.edit(**OFF | {"income": {"enabled": True, "interval": "2m"}, "poll": {"interval": "30s"}})
            trading = asyncio.create_task(self.trade())
            async with system.open():
                await self.scrape_until(system, TURN - 0.6 * 3600)
            requests = system.requests(INCOME)
            async with system.open():
                await until(lambda: system.requests(INCOME) >= requests + 2)  # in the middle of its first read
                with REST_FAULTS["rest-429"].switch(exchange):
                    await until(lambda: system.requests(INCOME) >= requests + 3)
                await self.scrape_until(system, TURN + HOURS_AFTER * 3600)
            trading.cancel()

    async def trade(self) -> None:
        """Change the account about twice a minute, but not in the last minutes."""
        while self.exchange.server_time() < TURN + (HOURS_AFTER - 0.3) * 3600:
            self.account.fees_in_bnb = self._random.random() < 0.3
            self.account.open("ETHUSDT", "0.5")
            await asyncio.sleep(self._random.uniform(0, 60))
            self.account.close("ETHUSDT")
            self.account.deposit("USDT", str(self._random.randint(-50, 50)))

    async def scrape_until(self, system: System, ends_at: float) -> None:
        """Scrape once a minute until a time of the exchange."""
        while self.exchange.server_time() < ends_at:
            samples = await scrape(system.client)
            self.scraped.append((self.exchange.server_time(), samples))
            await asyncio.sleep(SCRAPE_SECONDS)

    @property
    def expected(self) -> dict[tuple[str, ...], Decimal]:
        """What was earned and paid between the first sample and the last, by counter and labels."""
        shown = [at * 1000 for _, samples in self.scraped for (name, _), at in samples.items() if "read_until" in name]
        sums: defaultdict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        for row in self.account.income.rows:
            for counter, sign in COUNTERS.items():
                if shown[0] < row.time_ms <= shown[-1]:
                    sums[counter, row.asset, row.income_type.lower()] += max(sign * row.amount, Decimal(0))
        return sums

    def as_openmetrics(self) -> str:
        """Return the counters of all scrapes with their times."""
        lines = []
        for counter in COUNTERS:
            lines.append(f"# TYPE {counter.removesuffix('_total')} counter")
            lines += [
                "{}{{{}}} {} {:.3f}".format(
                    name, ",".join(f'{label}="{text}"' for label, text in sorted(labels)), number, at
                )
                for at, samples in self.scraped
                for (name, labels), number in samples.items()
                if name == counter
            ]
        return "\n".join([*lines, "# EOF\n"])


async def raw_and_increases(directory: Path) -> tuple[dict[tuple[str, ...], list[Decimal]], list[dict[Any, float]]]:
    """Load the counters into Prometheus; return the samples of each, and their increases, raw and by the rule."""
    window = f"{(HOURS_BEFORE + HOURS_AFTER) * 60:.0f}m"
    end = TURN + HOURS_AFTER * 3600
    by_rule = "max by (account, asset, income_type, symbol) (max_over_time({}[10m]))"
    raw: dict[tuple[str, ...], list[Decimal]] = {}
    increases: list[dict[Any, float]] = [{}, {}]
    async with scraping(directory, CONFIGURATION) as (prometheus, _):
        await until_ready(prometheus)
        for counter in COUNTERS:
            for series in await query(prometheus, f"{counter}[{window}] @ {end}"):
                raw[counter, *map(series["metric"].get, LABELS)] = [Decimal(text) for _, text in series["values"]]
            for increase, expression in zip(
                increases,
                (f"{counter}[{window}] @ {end}", f"({by_rule.format(counter)})[{window}:1m] @ {end}"),
                strict=True,
            ):
                for series in await query(prometheus, f"increase({expression})"):
                    increase[counter, *map(series["metric"].get, LABELS)] = float(series["value"][1])
    return raw, increases


@pytest.mark.usefixtures("virtual_time")
async def test_turn_of_a_month(tmp_path: Path) -> None:
    """Differences of samples, with resets, are the sums of rows to 8 digits; `increase` is close, also by the rule."""
    needs("promtool")
    world = World(tmp_path)
    await world.run()
    (tmp_path / "income.txt").write_text(world.as_openmetrics())
    code, output = await asyncio.to_thread(
        promtool, "tsdb", "create-blocks-from", "openmetrics", tmp_path / "income.txt", tmp_path / "data"
    )
    assert 0 == code, output
    raw, increases = await asyncio.to_thread(asyncio.run, raw_and_increases(tmp_path))

    expected = world.expected
    assert {"realized_pnl", "commission", "transfer"} <= {key[2] for key in expected}
    for key, total in expected.items():
        gains = [after if after < before else after - before for before, after in pairwise(raw[key])]
        assert total == round(sum(gains, Decimal(0)), 8), key
        assert min(raw[key][1:]) == 0, key
        for increase in increases:
            assert increase[key] == pytest.approx(float(total), rel=0.03), key
