"""The text of /metrics: as written by prometheus_client, replaced as a whole, dropped when stale; a golden scrape."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.builders import (
    fill,
    make_asset,
    make_configuration,
    make_connection,
    make_position,
    make_risk,
    make_snapshot,
    make_state,
    samples,
    snapshots_by_name,
    without_comments,
    words,
)
from support.clocks import Clock
from support.golden import GOLDEN, first_scrape
from support.prometheus_server import promtool

from exporter.binance.messages import Method
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.exposition import CATALOGS, CONTENT_TYPE, Exposition
from exporter.metrics.model import Catalog
from exporter.metrics.openmetrics import OpenMetricsExposition, process_registry
from exporter.metrics.self_catalog import ENDPOINTS, POLLING, PROGRAM, Polling, Program
from exporter.metrics.text import format_value, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import Position

BALANCE = 'binance_futures_account_wallet_balance{account="main",currency="USDT"}'
AMOUNT = 'binance_futures_position_amount{account="main",position_side="BOTH",symbol="%s"}'


def exposition_of(
    snapshots: dict[str, AccountSnapshot], process: Callable[[], bytes] = bytes, clock: Clock | None = None
) -> Exposition:
    """Publish snapshots that were answered at the second 1000."""
    states = {account: make_state(account, answered_at=1000.0, stale_after_seconds=60.0) for account in snapshots}
    connection = make_connection(monotonic=Clock())
    connection.durations[Method.ACCOUNT_STATUS].observe(0.3)
    exposition = Exposition(Program(lambda: [connection.state]), states.values, clock or Clock(), process)
    for account, snapshot in snapshots.items():
        exposition.publish(states[account], snapshot)
    return exposition


def shown(exposition: Exposition) -> dict[str, float]:
    """Return the series of a scrape, except those of polling, endpoints and the program."""
    own = {family.name for catalog in (POLLING, ENDPOINTS, PROGRAM) for family in catalog.families}
    exposed = samples(bytes(exposition.body()))
    return {
        series: value
        for series, value in exposed.items()
        if re.sub(r"(_bucket|_count|_sum)?(\{.*)?$", "", series) not in own
    }


@pytest.mark.no_cover
@given(snapshots_by_name)
@example({'a"b\\c\nd é币 %s': make_snapshot([make_asset("%d\\n")], [make_position('"')], wallet_balance=1e21)})
@example({"main": make_snapshot(wallet_balance=-0.0, margin_balance=5e-324, available_balance=1e6)})
def test_text_is_prometheus_clients(snapshots: dict[str, AccountSnapshot]) -> None:
    """Joined fragments are byte for byte what prometheus_client would write, and no series stands there twice."""
    exposition = exposition_of(snapshots)
    body = bytes(exposition.body())
    exposed = samples(body)

    assert OpenMetricsExposition(exposition.shown).prepare("", [])()[0] == body
    assert all(sorted(names) == names for names in map(label_names, exposed))


BTC, ETH = (make_position(symbol, notional=2.0, unrealized_pnl=None) for symbol in ("BTCUSDT", "ETHUSDT"))
MOVED = make_position("BTCUSDT", notional=3.0, unrealized_pnl=0.0)
SHOWN = [[BTC], [BTC], [MOVED], [BTC, ETH], [ETH, MOVED], [ETH], []]


@pytest.mark.parametrize("after", SHOWN)
@pytest.mark.parametrize("before", SHOWN)
def test_text_does_not_depend_on_what_was_shown_before(before: list[Position], after: list[Position]) -> None:
    """Whatever an account showed before, its text is that of its last snapshot alone."""
    previous = render(ACCOUNTS, make_snapshot([make_asset("USDT")], before), "main")
    snapshot = make_snapshot([make_asset("USDT", wallet_balance=1.0)], after)

    assert render(ACCOUNTS, snapshot, "main") == render(ACCOUNTS, snapshot, "main", previous)


def label_names(series: str) -> list[str]:
    """Return the names of a series' labels in their order."""
    return re.findall(r'(\w+)="(?:\\.|[^"\\])*"', series.partition("{")[2])


