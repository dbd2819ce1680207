"""An account's configuration in its series: what v1 reports once an hour, and what happens without v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.builders import samples
from support.clocks import Monotonic
from support.methods import V1
from support.polling import Polled, altered, connected, count_requests, error, pass_time, traders

from exporter.account.asset_mode import AssetMode
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.text import render
from exporter.simulator import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.ledger import PositionSide

HOUR = 3600.0
FLAGS = {"fee_tier": 0.0, "can_trade": 1.0, "can_deposit": 1.0, "can_withdraw": 1.0, "hedge_mode": 0.0}


def series(polled: Polled) -> dict[str, float]:
    """Return the configuration in the series of the last snapshot, without the timestamp."""
    text = b"".join(render(ACCOUNTS, polled.snapshots[-1], "alice").fragments)
    exposed = {
        name.removeprefix("binance_futures_").replace('account="alice"', ""): value
        for name, value in samples(text).items()
    }
    names = (*(f"account_{flag}" for flag in FLAGS), "position_leverage")
    return {
        name.removeprefix("account_").removesuffix("{}"): value
        for name, value in exposed.items()
        if name.startswith(names)
    }


def leverages(polled: Polled) -> dict[tuple[str, str], float]:
    """Return the leverage of the last snapshot's rows, by symbol and side."""
    found = {}
    for name, value in series(polled).items():
        if name.startswith("position_leverage"):
            _, side, _, symbol, _ = name.split('"')
            found[symbol, side] = value
    return found


def flags(polled: Polled) -> dict[str, float]:
    """Return the other families of the configuration."""
    return {name: value for name, value in series(polled).items() if not name.startswith("position_leverage")}


@pytest.mark.parametrize("hedge", [False, True])
async def test_leverage_of_each_row(*, hedge: bool) -> None:
    """Each row with a position or open orders has its symbol's leverage, out of 900 rows, or 1,800 in hedge mode."""
    (alice, _) = accounts = traders()
    alice.hedge = hedge
    sides: tuple[PositionSide, ...] = ("LONG", "SHORT") if hedge else ("BOTH",)
    alice.fee_tier, alice.can_withdraw = 3, False
    async with SimulatedExchange(accounts, extra_symbols=900) as exchange, connected(exchange.url) as connection:
        for symbol, leverage in (("BTCUSDT", None), ("ETHUSDT", 7), ("SOLUSDT", 125)):
            for side in sides:
                alice.open(symbol, "-0.1" if side == "SHORT" else "0.1", side, leverage=leverage)
        polled = Polled(exchange, connection, configuration=True)
        await polled.poll()

    expected = {"BTCUSDT": 20.0, "ETHUSDT": 7.0, "SOLUSDT": 125.0}
    assert {(symbol, side): value for symbol, value in expected.items() for side in sides} == leverages(polled)
    assert FLAGS | {"fee_tier": 3.0, "can_withdraw": 0.0, "hedge_mode": float(hedge)} == flags(polled)


async def test_position_opened_later_has_a_leverage_at_once(exchange: SimulatedExchange) -> None:
    """The leverage of every symbol is kept, so that a position opened between two readings has one."""
    exchange.account("alice").close("BTCUSDT")
    exchange.account("alice").ledger.leverages["ETHUSDT"] = 33
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, configuration=True)
        await polled.poll()
        before = leverages(polled)
        exchange.account("alice").open("ETHUSDT", "0.1")
        await polled.poll()

    assert {} == before
    assert {("ETHUSDT", "BOTH"): 33.0} == leverages(polled)
    assert 1 == count_requests(exchange, V1)


@pytest.mark.parametrize("mode", [None, AssetMode.SINGLE])
async def test_configuration_that_is_not_wanted(exchange: SimulatedExchange, mode: AssetMode | None) -> None:
    """Without `poll.configuration` there are no series, and v1 is requested only to detect the mode."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, configuration=False, asset_mode=mode)
        await polled.poll()
        await polled.queries_finished()
        await polled.poll()

    assert {} == series(polled)
    assert (mode is None) == count_requests(exchange, V1)


async def test_configuration_of_an_account_with_a_configured_mode(exchange: SimulatedExchange) -> None:
    """If the mode is configured, no poll waits for v1; the configuration is there once it has answered."""
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, configuration=True, asset_mode=AssetMode.MULTI)
        await polled.poll()
        await polled.queries_finished()
        await polled.poll()

    assert FLAGS == flags(polled)
    assert [AssetMode.MULTI] * 2 == [snapshot.asset_mode for snapshot in polled.snapshots]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (error(404, -5000), [False, False]),
        (error(500, -1000), [True, False]),
        (lambda answer: {"id": answer["id"], "status": 200, "result": None}, [True, False]),
    ],
    ids=["gone", "failing", "empty"],
)
async def test_configuration_ends_with_v1(
    exchange: SimulatedExchange, answer: Callable[[Any], Any], shown: list[bool]
) -> None:
    """If v1 is gone the series are absent at once, if it fails after 2.5 hours; no poll fails."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, configuration=True)
        await polled.poll()
        with exchange.replace_answer(V1, "alice", answer):
            for hours in (1.1, 1.5):
                pass_time(exchange, connection, monotonic, hours * HOUR)
                await polled.poll()
                await polled.queries_finished()
                await polled.poll()
                assert shown.pop(0) == (series(polled) != {})
        pass_time(exchange, connection, monotonic, HOUR)
        await polled.poll()
        await polled.queries_finished()
        await polled.poll()

    assert FLAGS == flags(polled)
    assert {} == polled.state.failures
    assert [AssetMode.SINGLE] * 7 == [snapshot.asset_mode for snapshot in polled.snapshots]


async def test_malformed_fields_are_absent(exchange: SimulatedExchange) -> None:
    """A field that is malformed or missing has no series; the others do, and the poll succeeds."""
    strange = altered(lambda result: result.update(feeTier="VIP", canTrade=None, positions=[{"symbol": "BTCUSDT"}]))
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, configuration=True)
        with exchange.replace_answer(V1, "alice", strange):
            await polled.poll()

    assert {"can_deposit": 1.0, "can_withdraw": 1.0} == series(polled)
    assert {} == polled.state.failures
