"""The slow way: OpenMetrics and name[] filters over the same table."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.builders import (
    DEADLINE_SECONDS,
    OPENMETRICS,
    make_asset,
    make_connection,
    make_figures,
    make_position,
    make_risk,
    make_snapshot,
    make_state,
    samples,
    serving,
)
from support.clocks import Clock
from support.waiting import until

from exporter.metrics.catalog import GROUPS
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Program
from exporter.metrics.openmetrics import OpenMetricsExposition, SnapshotCollector, only_openmetrics
from exporter.metrics.self_catalog import OF_ACCOUNT, OF_ENDPOINT, OF_PROGRAM
from exporter.metrics.self_metrics import SelfMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

PROMETHEUS = f"{OPENMETRICS};version=1.0.0;q=0.5,{OPENMETRICS};version=0.0.1;q=0.4,text/plain;q=0.3,*/*;q=0.2"


def both_ways() -> tuple[Exposition, OpenMetricsExposition]:
    """Publish one account, and return the fast and the slow way to its text."""
    clock = Clock()
    state = make_state("main", answered_at=1000.0)
    health = SelfMetrics(Program(), lambda: [state], clock)
    exposition = Exposition(health.render, clock)
    position = make_position(notional=2.0, maintenance_margin=1.0, update_time_ms=1_700_000_000_000)
    isolated = make_position("ETHUSDT", isolated_wallet_balance=50.0, unrealized_pnl=-40.0, maintenance_margin=6.0)
    risk = make_risk(
        entry_price=1.0,
        break_even_price=2.0,
        mark_price=3.0,
        liquidation_price=4.0,
        adl_quantile=4,
        open_order_initial_margin=5.0,
        bid_notional=6.0,
        ask_notional=7.0,
    )
    usdt = make_asset("USDT", **make_figures())
    exposition.publish(state, make_snapshot([usdt], [position, isolated], [risk], **make_figures()))
    return exposition, OpenMetricsExposition([SnapshotCollector(exposition.snapshots), *health.collectors])


def without_process(found: dict[str, float]) -> dict[str, float]:
    """Leave out what changes from one moment to the next."""
    return {name: value for name, value in found.items() if not name.startswith(("process_", "python_gc_"))}


def test_both_ways_say_the_same() -> None:
    """The slow way's text has the samples of the fast way's."""
    exposition, slow_way = both_ways()
    text, content_type = slow_way.picture("", [])()

    assert "text/plain; version=0.0.4; charset=utf-8" == content_type
    assert without_process(samples(bytes(exposition.body()))) == without_process(samples(text))


def test_openmetrics_says_the_same() -> None:
    """OpenMetrics has the same samples in its own form, and ends with its mark."""
    exposition, slow_way = both_ways()
    text, content_type = slow_way.picture(f"{OPENMETRICS};version=1.0.0", [])()
    told = [
        sample
        for family in text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]
    plain = without_process(samples(bytes(exposition.body())))

    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.endswith(b"# EOF\n")
    assert len(plain) == len([one for one in told if not one.name.startswith(("process_", "python_gc_"))])
    assert sorted(plain.values()) == sorted(
        one.value for one in told if not one.name.startswith(("process_", "python_gc_"))
    )


EVERY_NAME = [
    *(family.name for group in GROUPS for family in group.families if "margin_available" not in family.name),
    *(family.name for family in (*OF_ACCOUNT, *OF_PROGRAM) if family.kind != "histogram"),
    "binance_futures_request_duration_seconds_bucket",
    "process_cpu_seconds_total",
]


def test_filter_finds_every_metric() -> None:
    """Each metric can be asked for by its name, whichever collector it comes from."""
    _, slow_way = both_ways()
    absent = {
        "binance_futures_asset_update_timestamp_seconds",
        "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
        *(f"binance_futures_position_{name}" for name in ("initial_margin", "isolated_margin")),
    }
    found = {name for name in EVERY_NAME if samples(slow_way.picture("", [name])()[0])}

    assert set(EVERY_NAME) - absent == found


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["binance_futures_up"], {"binance_futures_up"}),
        (
            ["binance_futures_up", "binance_futures_account_open_positions"],
            {"binance_futures_up", "binance_futures_account_open_positions"},
        ),
        (["no_such_metric"], set()),
    ],
)
async def test_filter_over_http(names: Sequence[str], expected: set[str]) -> None:
    """name[] limits what is served to the samples that are named; it may come several times."""
    _, slow_way = both_ways()
    async with serving(b"fast\n", slow_way=slow_way) as (client, _):
        answer = await client.get("/metrics", params=[("name[]", name) for name in names])

    assert 200 == answer.status_code
    assert expected == {series.partition("{")[0] for series in samples(answer.content)}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain"),
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/html,*/*;q=0.1", "text/plain"),
        (PROMETHEUS, "text/plain"),
        ("application/json", "text/plain"),
        (OPENMETRICS, OPENMETRICS),
        (f"{OPENMETRICS}; version=1.0.0; charset=utf-8", OPENMETRICS),
        (f"{OPENMETRICS}, text/plain;q=0", OPENMETRICS),
        (f"{OPENMETRICS}, text/plain; q = 0.000", OPENMETRICS),
        (f"{OPENMETRICS}; q = 0", "text/plain"),
    ],
)
async def test_openmetrics_is_for_those_who_take_nothing_else(accept: str | None, content_type: str) -> None:
    """Who accepts plain text gets it, the fast way; OpenMetrics is for those who accept only that."""
    _, slow_way = both_ways()
    async with serving(b"fast\n", slow_way=slow_way) as (client, _):
        client.headers.pop("Accept")
        answer = await client.get("/metrics", headers={} if accept is None else {"Accept": accept})

    assert content_type == answer.headers["Content-Type"].partition(";")[0]
    assert (content_type == "text/plain") is (answer.content == b"fast\n")
    assert (content_type == OPENMETRICS) is only_openmetrics(accept or "")


def test_own_families_describe_themselves() -> None:
    """Every own family is described, so that a filter finds it before it has a sample."""
    health = SelfMetrics(Program(), list, Clock(), process_metrics=False)

    assert [family.name.removesuffix("_total") for family in (*OF_ACCOUNT, *OF_ENDPOINT, *OF_PROGRAM)] == [
        family.name for family in health.describe()
    ]


def test_picture_does_not_change_any_more() -> None:
    """What is encoded in a thread is the state of the moment at which it was taken, whatever changes meanwhile."""
    states = [make_state("main", answered_at=1000.0)]
    program = Program()
    health = SelfMetrics(program, lambda: states, Clock(), process_metrics=False)
    shown = {"main": make_snapshot(wallet_balance=1.0)}
    slow_way = OpenMetricsExposition([SnapshotCollector(lambda: shown), *health.collectors])
    before = slow_way.picture("", [])()
    picture = slow_way.picture("", [])
    shown["another"] = make_snapshot()
    states[0].polls += 1
    states.append(make_state("another"))
    program.connections = [make_connection()]

    assert before == picture()


async def test_turn_lasts_as_long_as_the_thread() -> None:
    """Clients that go away leave no second rendering running beside the one that they have started."""
    begun, release = [], threading.Event()

    class Slow(SnapshotCollector):
        def frozen(self) -> SnapshotCollector:
            return self

        def collect(self) -> Iterable[Metric]:
            begun.append(threading.current_thread())
            release.wait(DEADLINE_SECONDS)
            return ()

    slow_way = OpenMetricsExposition([Slow(dict)])
    for _ in range(3):
        client = asyncio.create_task(slow_way.render("", []))
        await until(lambda: begun)
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
    at_once = len(begun)
    release.set()
    text, _ = await slow_way.render("", [])

    assert b"" == text
    assert (1, 2) == (at_once, len(begun))


async def test_failed_picture_gives_its_turn_back() -> None:
    """A rendering that fails leaves the way free for the next."""

    class Broken(SnapshotCollector):
        def frozen(self) -> SnapshotCollector:
            raise ZeroDivisionError

    slow_way = OpenMetricsExposition([Broken(dict)])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await slow_way.render("", [])
