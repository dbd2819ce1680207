"""The benchmarks run and measure what they claim; the figures are for `make bench`."""

from __future__ import annotations

import re
import shutil
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.tools import missing, needs

from bench import __main__ as main
from bench import poll, prometheus, scrape, small, table, whole
from bench.exchange import Ledgers, factors
from bench.peers import PEERS
from bench.processes import logging
from bench.scraping import Scrape
from exporter.simulator.market import Market

if TYPE_CHECKING:
    from pathlib import Path


def cells(report: str) -> dict[str, list[str]]:
    """Return the rows of a report's table by their first cell."""
    rows = [line[2:-2].split(" | ") for line in report.splitlines() if line.startswith("| ") and "--:" not in line]
    return {row[0]: row[1:] for row in rows}


def test_every_peer_polls_the_same_exchange() -> None:
    """Each peer polls every position of the same exchange, and is compared with this exporter."""
    if not poll.CCXT_PYTHON.exists():
        missing("ccxt", "interop")
    rows = cells(poll.report(sizes=(5,), rounds=1, warm_up=1, polls=2))

    assert {*PEERS} == rows.keys() - {""}
    assert all(re.match(r"[\d,]+( \(1/[\d.e+]+\))?$", row[0]) for peer, row in rows.items() if peer)


def test_every_answer_differs() -> None:
    """Nearly every position differs from answer to answer of an account, also with many other accounts between."""
    ledgers = Ledgers(Market(1), 20)
    answers = [ledgers.status(factor)["positions"] for _ in range(40) for factor in factors(40)][::40]
    moved = ("notional", "unrealizedProfit", "initialMargin", "maintMargin")

    for number, row in enumerate(answers[0]):
        for field in moved:
            values = [answer[number][field] for answer in answers]
            same = sum(early == late for early, late in pairwise(values))
            assert same <= 4, (row["symbol"], field)


def test_missing_positions_end_the_benchmark() -> None:
    """A peer that does not have every position ends the benchmark."""
    with poll.exchange(3) as exchange, pytest.raises(SystemExit, match="lacks positions"):
        poll.seconds_of("python-binance", {**exchange, "positions": 4}, 1, 1)


def test_scrapes_of_the_same_series() -> None:
    """Every peer serves the same series, plain and with gzip; without Go the report says how to install it."""
    report = scrape.report(sizes=(500,), rounds=1)
    zipped, plain = (line.split(" | ") for line in report.splitlines() if re.match(r"\| \d", line))

    assert ["gzip", "plain"] == [zipped[1], plain[1]]
    assert (shutil.which("go") is None) == ("Without client_golang" in report)
    assert all(re.match(r"[\d,.]+ \(1/[\d.e+]+\)$", row[4]) for row in (zipped, plain))


@pytest.mark.waits
@pytest.mark.prometheus
def test_whole_at_two_sizes() -> None:
    """The exporter is measured with each number of accounts and scraped by Prometheus; missed polls are counted."""
    needs("prometheus")
    load = whole.Load(accounts=0, positions=3, interval_seconds=1.0, scrape_seconds=1.0)
    report = whole.report(sizes=(1, 2), load=load, seconds=3.0, rounds=1)
    rows = cells(report)

    assert ["1 account", "2 accounts", "target"] == rows[""]
    assert all(polls.isdecimal() for polls in rows["missed polls"][:2])
    assert float(rows["series"][0]) < float(rows["series"][1])
    assert re.search(r"Prometheus [\d.]+ needs at most .*: [\d,]+ samples, no warnings\.$", report)


@pytest.mark.parametrize(
    ("polls", "failures", "missed"), [([2, 2], 0, 0), ([2, 0], 0, 2), ([2, 2], 3, 3), ([3, 1], 0, 1)]
)
def test_missed_polls_are_counted(polls: list[float], failures: int, missed: int) -> None:
    """Missed polls are those that failed, and those that were due and did not take place."""
    measured = whole.Measured(
        load=whole.Load(accounts=2, interval_seconds=60.0),
        seconds=121.0,
        cpu_seconds=0.5,
        peak_mib=50.0,
        delays_seconds=[],
        ages_seconds=[],
        scrapes_seconds=[],
        polls=polls,
        failures=failures,
        weight=0.0,
        last=Scrape(b"", zipped=False, seconds=0.0),
        prometheus="",
    )

    assert missed == measured.missed


@pytest.mark.waits
def test_small_is_the_command_itself() -> None:
    """The command polls four accounts with and without REST; its CPU and memory are reported with their targets."""
    rows = cells(small.report(seconds=1.0))

    off, on = rows["without REST"], rows["with funding, prices, key checks and income"]

    assert 400 < float(off[0].replace(",", "")) < float(on[0].replace(",", ""))
    assert off[4].startswith("≤ 50: ")
    assert on[4].startswith("≤ 60: ")


def test_missing_prometheus_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Prometheus the report says so."""
    monkeypatch.setattr(shutil, "which", lambda _: None)

    assert "Prometheus is not installed" in prometheus.scrape("127.0.0.1:9", 1.0, tmp_path)


@pytest.mark.parametrize(
    ("ours", "theirs", "part"), [(1.0, 48.3, "1/48.3"), (2.0, 1.0, "1/0.5"), (0.001, 9.0, "1/9e+03")]
)
def test_part(ours: float, theirs: float, part: str) -> None:
    """A ratio is shown as a fraction of the peer's value."""
    assert part == table.part_of(ours, theirs)


def test_verdict() -> None:
    """A target that was missed is emphasized."""
    assert ["≤ 4: met", "≤ 4: **missed**"] == [table.verdict("≤ 4", met=met) for met in (True, False)]


def test_page_gets_all_parts_or_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The block of the page is replaced by all parts; --write with a named part is an error."""
    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- bench: begin, x -->\nold\n<!-- bench: end -->\nafter\n")
    monkeypatch.setattr(main, "PAGE", page)
    monkeypatch.setattr(main, "PARTS", {"one": lambda: "| 1 |", "two": lambda: "| 2 |"})
    monkeypatch.setattr(sys, "argv", ["bench", "--write", "one"])
    with pytest.raises(SystemExit):
        main.main()
    before = page.read_text()
    monkeypatch.setattr(sys, "argv", ["bench", "--write"])
    main.main()
    text = page.read_text()

    assert "cannot be combined with a part" in capsys.readouterr().err
    assert "\nold\n" in before
    assert re.search(
        r"^before\n<!-- bench: begin, x -->\nMeasured on .*\n\n\| 1 \|\n\n\| 2 \|\n<!-- bench: end -->\nafter\n$", text
    )


def test_output_of_a_failed_start_is_shown(tmp_path: Path) -> None:
    """A program that ends before it listens is an error with its output."""
    command = (sys.executable, "-c", "print('boom: port taken')")

    with (
        pytest.raises(SystemExit, match=r"does not start:\nboom: port taken"),
        logging(tmp_path / "log", "(never)", *command),
    ):
        pass
