"""The soak, for two minutes: nothing of the exporter grows under faults and scrapes; `make soak` takes longer."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from support.paths import ROOT

from bench.growth import ROWS, Row, Sample, as_table, judge

QUIET = Sample(
    at=0.0,
    resident_kib=70_000.0,
    malloc_kib=14_000.0,
    blocks=490_000,
    gc_objects=50_000,
    descriptors=9,
    tasks=12,
    series=937,
)


def grown(row: Row, by: float) -> list[Sample]:
    """Return samples of a quiet time at which one quantity is higher."""
    values = {row.field: getattr(QUIET, row.field) + by}
    return [replace(QUIET, at=at, **values) for at in (60.0, 61.0)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.field)
def test_each_leak_is_reported_in_its_row(row: Row) -> None:
    """A quantity that rises by more than its allowance is reported as growing, and no other is."""
    start = [QUIET, replace(QUIET, at=1.0)]
    end = grown(row, by=row.allowance + 1)

    growths = judge([*start, *end], start, end)

    assert [row] == [growth.row for growth in growths if not growth.flat]
    assert [row.name] == [line.split(" |")[0][2:] for line in as_table(growths).splitlines() if "GROWS" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.field)
def test_rise_by_the_allowance_is_flat(row: Row) -> None:
    """A quantity that rises by its allowance, or falls, is flat."""
    start = [QUIET, replace(QUIET, at=1.0)]

    for by in (row.allowance, -1):
        end = grown(row, by)
        assert all(growth.flat for growth in judge([*start, *end], start, end))


def test_temporary_rise_is_not_growth() -> None:
    """Tasks and descriptors in one of several quiet samples, and a series missing in one, do not count."""
    start = [QUIET, replace(QUIET, at=1.0)]
    end = [replace(QUIET, at=60.0, tasks=15, descriptors=10), replace(QUIET, at=61.0, series=936)]

    growths = judge([*start, *end], start, end)

    assert all(growth.flat and growth.start == growth.end for growth in growths)
    assert 15 == next(growth.highest for growth in growths if growth.row.field == "tasks")


def test_slope_is_of_the_second_half() -> None:
    """The slope is per minute, without the first half, in which caches fill."""
    warming = [replace(QUIET, at=float(at), tasks=100 * at) for at in range(10)]
    steady = [replace(QUIET, at=float(at), tasks=2 * at) for at in range(10, 20)]

    growths = judge([*warming, *steady], warming, steady)

    assert pytest.approx(120.0) == next(growth.slope for growth in growths if growth.row.field == "tasks")


@pytest.mark.waits
def test_two_minutes_of_faults_leave_nothing_behind() -> None:
    """Memory, descriptors, tasks and series are flat, every scrape is answered, and all accounts are up at the end."""
    # Coverage measurement in the exporter's process would grow.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    soak = subprocess.run(
        [sys.executable, "-m", "bench.soak", "2", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )

    assert (0, "") == (soak.returncode, soak.stderr), soak.stdout + soak.stderr