@given(words)
def test_label_values_come_back_whole(text: str) -> None:
    """What a parser reads back from a label is what was put in, whatever its characters."""
    snapshot = make_snapshot([make_asset(text, wallet_balance=1.0)])
    lines = b"".join(render(ACCOUNTS, snapshot, text).fragments).decode()

    labels = [
        sample.labels
        for family in text_string_to_metric_families(lines)
        for sample in family.samples
        if "asset_wallet_balance" in sample.name
    ]

    assert [{"account": text, "asset": text}] == labels


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (3, "3.0"),
        (-0.0, "-0.0"),
        (999_999.0, "999999.0"),
        (1e6, "1e+06"),
        (1_234_567.5, "1.2345675e+06"),
        (-1_234_567.5, "-1234567.5"),
        (123_456_789_012_345.6, "1.234567890123456e+14"),
        (9_999_999_999_999_998.0, "9.999999999999998e+15"),
        (1e16, "1e+16"),
        (1e21, "1e+21"),
        (5e-324, "5e-324"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    """Numbers have Go's form, also those that ratios may become."""
    assert text == format_value(value)


def test_label_sets_must_be_complete() -> None:
    """A label without its value is refused, not dropped."""
    group = replace(ACCOUNTS.groups[0], identify=lambda *_: [()])
    with pytest.raises(TypeError, match="not enough arguments"):
        render(Catalog("account", (group,)), make_snapshot(), "main")
    with pytest.raises(ValueError, match="zip"):
        ACCOUNTS.labels(group, "main", ())


def test_only_headers_before_the_first_snapshot() -> None:
    """Before anything was published each family has its header and no sample, and the process metrics are last."""
    exposition = exposition_of({}, lambda: b"process 1.0\n")
    body = bytes(exposition.body())
    names = [family.name for catalog in CATALOGS for family in catalog.families]

    assert {"process": 1.0} == shown(exposition)
    assert body.endswith(b"process 1.0\n")
    assert names == re.findall(r"# TYPE (\w+)", body.decode())
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_fragments_follow_the_catalog() -> None:
    """Each family has a fragment at its place, empty without samples."""
    fragments = dict(
        zip(
            (family.name for family in ACCOUNTS.families),
            render(ACCOUNTS, make_snapshot([make_asset(wallet_balance=2.5)]), "main").fragments,
            strict=True,
        )
    )

    assert {
        "binance_futures_account_open_positions": b'binance_futures_account_open_positions{account="main"} 0.0\n',
        "binance_futures_asset_wallet_balance": (
            b'binance_futures_asset_wallet_balance{account="main",asset="USDT"} 2.5\n'
        ),
        "binance_futures_cross_margin_ratio": (
            b'binance_futures_cross_margin_ratio{account="main",margin_asset="USDT"} 0.0\n'
        ),
    } == {name: fragment for name, fragment in fragments.items() if fragment}


def test_values_are_floats() -> None:
    """Every family reads floats: a bool would be written as a word, which Prometheus rejects with the whole scrape."""
    position = make_position(notional=2.0, maintenance_margin=1.0, update_time_ms=1)
    snapshot = make_snapshot(
        [fill(make_asset(margin_available=True))],
        [position],
        [fill(make_risk(margin_asset="USDT"))],
        configuration=make_configuration(),
    )
    polling = Polling(make_state(answered_at=1.0), up=True)
    subjects: list[tuple[Catalog, object]] = [
        (ACCOUNTS, snapshot),
        (POLLING, polling),
        (ENDPOINTS, make_connection().state),
        (PROGRAM, Program()),
    ]
    columns = [column for catalog, subject in subjects for column in render(catalog, subject, "name").columns]
    values = [value for column in columns for value in column if value is not None and not isinstance(value, tuple)]

    assert {float} == set(map(type, values))


def test_snapshot_replaces_all_series_of_the_last_one() -> None:
    """The series of a position that was closed, and of a total that was not sent again, are gone."""
    usdt = make_asset(wallet_balance=5.0)
    exposition = exposition_of(
        {"main": make_snapshot([usdt], [make_position("BTCUSDT"), make_position("ETHUSDT")], wallet_balance=5.0)}
    )
    before = samples(bytes(exposition.body()))

    exposition.publish(make_state(answered_at=1000.0), make_snapshot([usdt], [make_position("ETHUSDT", amount=2.0)]))
    after = samples(bytes(exposition.body()))

    assert {BALANCE, AMOUNT % "BTCUSDT", AMOUNT % "ETHUSDT"} <= before.keys()
    assert after.keys().isdisjoint({BALANCE, AMOUNT % "BTCUSDT"})
    assert after[AMOUNT % "ETHUSDT"] == 2.0


def test_mode_change_leaves_one_currency() -> None:
    """An account whose mode changed has its totals in the new currency only."""
    exposition = exposition_of({"main": make_snapshot([make_asset(wallet_balance=1.0)], wallet_balance=1.0)})
    exposition.publish(
        make_state(answered_at=1000.0), make_snapshot([make_asset(wallet_balance=1.0)], wallet_balance=2.0)
    )

    exposed = samples(bytes(exposition.body()))

    assert {BALANCE.replace("USDT", "USD"): 2.0} == {
        series: value for series, value in exposed.items() if "account_wallet_balance" in series
    }


def test_stale_figures_vanish_by_themselves() -> None:
    """Figures are dropped exactly when they are stale_after old, without a publish, and only those of that account."""
    clock = Clock(1059.5)
    exposition = exposition_of({"main": make_snapshot(wallet_balance=1.0)}, clock=clock)
    exposition.publish(make_state("late", answered_at=1059.0), make_snapshot(wallet_balance=2.0))
    fresh = shown(exposition)
    clock.now = 1059.999
    still = shown(exposition)
    clock.now = 1060.0
    stale = shown(exposition)

    assert fresh.keys() == still.keys()
    assert {series for series in fresh if 'account="late"' in series} == stale.keys()
    assert fresh.keys() > stale.keys()


def test_failed_poll_keeps_fresh_figures() -> None:
    """A poll that fails takes nothing away before the figures are stale."""
    exposition = Exposition(Program(), list, Clock(1010.0))
    state = make_state(answered_at=1000.0)
    exposition.publish(state, make_snapshot(wallet_balance=1.0))
    state.last_poll_succeeded = False
    exposition.invalidate()

    assert BALANCE.replace("USDT", "USD") in samples(bytes(exposition.body()))


def test_body_is_shared_within_a_second() -> None:
    """Scrapes within a second get one object; after a second, or when something has changed, a new one."""
    clock = Clock(1000.0)

    def process() -> bytes:
        return f"process {clock.now}\n".encode()

    exposition = exposition_of({"main": make_snapshot()}, process, clock)
    first = exposition.body()
    clock.now = 1000.999
    second = exposition.body()
    exposition.invalidate()
    third = exposition.body()
    clock.now = 1001.999
    fourth = exposition.body()

    assert first is second
    assert samples(bytes(first))["process"] == 1000.0
    assert samples(bytes(third))["process"] == 1000.999
    assert samples(bytes(fourth))["process"] == 1001.999


@pytest.mark.prometheus
def test_golden_scrape() -> None:
    """The samples of a scrape are the committed ones, and promtool finds no problem; `make generate` writes them."""
    whole = first_scrape()
    text = without_comments(whole)

    assert (GOLDEN / "first_scrape.txt").read_text(encoding="utf-8") == text
    assert samples(text.encode())
    assert (0, "") == promtool("check", "metrics", text=whole + generate_latest(process_registry()).decode())
