"""Income as counters: sums by asset and type, rows that appear late, and label sets."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from support.income import HOUR, MINUTE, TURN, Exporter, income_row

from exporter.rest.income_ledger import IncomeLedger
from exporter.rest.income_rows import INCOME_TYPES
from exporter.rest.income_sums import ALWAYS_SHOWN, LabelSet
from exporter.rest.income_turn import Since

if TYPE_CHECKING:
    from exporter.rest.income_ledger import IncomeFigures

DAY = 24 * HOUR
NOON = TURN - 12 * HOUR  # of a day that is neither the first nor the last of which rows are needed


def test_nothing_before_the_first_read() -> None:
    """Without a complete read nothing is shown, not even zeros."""
    exporter = Exporter(NOON)
    exporter.ledger.begin(NOON).add([income_row(NOON, "1")])

    assert {} == exporter.ledger.figures(NOON, ["USDT"])
    assert (None, False) == (exporter.ledger.read_until_ms, exporter.ledger.is_turning)


def test_sums() -> None:
    """What was received and what was paid this month, and the net of today, by asset and type in lower case."""
    exporter = Exporter(NOON)
    rows = [
        income_row(NOON - 20 * DAY, "5"),
        income_row(NOON - 2, "-3"),
        income_row(NOON - 1, "-0.5"),
        income_row(NOON, "1"),
    ]
    exporter.read(NOON, [*rows, income_row(NOON - 30 * DAY, "1000"), income_row(NOON, "-0.01", "COMMISSION", "BNB")])
    shown = exporter.ledger.figures(NOON, [])

    assert ("6", "3.5", "-2.5") == tuple(map(str, shown[LabelSet("USDT", "transfer", "")]))
    assert ("0", "0.01", "-0.01") == tuple(map(str, shown[LabelSet("BNB", "commission", "")]))
    assert NOON == exporter.ledger.read_until_ms


def test_sums_are_exact() -> None:
    """Sums with more digits than Python's default precision are not rounded."""
    exporter = Exporter(NOON)
    exporter.read(NOON, [income_row(NOON - each, "999999999999999999.000000000000000001") for each in range(99)])

    assert Decimal("98999999999999999901.000000000000000099") == Decimal(exporter.transfers(NOON).partition("/")[0])


def test_types_that_always_have_counters() -> None:
    """Four types start at 0 for every asset with a wallet balance or a row, unless counters are by symbol."""
    exporter, by_symbol = Exporter(NOON), Exporter(NOON, by_symbol=True)
    for each in (exporter, by_symbol):
        each.read(NOON, [income_row(NOON, "1", asset="BNB", symbol="BTCUSDT")])
    shown = exporter.ledger.figures(NOON, ["USDT"])

    assert {("BNB", "transfer")} | {(asset, each) for asset in ("BNB", "USDT") for each in ALWAYS_SHOWN} == {
        labels[:2] for labels in shown
    }
    assert [LabelSet("BNB", "transfer", "BTCUSDT")] == list(by_symbol.ledger.figures(NOON, ["USDT"]))


def test_late_rows_are_counted_once() -> None:
    """Each read begins 10 minutes before the last one, and counts only rows that are new."""
    exporter = Exporter(NOON)
    exporter.read(NOON, [income_row(NOON - 10 * MINUTE, "1"), income_row(NOON, "10")])
    exporter.read(NOON + MINUTE, [income_row(NOON - 10 * MINUTE, "1"), income_row(NOON - 10 * MINUTE, "100")])
    exporter.read(NOON + 2 * MINUTE)
    exporter.read(NOON + 20 * MINUTE, [income_row(NOON - 8 * MINUTE, "1000")])

    assert [NOON - 10 * MINUTE, NOON - 9 * MINUTE, NOON - 8 * MINUTE] == exporter.starts[1:]
    assert "1112/0" == exporter.transfers(NOON + 20 * MINUTE)


def test_vanished_rows() -> None:
    """Rows that are no longer returned remain counted, once, and are incomplete unless they are returned again."""
    exporter = Exporter(NOON)
    exporter.read(NOON, [income_row(NOON, "1"), income_row(NOON, "1"), income_row(NOON, "2")])
    rows, exporter.rows = exporter.rows, []

    assert 3 == exporter.read(NOON + MINUTE)
    assert 0 == exporter.read(NOON + 2 * MINUTE, rows)
    assert "4/0" == exporter.transfers(NOON + 2 * MINUTE)
    assert 0 == exporter.ledger.incomplete
    exporter.read(NOON + 10 * MINUTE)
    exporter.rows = []
    assert 3 == exporter.read(NOON + 11 * MINUTE)
    assert 1 == exporter.ledger.incomplete


def test_only_rows_of_the_overlap_are_kept() -> None:
    """Apart from sums only the rows of the last 10 minutes are kept, be it the first read or a later one."""
    exporter = Exporter(NOON)
    exporter.read(NOON, [income_row(NOON - number * MINUTE, "1") for number in range(10_000)])

    assert 11 == len(exporter.ledger._counted)
    exporter.read(NOON + 9 * MINUTE)
    assert 2 == len(exporter.ledger._counted)
    assert [1] == [len(period.sums) for period in exporter.ledger._periods.values()]
    assert [1] == [len(sums) for sums in exporter.ledger._days.values()]


