"""The fleet: the weight plan of an endpoint, and when accounts that are added to it are polled."""

from __future__ import annotations

import pytest
from support.builders import make_settings

from exporter.app.fleet import Fleet, _free_phases
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


def test_added_accounts_fill_the_gaps() -> None:
    """Accounts that are added to a running endpoint are polled as far from the others as possible."""
    assert [0.0, 0.25, 0.5, 0.75] == _free_phases([], 4)
    assert [0.5] == _free_phases([0.0], 1)
    assert [0.75, 0.25] == _free_phases([0.0, 0.5], 2)
    assert [0.85] == pytest.approx(_free_phases([0.1, 0.3, 0.6], 1))
    assert [] == _free_phases([0.1], 0)
