"""Endpoints and their weight share after a reload: connections are kept, closed and named as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.service import scrape, until_sample
from support.waiting import until

if TYPE_CHECKING:
    from support.reloads import System

    from exporter.simulator import SimulatedExchange


async def test_unused_endpoint_is_disconnected(reloadable: System, exchange: SimulatedExchange) -> None:
    """A connection whose last account is removed is closed, and its series disappear."""
    async with reloadable.open():
        await reloadable.shows(1, "up", account="bob")
        reloadable.edit(
            lambda document: document["binance"].update(request_timeout="9s", endpoint=exchange.url + "?second")
        )
        await reloadable.service.reload()
        await until_sample(reloadable.client, 1, "up", account="bob")
        await until(lambda: len(exchange.connections) == 1)
        samples = await scrape(reloadable.client)

    assert 1 == len([name for name, _ in samples if name == "binance_futures_connected"])


async def test_ban_outlasts_its_endpoint(reloadable: System, exchange: SimulatedExchange) -> None:
    """An endpoint that is removed while it is banned, and added again, is not contacted before the ban is over."""
    good = reloadable.path.read_text()
    async with reloadable.open():
        await reloadable.shows(1, "up", account="bob")
        with exchange.ban(600):
            (before,) = reloadable.service._fleet.connections
            await until(lambda: before.budget.paused)
            reloadable.edit(lambda document: document["binance"].update(endpoint=exchange.url + "?other"))
            await reloadable.service.reload()
            reloadable.path.write_text(good)
            await reloadable.service.reload()
            (after,) = reloadable.service._fleet.connections

            assert before is not after
            assert 300 < after.budget.pause_seconds


async def test_order_of_endpoints_changes_nothing(reloadable: System, exchange: SimulatedExchange) -> None:
    """Accounts that reach one exchange in two ways keep connections and labels when the file is reordered."""
    other = {"endpoint": exchange.url + "?second"}
    reloadable.edit(lambda document: document["accounts"][1].update(binance=other))
    async with reloadable.open():
        connections = {connection.endpoint.label: connection for connection in reloadable.service._fleet.connections}
        reloadable.edit(lambda document: document["accounts"].reverse())
        await reloadable.service.reload()
        third = {"endpoint": exchange.url + "?third"}
        reloadable.edit(lambda document: document["accounts"][1].update(binance=third))
        await reloadable.service.reload()
        after = {connection.endpoint.label: connection for connection in reloadable.service._fleet.connections}
        states = {state.settings.name: state.settings.endpoint.label for state in reloadable.service._fleet.states}

    first, second = connections
    assert f"{first} #2" == second
    assert {first, second} == set(after)
    assert connections[second] is after[second]
    assert {"alice": first, "bob": second} == states


async def test_new_share_stretches_the_plan(reloadable: System) -> None:
    """A weight share that a reload changes determines the intervals from then on."""
    async with reloadable.open():
        await reloadable.shows(1, "poll_interval_seconds", account="alice")
        reloadable.edit(lambda document: document["binance"].update(weight_share=0.01))
        await reloadable.service.reload()
        (alice, _) = reloadable.service._fleet.states
        await until(lambda: alice.interval_seconds > 50)
