"""The fleet: the weight plan of an endpoint."""

from __future__ import annotations

import pytest
from support.builders import make_settings

from exporter.app.fleet import Fleet
from exporter.config.exporter_yml import Config


@pytest.mark.parametrize(
    ("weight_a_minute", "risks"), [(40 + 40, [True, True]), (40 + 20, [True, False]), (20, [False])]
)
async def test_plan_counts_the_requests_of_each_account(weight_a_minute: float, risks: list[bool]) -> None:
    """The weight plan of an endpoint counts each account's requests: the status, position risk if enabled, and v1."""
    accounts = tuple(make_settings(f"a{n}", position_risk=risk) for n, risk in enumerate(risks))
    (connection,) = Fleet(
        Config(accounts=accounts, weight_share=0.01, warnings=()), lambda *_: None, lambda _: None
    ).connections
    room = 0.01 * 2400 * 0.95 - 7
    configuration = 5 / 60 * len(accounts)  # weight 5 an hour each

    assert (weight_a_minute + configuration) / room == pytest.approx(connection.budget.stretch)
