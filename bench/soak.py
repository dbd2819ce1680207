"""The soak test: the exporter under faults and scrapes for minutes, during which nothing may grow (`make soak`).

Two quiet times are compared, one after a warm-up and one at the end. Between them faults come and go, connections are
replaced every few seconds, and many clients scrape. Both are at the same point of the demo's scenario, so that the same
positions are open. It requires Linux and glibc, which report the memory of a process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import httpx

from bench.growth import Sample, as_table, judge
from bench.load import TIMEOUT_SECONDS, Load
from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.simulator.market import ROUND_SECONDS

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping

_SPEED: Final = 9.0
_ROUND: Final = ROUND_SECONDS / _SPEED
# The scenario's longest time without an event, less what the exporter may need to notice the last one.
_QUIET_FROM: Final = 285 / _SPEED
_QUIET_SECONDS: Final = (370 - 285) / _SPEED
_QUIET_SAMPLES: Final = 8
_RECOVERY_SECONDS: Final = 8.0  # without faults before it is quiet
_ROUNDS_TO_RECOVER: Final = 1  # where that was not enough
_WARM_UP_PART: Final = 0.25
_EXPECTED_ERRORS: Final = {"requests paused"}


class Soak:
    """One run: `process` serves at `url` and polls `accounts` accounts."""

    def __init__(self, process: Process, url: str, accounts: int, load: Load) -> None:
        self.samples: list[Sample] = []
        self._process, self._url, self._accounts, self._load = process, url, accounts, load
        self._began = time.monotonic()
        self._client = httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS)
        self._body = ""

    async def run(self, minutes: float) -> tuple[list[Sample], list[Sample]]:
        """Run for about `minutes`, at least two, and return the samples of the two quiet times."""
        async with self._client:
            start = await self._quiet_after(_WARM_UP_PART * 60 * minutes)
            return start, await self._quiet_after(max(60 * minutes - _ROUND, self._now))

    def verdicts(self) -> list[tuple[str, bool]]:
        """Return the other results of the run, each with whether it is acceptable."""
        ended = self._values("binance_futures_disconnections_total{")
        by_reason = {series.split('reason="')[1].split('"')[0]: int(count) for series, count in ended.items() if count}
        dials = sum(self._values("binance_futures_connections_total{").values())
        polls = sum(self._values("binance_futures_polls_total{").values())
        failed = sum(self._values("binance_futures_poll_failures_total{").values())
        load = self._load
        cuts = statistics.quantiles(load.latencies_seconds, n=100)
        p50, p99, longest = (1000 * seconds for seconds in (cuts[49], cuts[98], max(load.latencies_seconds)))
        return [
            (f"faults: {_counts(load.faults)}", bool(load.faults)),
            (f"polls: {polls:.0f}, {failed:.0f} of them failed", failed < polls),
            (f"connections: {dials:.0f}; disconnections: {_counts(by_reason)}", "rotation" in by_reason),
            (f"scrapes: {_counts(load.answers)}; aborted: {load.aborted}", set(load.answers) == {"200"}),
            (f"scrape latency in ms: p50 {p50:.1f}, p99 {p99:.1f}, max {longest:.1f}", True),
            (f"accounts up at the end: {self._up():.0f} of {self._accounts}", self._up() == self._accounts),
        ]

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _quiet_after(self, least: float) -> list[Sample]:
        """Load the exporter until the first quiet time after `least` seconds; sample it there without load."""
        begin = _QUIET_FROM
        while begin < least:
            begin += _ROUND
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in self._load.work()]
            await self._sample_until(begin - _RECOVERY_SECONDS)
            for task in tasks:
                task.cancel()
        for _ in range(1 + _ROUNDS_TO_RECOVER):
            await self._sample_until(begin)
            quiet: list[Sample] = []
            while self._now < begin + _QUIET_SECONDS and len(quiet) < _QUIET_SAMPLES:
                sample = await self._sample(collected=True)
                quiet = [*quiet, sample] if self._up() == self._accounts else []
                await asyncio.sleep(0.9)
            if len(quiet) >= _QUIET_SAMPLES / 2:
                return quiet
            begin += _ROUND
        raise SystemExit(f"only {self._up():.0f} accounts are up long after the last fault")

    async def _sample_until(self, until: float) -> None:
        while self._now < until:
            await self._sample()
            await asyncio.sleep(1)

    async def _sample(self, *, collected: bool = False) -> Sample:
        try:
            self._body = (await self._client.get(self._url)).raise_for_status().text
        except httpx.HTTPError as error:
            raise SystemExit(f"after {self._now:.0f} s a scrape failed: {error!r}") from None
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(b"collected\n" if collected else b"memory\n")
        memory = json.loads(await asyncio.wait_for(stdout.readline(), TIMEOUT_SECONDS))
        proc = Path(f"/proc/{self._process.pid}")
        resident_pages = int((proc / "statm").read_text().split()[1])
        sample = Sample(
            at=self._now,
            resident_kib=resident_pages * os.sysconf("SC_PAGE_SIZE") / 1024,
            malloc_kib=memory["malloc_bytes"] / 1024,
            blocks=memory["blocks"],
            gc_objects=memory["gc_objects"],
            descriptors=len(list((proc / "fd").iterdir())),
            tasks=memory["tasks"],
            series=len(self._values("")),
        )
        self.samples.append(sample)
        return sample

    def _values(self, begin: str) -> dict[str, float]:
        """Return the series of the last scrape that begin with `begin`."""
        lines = (line.rpartition(" ") for line in self._body.splitlines() if line.startswith(begin) and line[0] != "#")
        return {series: float(value) for series, _, value in lines}

    def _up(self) -> float:
        return sum(self._values("binance_futures_up{").values())


async def soak(minutes: float, seed: int) -> bool:
    """Run the soak test, print the results, and return whether it passed."""
    with contextlib.ExitStack() as files:
        directory = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="binance-futures-exporter-soak-")))
        log = files.enter_context((directory / "log").open("w+b"))
        try:
            async with demo_exchange(seed, speed=_SPEED) as exchange:
                exchange.change_weight_limit(10**6)  # four accounts are polled every second
                path = write_configuration(exchange.url, exchange.accounts.values(), directory / "config")
                path.write_text(path.read_text(encoding="utf-8") + "poll: {interval: 1s}\n", encoding="utf-8")
                async with _exporter(path, log) as (process, url):
                    run = Soak(process, url, len(exchange.accounts), Load(exchange, url, seed))
                    start, end = await run.run(minutes)
        finally:
            errors = _errors(log)
            for line in errors:
                print(f"logged: {line}", file=sys.stderr)
    growths = judge(run.samples, start, end)
    verdicts = [
        *run.verdicts(),
        (f"unexpected errors logged: {len(errors)}", not errors),
        (f"exit code: {process.returncode}", process.returncode == 0),
    ]
    print(as_table(growths), end="\n\n")
    for text, passed in verdicts:
        print(f"- {text}{'' if passed else ': FAILED'}")
    return all(growth.flat for growth in growths) and all(passed for _, passed in verdicts)


@contextlib.asynccontextmanager
async def _exporter(path: Path, log: BinaryIO) -> AsyncIterator[tuple[Process, str]]:
    command = (sys.executable, "-m", "bench.probe", path, "--soak")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=log)
    assert process.stdin
    assert process.stdout
    try:
        url = (await process.stdout.readline()).decode().strip()
        yield process, f"{url}/metrics"
        process.stdin.close()
        await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _errors(log: BinaryIO) -> list[str]:
    """Return the unexpected errors of a log, and lines that are not log lines."""
    log.seek(0)
    errors = []
    for line in log.read().decode().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if not event or (event["level"] == "error" and event["msg"] not in _EXPECTED_ERRORS):
            errors.append(line)
    return errors


def _counts(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the exporter under faults, and fail if its memory or load grows.")
    parser.add_argument("minutes", type=float, help="duration, at least 2")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="seed of the faults")
    arguments = parser.parse_args()
    print(f"{arguments.minutes:g} minutes, seed {arguments.seed}\n", flush=True)
    sys.exit(0 if asyncio.run(soak(arguments.minutes, arguments.seed)) else 1)
