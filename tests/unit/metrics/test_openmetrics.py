"""OpenMetrics and name[] filters over the same catalogs."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.builders import (
    OPENMETRICS,
    fill,
    make_asset,
    make_configuration,
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
from support.waiting import DEADLINE_SECONDS, until

from exporter.binance.messages import Method
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.exposition import Exposition
from exporter.metrics.model import Catalog, single_row
from exporter.metrics.openmetrics import OpenMetricsExposition, only_openmetrics, process_registry
from exporter.metrics.self_catalog import ENDPOINTS, POLLING, PROGRAM, Program
from exporter.metrics.text import Rendered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROMETHEUS = f"{OPENMETRICS};version=1.0.0;q=0.5,{OPENMETRICS};version=0.0.1;q=0.4,text/plain;q=0.3,*/*;q=0.2"


def both_expositions() -> tuple[Exposition, OpenMetricsExposition]:
    """Publish one account, and return the text and the OpenMetrics exposition of it."""
    clock = Clock()
    state = make_state("main", answered_at=1000.0)
    process = process_registry()
    exposition = Exposition(
        Program(lambda: [make_connection().state]), lambda: [state], clock, partial(generate_latest, process)
    )
    position = make_position(notional=2.0, maintenance_margin=1.0, update_time_ms=1_700_000_000_000)
    isolated = make_position("ETHUSDT", isolated_wallet_balance=50.0, unrealized_pnl=-40.0, maintenance_margin=6.0)
    usdt = make_asset("USDT", **make_figures())
    risk = fill(make_risk(margin_asset="USDT"))
    snapshot = make_snapshot([usdt], [position, isolated], [risk], configuration=make_configuration(), **make_figures())
    exposition.publish(state, snapshot)
    return exposition, OpenMetricsExposition(exposition.shown, process)


def without_process(exposed: dict[str, float]) -> dict[str, float]:
    """Leave out what changes from one moment to the next."""
    return {name: value for name, value in exposed.items() if not name.startswith(("process_", "python_gc_"))}


def test_both_ways_say_the_same() -> None:
    """The slow way's text has the samples of the fast way's."""
    exposition, openmetrics = both_expositions()
    text, content_type = openmetrics.prepare("", [])()

    assert "text/plain; version=0.0.4; charset=utf-8" == content_type
    assert without_process(samples(bytes(exposition.body()))) == without_process(samples(text))


def test_openmetrics_says_the_same() -> None:
    """OpenMetrics has the same samples in its own form, and ends with its mark."""
    exposition, openmetrics = both_expositions()
    text, content_type = openmetrics.prepare(f"{OPENMETRICS};version=1.0.0", [])()
    families = [
        sample
        for family in text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]
    plain = without_process(samples(bytes(exposition.body())))

    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.endswith(b"# EOF\n")
    assert len(plain) == len([family for family in families if not family.name.startswith(("process_", "python_gc_"))])
    assert sorted(plain.values()) == sorted(
        family.value for family in families if not family.name.startswith(("process_", "python_gc_"))
    )


EVERY_NAME = [
    *(family.name for family in ACCOUNTS.families if "margin_available" not in family.name),
    *(
        family.name
        for catalog in (POLLING, ENDPOINTS, PROGRAM)
        for family in catalog.families
        if family.kind != "histogram"
    ),
    "binance_futures_request_duration_seconds_bucket",
    "process_cpu_seconds_total",
]


def test_filter_finds_every_metric() -> None:
    """Each metric can be requested by its name, whichever collector it comes from."""
    _, openmetrics = both_expositions()
    absent = {
        "binance_futures_asset_update_timestamp_seconds",
        "binance_futures_exporter_config_last_reload_success_timestamp_seconds",
        *(
            f"binance_futures_{name}"
            for name in ("clock_offset_seconds", "request_weight_used", "request_weight_limit")
        ),
        *(f"binance_futures_position_{name}" for name in ("initial_margin", "isolated_margin")),
    }
    exposed = {name for name in EVERY_NAME if samples(openmetrics.prepare("", [name])()[0])}

    assert set(EVERY_NAME) - absent == exposed


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
    _, openmetrics = both_expositions()
    async with serving(b"fast\n", openmetrics=openmetrics) as (client, _):
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
        (f"{OPENMETRICS}; version=0.0.1", OPENMETRICS),
        (f"{OPENMETRICS}, text/plain;q=0", OPENMETRICS),
        (f"{OPENMETRICS}, text/plain; q = 0.000", OPENMETRICS),
        (f"{OPENMETRICS}; q = 0", "text/plain"),
    ],
)
async def test_openmetrics_only_for_clients_that_accept_nothing_else(accept: str | None, content_type: str) -> None:
    """Who accepts plain text gets it, the fast way; OpenMetrics is for those who accept only that."""
    _, openmetrics = both_expositions()
    async with serving(b"fast\n", openmetrics=openmetrics) as (client, _):
        client.headers.pop("Accept")
        answer = await client.get("/metrics", headers={} if accept is None else {"Accept": accept})

    assert content_type == answer.headers["Content-Type"].partition(";")[0]
    assert (content_type == "text/plain") is (answer.content == b"fast\n")
    assert (content_type == OPENMETRICS) is only_openmetrics(accept or "")


def test_prepared_state_does_not_change() -> None:
    """What is encoded in a thread is the state of the moment at which it was taken, whatever changes meanwhile."""
    states = [make_state("main", answered_at=1000.0)]
    connection = make_connection(monotonic=Clock())
    program = Program(lambda: [connection.state])
    exposition = Exposition(program, lambda: states, Clock())
    exposition.publish(states[0], make_snapshot(wallet_balance=1.0))
    openmetrics = OpenMetricsExposition(exposition.shown)
    before = openmetrics.prepare("", [])()
    picture = openmetrics.prepare("", [])
    states.append(make_state("another", answered_at=1000.0))
    states[0].polls += 1
    exposition.publish(states[0], make_snapshot(wallet_balance=2.0))
    exposition.publish(states[1], make_snapshot())
    exposition.poll_finished(states[0])
    connection.durations[Method.ACCOUNT_STATUS].observe(0.3)
    program.endpoints = tuple
    exposition.body()

    assert before == picture()
    assert before != openmetrics.prepare("", [])()


async def test_lock_is_held_until_the_thread_ends() -> None:
    """Clients that disconnect do not leave a second rendering running next to the first."""
    started, release = [], threading.Event()

    class Slow(list[Rendered]):
        def __iter__(self) -> Iterator[Rendered]:
            started.append(threading.current_thread())
            release.wait(DEADLINE_SECONDS)
            return iter(())

    one_family = Catalog("", (single_row(PROGRAM.families[0]),))
    openmetrics = OpenMetricsExposition(lambda: [(one_family, Slow())])
    for _ in range(3):
        client = asyncio.create_task(openmetrics.render("", []))
        await until(lambda: started)
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
    concurrent = len(started)
    release.set()
    text, _ = await openmetrics.render("", [])

    assert {} == samples(text)
    assert (1, 2) == (concurrent, len(started))


async def test_failed_rendering_releases_the_lock() -> None:
    """A rendering that fails does not block the next."""

    def broken() -> list[tuple[Catalog, list[Rendered]]]:
        raise ZeroDivisionError

    openmetrics = OpenMetricsExposition(broken)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await openmetrics.render("", [])
