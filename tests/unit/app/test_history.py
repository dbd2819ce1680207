"""`history` against a simulated exchange: what it writes, how it is paced, what it waits for, and its errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections import UserDict, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.config_files import leaks
from support.rest_system import OFF, System
from support.virtual_time import now

from exporter.app.history import HistoryError, HistoryRequest, read_past, write_past
from exporter.config.document import ConfigError
from exporter.simulator.answer_edits import http, once
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from exporter.simulator.rest import INCOME
from exporter.simulator.toggles import REST

if TYPE_CHECKING:
    from collections.abc import KeysView
    from pathlib import Path

    from exporter.simulator import SimulatedAccount, SimulatedExchange

pytestmark = pytest.mark.usefixtures("virtual_time")

DAY = 86_400
UNTIL = 1_699_920_000.0  # 2023-11-14T00:00:00Z, 22 hours before the virtual time starts
COUNTERS = ("received", "paid")
Sums = dict[tuple[str, ...], tuple[float, ...]]


class Run(System):
    """Runs of `history` for alice, and the lines that they reported."""

    def __init__(self, exchange: SimulatedExchange, directory: Path) -> None:
        super().__init__(exchange, directory)
        self.edit(**OFF)
        self.out = directory / "out"
        self.out.mkdir()
        self.lines: list[str] = []

    async def __call__(self, days: float = 3, until: float | None = UNTIL, account: str = "alice") -> dict[str, str]:
        """Read and write; return the content of the files by name."""
        request = HistoryRequest(account=account, since_seconds=days * DAY, until_unix=until)
        past, window = await read_past(self.load(), request, self.lines.append)
        self.lines += write_past(past, window, self.out, account, {"job": "b", "instance": "i:1"})
        return {path.name: path.read_text() for path in sorted(self.out.iterdir())}


@pytest.fixture
def history(exchange: SimulatedExchange, tmp_path: Path) -> Run:
    """Runs against an exchange on which alice has 20 days of income, in a configuration that does not enable it."""
    add_income(exchange.accounts["alice"])
    return Run(exchange, tmp_path)


def add_income(account: SimulatedAccount, *, days: int = 20, per_hour: int = 1) -> None:
    """Add rows of the days before UNTIL, and of the hours after it."""
    begin_ms = int(UNTIL - days * DAY) * 1000
    for number in range((days + 1) * 24 * per_hour):
        at_ms = begin_ms + number * 3_600_000 // per_hour
        account.record_income("FUNDING_FEE", "USDT", Decimal(number % 7 - 3), symbol="BTCUSDT", time_ms=at_ms)
        account.record_income("COMMISSION", "BNB", Decimal("-0.001"), symbol="ETHUSDT", time_ms=at_ms + 1)


def last_values(text: str) -> Sums:
    """Return the last values of a file that are not 0; check that it has an end, and times on the grid."""
    values: defaultdict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            assert ("alice", "b", "i:1") == tuple(sample.labels[name] for name in ("account", "job", "instance"))
            assert 0 == float(sample.timestamp or 1) % 300
            if family.type == "gauge":
                continue
            key = tuple(sample.labels[name] for name in ("asset", "income_type", "symbol"))
            values[key][COUNTERS.index(family.name.removeprefix("binance_futures_income_"))] = sample.value
    return {key: tuple(numbers) for key, numbers in values.items() if any(numbers)}


def sums_of(account: SimulatedAccount, begin: float, end: float, *, by_symbol: bool = False) -> Sums:
    """Return the sums of an account's rows between two Unix timestamps, both inclusive."""
    sums: defaultdict[tuple[str, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in account.income.rows:
        if row.amount and begin * 1000 <= row.time_ms <= end * 1000:
            key = (row.asset, row.income_type.lower(), row.symbol if by_symbol else "")
            sums[key][row.amount < 0] += abs(row.amount)
    return {key: tuple(map(float, numbers)) for key, numbers in sums.items()}


@pytest.mark.no_cover
async def test_files(history: Run) -> None:
    """There is a complete file a day, whose last values are the sums since the first of the month until then."""
    files = await history()
    alice, november = history.exchange.accounts["alice"], UNTIL - 13 * DAY

    assert [f"alice-2023-11-{day}.om" for day in (11, 12, 13)] == list(files)
    assert sums_of(alice, november, UNTIL - 300 - DAY) == last_values(files["alice-2023-11-12.om"])
    assert sums_of(alice, november, UNTIL - 600) == last_values(files["alice-2023-11-13.om"])
    assert 287 * (2 * 8 + 1) == files["alice-2023-11-13.om"].count('account="alice"')
    assert ["2023-11-11: 17 series, 4,896 samples, 0.7 MB"] == history.lines[-3:-2]
    assert history.requests() == history.requests(INCOME) == 2


async def test_again(history: Run) -> None:
    """A second run gives the same files, and replaces what is there."""
    files = await history()
    for path in history.out.iterdir():
        path.write_text("something else")

    assert files == await history()


async def test_two_runs_at_once(history: Run) -> None:
    """If two runs write the same file at the same time, the one that ends last replaces that of the other."""
    request = HistoryRequest(account="alice", since_seconds=DAY, until_unix=UNTIL)
    past, window = await read_past(history.load(), request, history.lines.append)

    class Labels(UserDict[str, str]):
        """Labels that let another run write the file when this one begins to."""

        def keys(self) -> KeysView[str]:
            list(write_past(past, window, history.out, "alice", {"job": "other"}))
            return super().keys()

    list(write_past(past, window, history.out, "alice", Labels(job="this")))
    (path,) = history.out.iterdir()
    text = path.read_text()

    assert text.endswith("# EOF\n")
    assert text.count("account=") == text.count('job="this"')


@pytest.mark.parametrize(("until", "base"), [(UNTIL, {0.0}), (UNTIL - 300, set())])
async def test_first_row_between_the_end_and_the_exporter(until: float, base: set[float], history: Run) -> None:
    """A series whose first row the exporter's first value contains is 0 until then, so that it is an increase."""
    alice = history.exchange.accounts["alice"]
    alice.record_income("TRANSFER", "USDC", "7", time_ms=int(UNTIL - 200) * 1000)
    files = await history(until=until)
    lines = files["alice-2023-11-13.om"].splitlines()

    assert base == {float(line.split()[1]) for line in lines if 'asset="USDC",' in line and '"transfer"' in line}


async def test_no_income(history: Run) -> None:
    """An account without income has no files, and this is said."""
    history.exchange.accounts["alice"].income.rows.clear()

    assert {} == await history()
    assert ["0 rows read", "the account has no income in this time: no files to write"] == history.lines[-2:]


async def test_default_end(history: Run) -> None:
    """By default the last day's file ends before 3 hours ago by the exchange's clock, also if the host's is wrong."""
    with history.exchange.skew_clock(-DAY):
        files = await history(days=1, until=None)

    assert ["alice-2023-11-12.om", "alice-2023-11-13.om"] == list(files)
    assert files["alice-2023-11-13.om"].endswith(f" {int(now()) // 300 * 300 - DAY - 3 * 3600 - 600}\n# EOF\n")


async def test_settings_of_the_account(history: Run) -> None:
    """`since` and `by_symbol` of the account's section apply."""

    def edit(document: dict[str, Any]) -> None:
        document["accounts"][0]["income"] = {"since": "day", "by_symbol": True}

    history.edit(edit)
    files = await history()
    alice, today = history.exchange.accounts["alice"], UNTIL - DAY

    assert sums_of(alice, today, UNTIL - 600, by_symbol=True) == last_values(files["alice-2023-11-13.om"])


async def test_account_name_with_a_slash(history: Run) -> None:
    """A slash in the name of an account does not lead to another directory."""
    history.edit(lambda document: document["accounts"][0].update(name="../a%"))

    assert ["..%2Fa%25-2023-11-13.om"] == list(await history(days=0.5, account="../a%"))


@pytest.mark.no_cover
async def test_pace(history: Run) -> None:
    """Requests stay within the share of the request weight: 8 a minute by default, with lines about the progress."""
    add_income(history.exchange.accounts["alice"], per_hour=20)
    history.edit(lambda document: document["binance"].pop("rest_weight_share"))
    began = now()
    await history(days=20)

    assert 20 < history.requests(INCOME) <= 8 * (1 + (now() - began) / 60)
    assert 20 > (now() - began) / history.requests(INCOME)
    assert 2 == sum(" rows read until 2023-1" in line for line in history.lines)


@pytest.mark.parametrize("fault", ["rest-429", "rest-503", "rest-hanging", "rest-truncated", "rest-wrong-types"])
async def test_failures_that_pass(fault: str, history: Run) -> None:
    """A failure is reported and waited for, and the result is as if there had been none."""
    files = await history()
    with contextlib.ExitStack() as stack:
        undo = stack.enter_context(REST_FAULTS[fault].switch(history.exchange))
        asyncio.get_running_loop().call_later(35.0, undo.close)
        history.lines.clear()
        repeated = await history()

    assert files == repeated
    assert any("; continuing in " in line for line in history.lines)


async def test_ban(history: Run) -> None:
    """A ban of the WebSocket API, which is one of this IP, is waited for, and nothing is sent until it ends."""
    began = now()
    with history.exchange.ban(1000.0):
        files = await history()

    assert 3 == len(files)
    assert 1000.0 < now() - began < 1100.0
    assert "the exchange has banned this IP; requests are paused until the ban ends; continuing in " in history.lines[0]
    assert 2 == history.requests(INCOME)


@pytest.mark.parametrize("fault", ["rest-503", "rest-451", "rest-hanging", "rest-huge"])
async def test_failures_that_last(fault: str, history: Run) -> None:
    """After five failures in a row it gives up, writes nothing, and says what to do."""
    with REST_FAULTS[fault].switch(history.exchange), pytest.raises(HistoryError, match=r"^cannot read .*alice: .+; "):
        await history()

    assert 6 == history.requests(INCOME)
    assert [] == list(history.out.iterdir())


async def test_refused_key(history: Run) -> None:
    """A key that is refused ends it at once, with advice, and without showing the key."""
    alice = history.exchange.accounts["alice"]
    with history.exchange.revoke("alice"), pytest.raises(HistoryError) as caught:
        await history()

    assert str(caught.value).startswith("cannot read the income of alice: ")
    assert "; " in str(caught.value)
    assert 1 == history.requests(INCOME)
    assert set() == leaks("\n".join([str(caught.value), *history.lines]), {alice.api_key, alice.secret_key or ""})


async def test_clock_ahead_between_pages(history: Run) -> None:
    """A rejected timestamp is corrected without a failure."""
    rejected = once(http(400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}))
    with history.exchange.replace_answer(REST, None, rejected):
        files = await history()

    assert 3 == len(files)
    assert not any("continuing" in line for line in history.lines)


async def test_unreachable(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """Without a connection it gives up and says why."""
    history = Run(exchange, tmp_path)
    history.edit(lambda document: document["binance"].update(endpoint="ws://127.0.0.1:1/ws-fapi/v1"))
    with pytest.raises(HistoryError, match="cannot read the income of alice: not connected"):
        await history()

    assert 5 == len(history.lines)


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("carol", "--account: is not configured; the accounts are: alice, bob"),
        ("alice", "--account: has a custom endpoint, whose REST API is not known: set binance.rest_endpoint"),
    ],
)
async def test_wrong_account(account: str, words: str, history: Run) -> None:
    """An account that is not configured, or whose REST API is unknown, is an error."""
    history.edit(lambda document: document["binance"].pop("rest_endpoint"))
    with pytest.raises(ConfigError) as caught:
        await history(account=account)

    assert words == str(caught.value)


async def test_file_that_cannot_be_written(history: Run) -> None:
    """An error of writing names the file, keeps the files before it, and leaves no partial one."""
    (history.out / "alice-2023-11-12.om").mkdir()
    with pytest.raises(HistoryError, match=r"^cannot write .*alice-2023-11-12\.om: Is a directory$"):
        await history()

    assert ["alice-2023-11-11.om", "alice-2023-11-12.om"] == sorted(path.name for path in history.out.iterdir())
