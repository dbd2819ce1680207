"""Responses that users have reported: none makes an account look as if it had no risk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.methods import POSITION, STATUS
from support.paths import DATA
from support.polling import Polled, connected

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import cross_pools
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.polling import Answer

    from exporter.simulator import SimulatedExchange


def replaced_by(result: Any) -> Callable[[Answer], Answer]:
    """Replace an answer's result."""
    return lambda answer: {**answer, "result": result}


async def poll_twice(exchange: SimulatedExchange, name: str, **settings: Any) -> Polled:
    """Poll an account twice that answers with a file of tests/data/answers, once it has answered well."""
    answers = json.loads((DATA / "answers" / name).read_text())
    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection, **settings)
        await polled.poll()
        with (
            exchange.replace_answer(STATUS, "alice", replaced_by(answers["status"])),
            exchange.replace_answer(POSITION, "alice", replaced_by(answers["position"])),
        ):
            for _ in range(2):
                await polled.poll()
    return polled


@pytest.mark.parametrize("name", ["empty_answer.json", "all_totals_null.json", "margin_without_positions.json"])
async def test_response_without_content_fails_the_poll(exchange: SimulatedExchange, name: str) -> None:
    """An answer without content, or with margin but no position, fails the poll; the figures before stay."""
    polled = await poll_twice(exchange, name)

    assert 1 <= polled.state.failures[Reason.DECODE]
    assert (False, 1, 1) == (polled.state.last_poll_succeeded, polled.state.open_positions, len(polled.snapshots))


async def test_missing_risk_row_is_counted_at_the_second_poll(exchange: SimulatedExchange) -> None:
    """A held position without a risk row once is a race between two answers; twice in a row it counts."""
    polled = await poll_twice(exchange, "risk_rows_missing.json")

    assert [0, 0, 1] == [len(snapshot.risk_missing or ()) for snapshot in polled.snapshots]


@pytest.mark.parametrize("mode", AssetMode)
async def test_credits_carry_the_margin_of_other_symbols(exchange: SimulatedExchange, mode: AssetMode) -> None:
    """In credits mode the margin asset of a USDT symbol is BNFCR, also where it is not sent."""
    polled = await poll_twice(exchange, f"credits_{mode}.json", position_risk=False, asset_mode=mode)

    snapshot = polled.snapshots[-1]
    assert {} == polled.state.failures
    assert ["BNFCR"] == [position.margin_asset for position in snapshot.held]
    expected = {"USDT": 0.0, "BNFCR": 3.6 / 510, "BNB": 0.0, "USDC": 0.0}
    if mode is AssetMode.MULTI:
        expected = {"USD": 3.6 / 822}
    assert expected == {pool.margin_asset: pool.ratio for pool in cross_pools(snapshot)}
