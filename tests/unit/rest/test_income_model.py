"""Income as counters, with random rows, pages, failures, restarts and scrapes around the turn of a month or day."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.income import HOUR, MINUTE, TURN, History

from exporter.binance.errors import NoResponse
from exporter.rest import income_walk
from exporter.rest.income_ledger import IncomeFigures, IncomeLedger
from exporter.rest.income_reader import IncomeReader
from exporter.rest.income_rows import IncomeRow
from exporter.rest.income_sums import ALWAYS_SHOWN, LabelSet
from exporter.rest.income_turn import Since, Step

if TYPE_CHECKING:
    from collections.abc import Coroutine

EXAMPLES: Final = int(os.environ.get("INCOME_EXAMPLES", "100"))
TYPES: Final = ["A_NEW_TYPE", "COMMISSION", "FUNDING_FEE", "REALIZED_PNL", "TRANSFER"]
AMOUNTS: Final = ["0", "1", "-1", "0.00000001", "-123456789012.123456789012345678", "500"]
ZERO: Final = Decimal(0)

offsets = (
    st.integers(-30 * HOUR, 3 * HOUR)
    | st.integers(-15 * MINUTE, 15 * MINUTE)
    | st.sampled_from([-31 * 24 * HOUR, -26 * HOUR, -24 * HOUR, -5 * MINUTE, -1, 0, 1, 5 * MINUTE, 20 * MINUTE])
)
rows = st.builds(
    lambda offset, income_type, transaction, asset, symbol, amount: IncomeRow(
        TURN + offset, income_type, transaction, asset, symbol, "", Decimal(amount)
    ),
    offsets,
    st.sampled_from(TYPES),
    st.integers(0, 2) | st.integers(0, 10**19),
    st.sampled_from(["USDT", "BNB"]),
    st.sampled_from(["", "BTCUSDT"]),
    st.sampled_from(AMOUNTS),
)
# A row, how many equal ones there are, and how late they appear, in percent of the longest time.
late_rows = st.tuples(rows, st.sampled_from([1, 1, 1, 2, 5]), st.just(0) | st.integers(0, 100))


@dataclass
class Scenario:
    """What happens, apart from the rows; times are offsets to the turn in milliseconds."""

    since: Since
    by_symbol: bool
    begins: int
    scrape_interval: int
    read_interval: int
    latest: int  # how late rows appear at most, in milliseconds
    restarts: list[int]
    outages: list[tuple[int, int]]
    failure_percent: int
    ends: int
    seed: int


scenarios = st.builds(
    Scenario,
    st.sampled_from(Since),
    st.booleans(),
    st.integers(-3 * HOUR, HOUR),
    st.integers(MINUTE, 5 * MINUTE),
    st.integers(10_000, 15 * MINUTE),
    st.sampled_from([0, 5 * MINUTE, 10 * MINUTE]),
    st.just([])
    | st.lists(st.integers(-2 * HOUR, 7 * HOUR) | st.integers(0, 40 * MINUTE), max_size=3)
    | st.lists(st.integers(10 * MINUTE, 35 * MINUTE), min_size=1, max_size=2),
    st.just([]) | st.lists(st.tuples(st.integers(-2 * HOUR, 7 * HOUR), st.integers(0, 7 * HOUR)), max_size=2),
    st.sampled_from([0, 0, 0, 10, 50]),
    st.sampled_from([90 * MINUTE, 90 * MINUTE, 8 * HOUR]),
    st.integers(0, 10**9),
)


@dataclass
class Series:
    """What scrapes have seen of one label set: the increase as Prometheus computes it, and the last counters."""

    increase: list[Decimal] = field(default_factory=lambda: [ZERO, ZERO])
    first: tuple[Decimal, Decimal] | None = None
    last: tuple[Decimal, Decimal] | None = None
    new_at: int | None = None  # when a label set appeared in a running process

    @property
    def total(self) -> tuple[Decimal, Decimal]:
        """The first sample and the increase since."""
        received, paid = self.first or (ZERO, ZERO)
        return received + self.increase[0], paid + self.increase[1]


class World:
    """An account whose income is read, and whose counters are scraped, in steps of virtual time."""

    def __init__(self, sent: list[tuple[IncomeRow, int, int]], scenario: Scenario) -> None:
        self.scenario = scenario
        self.is_undisturbed = not (scenario.restarts or scenario.outages or scenario.failure_percent)
        self.random = Random(scenario.seed)  # noqa: S311 - it must be repeatable
        self.now = TURN + scenario.begins
        copies: dict[IncomeRow, int] = {}
        lags: dict[IncomeRow, int] = {}
        for row, count, percent in sent:
            copies[row] = count if row.transaction == 0 else 1
            lags[row] = percent * scenario.latest // 100
        self.rows = [(row, row.time_ms + lags[row]) for row, count in copies.items() for _ in range(count)]
        self.periods = {row: tuple(since.start(row.time_ms) for since in (scenario.since, Since.DAY)) for row in copies}
        self.history = History(self.rows, lambda: self.now, self.random)
        self.series: defaultdict[LabelSet, Series] = defaultdict(Series)
        self.next_scrape = self.now
        self.milliseconds_and_types = Counter((row.time_ms, row.income_type) for row, _ in self.rows)
        self.start()

    @property
    def milliseconds(self) -> int:
        """The exchange's time."""
        return self.now

    def start(self) -> None:
        """Start the exporter, perhaps again."""
        self.ledger = IncomeLedger(self.scenario.since, self.now, by_symbol=self.scenario.by_symbol)
        account: Any = self
        self.reader = IncomeReader("main", account, account, account, self.ledger)
        self.next_read = self.now
        self.scraped = False
        for series in self.series.values():
            series.new_at = None
        self.zero_since: int | None = None  # when zeros were first shown

    async def get(self, *request: Any) -> Any:
        """Answer a request, which takes a while."""
        self.wait(self.random.choice([0, 500, 20_000]))
        offset = self.now - TURN
        is_out = any(start <= offset < start + length for start, length in self.scenario.outages)
        if is_out or self.random.random() * 100 < self.scenario.failure_percent:
            raise NoResponse("no")
        return await self.history.get(*request)

    def run(self) -> None:
        """Let everything happen, and then go on until everything is read and shown."""
        restarts = sorted(TURN + offset for offset in self.scenario.restarts)
        while self.now < TURN + self.scenario.ends:
            while restarts and self.now >= restarts[0]:
                restarts.pop(0)
                self.start()
            self.step()
        self.scenario.outages, self.scenario.failure_percent = [], 0
        ends = max(self.now, *(appears for _, appears in self.rows)) if self.rows else self.now
        while self.now < ends + HOUR:
            self.step()

    def step(self) -> None:
        """Read if it is time to, and wait."""
        if self.now >= self.next_read:
            try:
                run(self.reader.read())
                self.next_read = self.now + self.scenario.read_interval
            except NoResponse:
                self.next_read = self.now + MINUTE
        self.wait(self.scenario.scrape_interval)

    def wait(self, milliseconds: int) -> None:
        """Let time pass, and scrapes happen."""
        ends = self.now + milliseconds
        while self.next_scrape <= ends:
            self.now = self.next_scrape
            self.scrape()
            self.next_scrape += self.scenario.scrape_interval
        self.now = ends

    def scrape(self) -> None:
        """Compare what is shown with the rows, and with what was shown before."""
        figures = self.ledger.figures(self.now, ["USDT"])
        if self.ledger.read_until_ms is None:
            assert {} == figures
            return
        turn = self.ledger._turn
        is_zero = turn.step is Step.ZERO
        period = {row for row, (start, _) in self.periods.items() if start == turn.shown}
        read = self.sums(period, self.ledger.read_until_ms, self.ledger.read_until_ms)
        most = self.sums(period, self.now, self.now)
        day = {row for row, (_, start) in self.periods.items() if start == self.ledger._today.shown}
        nothing = (ZERO, ZERO)
        if not self.scenario.by_symbol:
            assert {LabelSet("USDT", income_type, "") for income_type in ALWAYS_SHOWN} <= figures.keys()
        assert is_zero or read.keys() <= figures.keys()
        for label_set, shown in figures.items():
            is_new = self.check_series(label_set, shown, is_zero=is_zero)
            if is_zero or is_new:
                assert (ZERO, ZERO) == shown[:2]
            else:
                least = read.get(label_set, nothing)
                assert least[0] <= shown.received <= most.get(label_set, nothing)[0]
                assert least[1] <= shown.paid <= most.get(label_set, nothing)[1]
        if self.now - self.ledger.read_until_ms < MINUTE and all(
            at <= self.ledger.read_until_ms for _, at in self.rows
        ):
            net = {each: paid[0] - paid[1] for each, paid in self.sums(day, self.now, self.now).items()}
            assert net.items() <= {each: shown.today for each, shown in figures.items()}.items()
        self.check_vanished(figures)
        if is_zero:
            self.zero_since = self.zero_since or self.now
        elif self.zero_since:
            assert self.now - self.zero_since >= 15 * MINUTE
            self.zero_since = None
        self.scraped = True

    def sums(self, chosen: set[IncomeRow], until: int, appeared: int) -> dict[LabelSet, tuple[Decimal, Decimal]]:
        """Return plain sums of rows until a time that had appeared until another."""
        sums: dict[LabelSet, tuple[Decimal, Decimal]] = {}
        for row, appears in self.rows:
            if row in chosen and row.time_ms <= until and appears <= appeared:
                label_set = LabelSet(row.asset, row.income_type.lower(), row.symbol if self.scenario.by_symbol else "")
                received, paid = sums.get(label_set, (ZERO, ZERO))
                sums[label_set] = (received + max(row.amount, ZERO), paid - min(row.amount, ZERO))
        return sums

    def check_series(self, label_set: LabelSet, shown: IncomeFigures, *, is_zero: bool) -> bool:
        """Add a sample, and return whether the label set is too new to have a value."""
        series, sample = self.series[label_set], (shown.received, shown.paid)
        if series.last is None:
            series.new_at = self.now if self.scraped else None
            series.first = series.first or sample
            if self.scraped:
                assert (ZERO, ZERO) == sample
        else:
            for index, (before, after) in enumerate(zip(series.last, sample, strict=True)):
                if after < before:
                    # Within a process only to the zeros of a turn.
                    assert not self.scraped or (is_zero and after == 0)
                    series.increase[index] += after
                else:
                    series.increase[index] += after - before
        series.last = sample
        if series.new_at is not None and self.now >= series.new_at + 5 * MINUTE:
            series.new_at = None
        return series.new_at is not None

    def check_vanished(self, figures: dict[LabelSet, IncomeFigures]) -> None:
        """Check that a label set only vanishes with a restart or after zeros."""
        for label_set, series in self.series.items():
            if label_set not in figures and series.last is not None:
                assert not self.scraped or (self.zero_since and self.ledger._turn.step is Step.CURRENT)
                series.last = series.new_at = None


