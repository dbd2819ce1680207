"""The golden scrapes: a service with made-up accounts, and each kind of account polled from the simulated exchange."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from structlog.testing import capture_logs

from exporter.account.asset_mode import AssetMode
from exporter.binance.messages import Method
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_catalog import Program
from exporter.simulator.demo import demo_exchange
from support.builders import (
    make_asset,
    make_connection,
    make_figures,
    make_position,
    make_risk,
    make_snapshot,
    make_state,
    without_comments,
)
from support.clocks import Clock
from support.paths import DATA
from support.polling import Polled, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GOLDEN: Final = DATA / "golden"
SHAPES: Final = ("main", "multi", "hedge", "isolated")
MIDNIGHT: Final = 1_700_006_400.0

# What differs between two runs: the host's clock compared with the exchange's, which stands still, and the time of the
# last success and of the last reading of the configuration.
_VARYING: Final = re.compile(
    r"^(binance_futures_(?:clock_offset|last_success_timestamp|account_configuration_timestamp)_seconds\{.*\}) .*$",
    re.MULTILINE,
)


def _without_versions(text: str) -> str:
    return re.sub(r'(python_version|revision|version)="[^"]*"', r'\1="…"', text)


def first_scrape() -> str:
    """Return the text of a service with one account in single mode, one in multi mode and one never answered."""
    clock = Clock(1000.0)
    connection = make_connection(monotonic=clock)
    connection.clock.synchronize(1_000_250, 1000.0, 1000.0)
    connection.connections = 1
    for seconds in (0.004, 0.02, 30.0):
        connection.durations[Method.ACCOUNT_STATUS].observe(seconds)
    states = [make_state("main", answered_at=999.0), make_state("币 desk", answered_at=999.0), make_state("waiting")]
    states[0].asset_mode, states[1].asset_mode = AssetMode.SINGLE, AssetMode.MULTI
    program = Program(lambda: [connection.state], last_reload_success_unix=1_700_000_000.0)
    exposition = Exposition(program, lambda: states, clock)
    figures = make_figures(1000.5) | {"maintenance_margin": 308.0}
    usdt = make_asset("USDT", **figures, margin_available=True, update_time_ms=1_700_000_000_123)
    bnb = make_asset("BNB", wallet_balance=1.25, update_time_ms=0)
    long: dict[str, Any] = {"notional": 50_000.0, "unrealized_pnl": -12.5, "maintenance_margin": 200.0}
    cross = {"isolated_margin": 0.0, "isolated_wallet_balance": 0.0}
    own_pool: dict[str, Any] = {"unrealized_pnl": -40.0, "maintenance_margin": 8.0}
    prices: dict[str, Any] = {
        "entry_price": 100_025.0,
        "break_even_price": 100_075.5,
        "mark_price": 100_000.0,
        "adl_quantile": 2,
    }
    exposition.publish(
        states[0],
        make_snapshot(
            [usdt, bnb],
            [
                make_position("BTCUSDT", "LONG", 0.5, **long, update_time_ms=1_700_000_000_456),
                make_position("BTCUSDT", "SHORT", -0.25, **cross, maintenance_margin=100.0),
                make_position("ETHUSDT", "LONG", 0.0, initial_margin=7.5),
                make_position("SOLUSDT", "LONG", 9.0, isolated_wallet_balance=50.0, **own_pool),
            ],
            [
                make_risk("BTCUSDT", "LONG", 0.5, margin_asset="USDT", liquidation_price=81_000.5, **prices),
                make_risk("ETHUSDT", "LONG", 0.0, adl_quantile=0, bid_notional=3_600.0, mark_price=3_900.0),
            ],
            **make_figures(1000.5),
        ),
    )
    exposition.publish(
        states[1], make_snapshot([usdt, bnb], [make_position("币安人生USDT", amount=1e6)], **make_figures(2_000_000.0))
    )
    return _without_versions(bytes(exposition.body()).decode())


@asynccontextmanager
async def polled(name: str) -> AsyncIterator[tuple[Polled, Exposition, Clock]]:
    """Poll an account of the demo and expose it, with one clock for the exchange and the exporter."""
    clock = Clock(MIDNIGHT)
    async with demo_exchange(seed=1, clock=clock) as exchange, connected(exchange.url, monotonic=clock) as connection:
        account = Polled(exchange, connection, name, configuration=True)
        program = Program(lambda: [connection.state], last_reload_success_unix=MIDNIGHT)
        yield account, Exposition(program, lambda: [account.state], clock), clock


async def shape_scrape(name: str) -> str:
    """Return the text of a scrape after the first poll of a demo account, without what differs between two runs."""
    async with polled(name) as (account, exposition, _):
        await account.poll()
        exposition.publish(account.state, account.snapshots[-1])
        return re.sub(_VARYING, r"\1 0.0", _without_versions(bytes(exposition.body()).decode()))


def golden_files() -> dict[str, str]:
    """Return the text of each file in tests/data/golden by its name: samples only, since the catalog has the HELP."""
    with capture_logs():
        shapes = {f"shape_{name}": asyncio.run(shape_scrape(name)) for name in SHAPES}
    scrapes = {"first_scrape": first_scrape(), **shapes}
    return {f"{name}.txt": without_comments(text) for name, text in scrapes.items()}
