"""Margin ratios of every account of the demo, compared with those at which the simulated exchange liquidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools, isolated_pools
from exporter.account.snapshot import build_snapshot
from exporter.binance.messages import decode_account_status, decode_position_risk
from exporter.simulator import demo_accounts
from exporter.simulator.answers import account_position, account_status
from exporter.simulator.scenario import Scenario
from exporter.simulator.state import ExchangeState
from exporter.simulator.valuation import statement_of

if TYPE_CHECKING:
    from exporter.simulator import SimulatedAccount

TIMES = (0.0, 40.0, 120.0, 245.0, 300.0, 339.0, 480.0, 599.0)  # seconds of the demo


def encoded(result: object) -> msgspec.Raw:
    """Return a result as it stands in an answer."""
    return msgspec.Raw(msgspec.json.encode(result))


class Moment(NamedTuple):
    """What the simulated exchange answers of an account at one time of the demo, and the ratios it liquidates by."""

    mode: AssetMode
    status: msgspec.Raw
    risks: msgspec.Raw
    cross: dict[str, float]
    isolated: dict[tuple[str, str], float]


def moment_of(account: SimulatedAccount) -> Moment:
    """Return an account as it is now: its books change with time."""
    statement = statement_of(account)
    return Moment(
        AssetMode.MULTI if account.multi_assets else AssetMode.SINGLE,
        encoded(account_status(account)),
        encoded(account_position(account, None)),
        {asset: float(pool.ratio) for asset, pool in statement.pools.items()},
        {
            (row.symbol.name, row.position.side): float(statement.pool_of(row).ratio)
            for row in statement.rows
            if row.isolated and row.position.amount
        },
    )


@pytest.fixture(scope="module")
def moments() -> dict[tuple[str, float], Moment]:
    """Play the demo once, and keep every account at each of TIMES."""
    now = [1_700_000_000.0]
    venue = ExchangeState(demo_accounts(7), seed=7, clock=lambda: now[0], scenario=Scenario())
    found: dict[tuple[str, float], Moment] = {}
    for at in TIMES:
        now[0] = 1_700_000_000.0 + at
        venue.advance()
        found |= {(name, at): moment_of(account) for name, account in venue.accounts.items()}
    return found


@pytest.mark.parametrize("with_risk", [True, False])
@pytest.mark.parametrize("at", TIMES)
@pytest.mark.parametrize("name", ["main", "multi", "hedge", "isolated"])
def test_ratios_are_the_exchanges(
    name: str, at: float, moments: dict[tuple[str, float], Moment], *, with_risk: bool
) -> None:
    """All ratios are those that the simulated exchange liquidates by, throughout the demo, in every account."""
    moment = moments[name, at]
    status = decode_account_status(moment.status)
    risks = decode_position_risk(moment.risks) if with_risk else ()
    snapshot = build_snapshot(status, risks, asset_mode=moment.mode, asked_at=0.0, answered_at=0.0)
    cross = {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}
    isolated = {(pool.symbol, pool.position_side): pool.ratio for pool in isolated_pools(snapshot)}

    assert moment.cross == pytest.approx(cross, abs=1e-6)
    assert moment.isolated == pytest.approx(isolated, abs=1e-6)
    assert any((*cross.values(), *isolated.values()))
