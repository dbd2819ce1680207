"""Reads the past income of an account, and writes what its counters showed to files, one for each UTC day."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Final, TypeVar

from exporter.app.fleet import Fleet
from exporter.app.history_window import window_of
from exporter.app.rest_fleet import RestFleet
from exporter.binance.advice import advise
from exporter.binance.errors import Action, BinanceError, NotConnected, classify
from exporter.config.document import ConfigError, Problem
from exporter.formatting import format_duration, format_utc
from exporter.metrics.past import openmetrics_of
from exporter.rest.income_past import IncomePast
from exporter.rest.income_walk import IncomeWalk, request_income
from exporter.rest.state import RestSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from exporter.app.history_window import Window
    from exporter.binance.connection import Connection
    from exporter.config.exporter_yml import Config
    from exporter.rest.client import RestClient
    from exporter.rest.state import IncomeSettings

_Result = TypeVar("_Result")

_MAX_FAILURES: Final = 5  # in a row
_FIRST_DELAY_SECONDS: Final = 5.0  # doubles with each failure in a row
_LONGEST_DELAY_SECONDS: Final = 80.0
_PAGES_BETWEEN_MESSAGES: Final = 10  # more than a minute, with the default share


class HistoryError(Exception):
    """The income cannot be read, or a file not be written; the text says why, and contains no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRequest:
    """What to read."""

    account: str
    since_seconds: float
    until_unix: float | None = None  # None: 3 hours ago


async def read_past(
    config: Config, request: HistoryRequest, report: Callable[[str], object]
) -> tuple[IncomePast, Window]:
    """Return an account's rows and the window that they are of.

    It takes the time that the REST weight share requires, and waits for pauses to end.

    Args:
        config: the configuration, with the account; its income need not be enabled.
        request: what to read.
        report: called with a line of text about the progress.

    Raises:
        ConfigError: the request does not fit the configuration, the exchange's time or what the exchange keeps.
        HistoryError: the exchange refused a request, or repeatedly did not respond.
    """
    income = _income_settings(config, request.account)
    (settings,) = (settings for settings in config.accounts if settings.name == request.account)
    accounts = (replace(settings, key_check_url=None),)
    own = replace(config, accounts=accounts, income={}, rest=RestSettings(weight_share=config.rest.weight_share))
    async with _connected(own, income) as (connection, client):
        persist = partial(_persist, connection, client, report, request.account)
        await persist(partial(_synchronize, connection))
        window = window_of(income.since, connection.clock.milliseconds, request.since_seconds, request.until_unix)
        for note in window.notes:
            report(note)
        first, last = format_utc(window.rows_ms // 1000), format_utc(window.rows_end_ms // 1000)
        report(f"reading the income of {request.account} from {first} to {last}")
        past = IncomePast(income.since, by_symbol=income.by_symbol)
        send = partial(request_income, client, settings.credentials)
        walk = IncomeWalk(send, window.rows_ms, window.rows_end_ms, past.add)
        while not await persist(partial(walk.run, 1)):
            if walk.pages % _PAGES_BETWEEN_MESSAGES == 0:
                report(f"{past.rows:,} rows read until {format_utc(walk.next_ms // 1000)}")
    report(f"{past.rows:,} rows read")
    if walk.incomplete:
        report(f"warning: {walk.incomplete} times a millisecond had more rows than can be requested: they are missing")
    return past, window


def write_past(
    past: IncomePast, window: Window, directory: Path, account: str, labels: Mapping[str, str]
) -> Iterator[str]:
    """Write a file for each UTC day, replacing it as a whole; yield a line of text about each.

    Raises:
        HistoryError: a file cannot be written.
    """
    # A name that differs for every account, and is readable: only a slash must not be in it.
    prefix = account.replace("%", "%25").replace("/", "%2F")
    files = 0
    for day in past.days(window.rows_ms, window.start_ms, window.end_ms):
        date = format_utc(day.start_ms // 1000)[:10]
        path = directory / f"{prefix}-{date}.om"
        size = _write(path, openmetrics_of(day, account, labels))
        yield f"{date}: {2 * len(day.series) + 1} series, {day.samples:,} samples, {size / 1e6:.1f} MB"
        files += 1
    if not files:
        yield "the account has no income in this time: no files to write"


def _income_settings(config: Config, account: str) -> IncomeSettings:
    names = [settings.name for settings in config.accounts]
    if account not in names:
        raise ConfigError(Problem("--account", f"is not configured; the accounts are: {', '.join(names)}"))
    if account not in config.income:
        text = "has a custom endpoint, whose REST API is not known: set binance.rest_endpoint"
        raise ConfigError(Problem("--account", text))
    return config.income[account]


@asynccontextmanager
async def _connected(config: Config, income: IncomeSettings) -> AsyncIterator[tuple[Connection, RestClient]]:
    """Connect to the exchange, whose time and pauses also apply to REST; poll nothing."""
    fleet = Fleet(config, lambda *_: None, lambda _: None)
    (connection,) = fleet.connections
    client = RestFleet(fleet, config, lambda _: None).client(income.url, connection)
    running = asyncio.create_task(connection.run())
    try:
        await connection.first_attempt_finished.wait()
        yield connection, client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.close()


async def _synchronize(connection: Connection) -> None:
    connection.budget.raise_if_paused()
    await connection.resync_clock(float("-inf"))
    if not connection.clock.synchronized:
        raise NotConnected("the exchange did not report its time")


async def _persist(
    connection: Connection,
    client: RestClient,
    report: Callable[[str], object],
    account: str,
    work: Callable[[], Awaitable[_Result]],
) -> _Result:
    """Return the result of `work`, repeated after failures that may be over later."""
    failures, delay_seconds = 0, _FIRST_DELAY_SECONDS
    while True:
        try:
            return await work()
        except BinanceError as error:
            action = classify(error).action
            failures += action is not Action.WAIT  # other programs may need the request weight for hours
            if action in {Action.REFUSED, Action.BUG} or failures > _MAX_FAILURES:
                raise HistoryError(f"cannot read the income of {account}: {error}; {advise(error)}") from None
            seconds = max(client.budget.pause_seconds, connection.budget.pause_seconds, delay_seconds)
            report(f"{error}; continuing in {format_duration(seconds)}")
        await asyncio.sleep(seconds)
        delay_seconds = min(2 * delay_seconds, _LONGEST_DELAY_SECONDS)


def _write(path: Path, pieces: Iterable[str]) -> int:
    """Write a file that exists completely or not at all; return its size in bytes."""
    # Each run has its own temporary files, in case two of them write to the same directory.
    temporary = path.with_name(f".{token_hex(4)}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            size = temporary.stat().st_size
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HistoryError(f"cannot write {path}: {error.strerror or error}") from None
    return size