def test_new_label_set() -> None:
    """A label set that appears in a running exporter is 0 for 5 minutes first."""
    exporter = Exporter(NOON)
    exporter.read(NOON)
    exporter.counters(NOON)
    exporter.read(NOON + MINUTE, [income_row(NOON + 1, "7", asset="BNB")])
    shown = [exporter.counters(NOON + MINUTE + after) for after in (0, 5 * MINUTE - 1, 5 * MINUTE)]

    assert [{"BNB:transfer": f"{value}/0"} for value in (0, 0, 7)] == shown


def test_clock_that_is_set_back() -> None:
    """Neither a value nor a new label set is affected by a clock that is set back, also after another read."""
    exporter = Exporter(NOON)
    exporter.read(NOON)
    exporter.counters(NOON)
    exporter.read(NOON + MINUTE, [income_row(NOON, "7")])
    assert ["0/0", "7/0"] == [exporter.transfers(NOON + minutes * MINUTE) for minutes in (1, 6)]
    assert "7/0" == exporter.transfers(NOON + 5 * MINUTE)
    exporter.read(NOON + 5 * MINUTE)

    assert ["7/0", "7/0"] == [exporter.transfers(NOON + minutes * MINUTE) for minutes in (5, 4)]


def test_same_figures_are_the_same_object() -> None:
    """Figures are calculated again only after a read, for other assets, or when a step or new label set is due."""
    exporter = Exporter(TURN - HOUR)
    figures = exporter.ledger.figures
    assert figures(NOON, []) is figures(NOON + MINUTE, ["USDT"])
    exporter.read(TURN - 2 * MINUTE)
    assert figures(TURN - 2 * MINUTE, ["USDT"]) is figures(TURN + 6 * HOUR - 1, ["USDT", "USDT"])
    assert figures(TURN - 2 * MINUTE, ["USDT"]) is not figures(TURN - 2 * MINUTE, ["BNB"])
    exporter.read(TURN - MINUTE, [income_row(TURN - MINUTE, "7")])
    assert figures(TURN - MINUTE, ()) is not figures(TURN + 4 * MINUTE, ())
    exporter.read(TURN + 5 * MINUTE)
    for begins, ends in ((5, 15), (15, 30)):
        step = figures(TURN + begins * MINUTE, ())
        assert step is figures(TURN + ends * MINUTE - 1, ())
        assert step is not figures(TURN + ends * MINUTE, ())


def test_label_sets_remain_for_the_month() -> None:
    """A label set remains until the turn even if its asset has no balance any more; then it is new again."""
    exporter = Exporter(NOON)
    exporter.read(NOON, [income_row(NOON, "5")])
    commission, transfer = LabelSet("BNB", "commission", ""), LabelSet("USDT", "transfer", "")

    assert commission in exporter.ledger.figures(NOON, ["BNB"])
    assert commission in exporter.ledger.figures(NOON + HOUR, [])
    exporter.read(TURN + 5 * MINUTE)
    for minutes in (5, 15, 30):
        shown = exporter.ledger.figures(TURN + minutes * MINUTE, ["USDT"])
        assert (minutes < 30) == (commission in shown) == (transfer in shown)
    exporter.read(TURN + HOUR, [income_row(TURN + HOUR, "8")])
    assert "0/0" == exporter.transfers(TURN + HOUR)
    assert "8/0" == exporter.transfers(TURN + HOUR + 5 * MINUTE)


def test_unknown_types() -> None:
    """Known types have labels in any case, unknown ones in the order of their first row, from the 21st as other."""
    exporter = Exporter(NOON)
    unknown = [income_row(NOON - 1000 + number, "1", f"NEW_{99 - number}") for number in range(25)]
    exporter.read(NOON, unknown)
    exporter.read(NOON + 1, [income_row(NOON, "1", each) for each in (*INCOME_TYPES, "NEW_0", "NEW_99")])
    types = Counter({labels.income_type: int(shown.received) for labels, shown in _shown_later(exporter).items()})

    assert {"other": 6, "new_99": 2} | {f"new_{99 - number}": 1 for number in range(1, 20)} == {
        name: value for name, value in types.items() if name.upper() not in INCOME_TYPES
    }
    assert {1} == {types[each.lower()] for each in INCOME_TYPES}


def test_symbols() -> None:
    """Symbols have labels in the order of their first row, from the 201st as other; rows without one have none."""
    exporter = Exporter(NOON, by_symbol=True)
    exporter.read(NOON, [income_row(NOON - number, "1", symbol=f"S{number}") for number in range(203)])
    exporter.read(NOON + 1, [income_row(NOON, "1", symbol=symbol) for symbol in ("S0", "S202", "")])
    shown = {labels.symbol: int(figures.received) for labels, figures in _shown_later(exporter).items()}

    assert {"other": 4, "S202": 2, "": 1} | {f"S{number}": 1 for number in range(3, 202)} == shown


def _shown_later(exporter: Exporter) -> dict[LabelSet, IncomeFigures]:
    """Return what is shown once no label set is new."""
    exporter.ledger.figures(NOON + 1, [])
    return exporter.ledger.figures(NOON + HOUR, [])


def test_incomplete_reads_are_counted() -> None:
    """Rows that a read could not get are counted as incomplete."""
    ledger = IncomeLedger(Since.MONTH, NOON, by_symbol=False)
    ledger.commit(ledger.begin(NOON), incomplete=2)

    assert 2 == ledger.incomplete