def run(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that waits for nothing: an event loop would take most of the time."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


@pytest.mark.no_cover
@settings(max_examples=EXAMPLES)
@given(st.lists(late_rows, max_size=25), scenarios, st.integers(1, 4))
def test_counters(sent: list[tuple[IncomeRow, int, int]], scenario: Scenario, page_rows: int) -> None:
    """Counters are plain sums of rows, decrease only at the turn and by visible zeros, and count nothing twice."""
    world = World(sent, scenario)
    with pytest.MonkeyPatch.context() as patch, localcontext(prec=100):
        # More than there are of a type in a millisecond, so that none is missing.
        page_rows += max(world.milliseconds_and_types.values(), default=0)
        patch.setattr(income_walk, "MAX_INCOME_ROWS", page_rows)
        world.run()
        check_increases(world)


def world_rows(world: World) -> set[IncomeRow]:
    """Return the rows since the first sample's period began."""
    begins = TURN + world.scenario.begins
    start = world.scenario.since.start(begins)
    if begins < start + 15 * MINUTE:
        start = world.scenario.since.start(start - 1)
    return {row for row, _ in world.rows if row.time_ms >= start}


def check_increases(world: World) -> None:
    """Compare what scrapes saw increase with all rows."""
    everything = {row for row, _ in world.rows}
    truth = world.sums(everything, world.now, world.now)
    for label_set, series in world.series.items():
        received, paid = truth.get(label_set, (ZERO, ZERO))
        # What a scrape saw first need not be an increase, but it and all increases are never more than the rows.
        assert series.total[0] <= received
        assert series.total[1] <= paid
    if world.is_undisturbed and world.scenario.latest <= 5 * MINUTE:
        assert world.ledger.incomplete == 0
    if not (world.scenario.restarts or world.ledger.incomplete):
        for label_set, sums in world.sums(world_rows(world), world.now, world.now).items():
            assert sums == world.series[label_set].total
