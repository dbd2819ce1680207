"""The plan of polls: its intervals stretch as far as the limit requires, and no further."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.weight import Host, reported


@pytest.mark.parametrize(
    ("polls", "limit", "stretch"),
    [
        ([], None, 1.0),
        ([(10, 15.0)] * 20, None, 1.0),
        ([(5, 5.0)] * 18 + [(53, 60.0)], None, 1.0),  # 1133 a minute: 95 % of 1200, without a dial and the clock
        ([(1133, 30.0)], None, 2.0),
        ([(1133, 30.0)], 6000, 1.0),
        ([(563, 15.0)], 1200, 4.0),
        ([(5, 1.0)], 100, 300 / 40.5),
    ],
)
async def test_intervals_stretch_as_far_as_the_limit_requires(
    polls: list[tuple[int, float]], limit: int | None, stretch: float
) -> None:
    """Intervals keep their length while the plan fits the share of the limit, and else grow just enough."""
    budget = Host(share=0.5).budget
    budget.plan(polls)
    if limit:
        budget.settle(await budget.acquire(5), reported(limit=limit))

    assert stretch == pytest.approx(budget.stretch)
    assert limit == budget.limit


@given(
    st.floats(0.001, 0.9),
    st.lists(st.tuples(st.integers(1, 15), st.floats(1, 3600)), max_size=50),
    st.integers(100, 1_000_000),
)
async def test_stretched_plan_fits_the_share(share: float, polls: list[tuple[int, float]], limit: int) -> None:
    """Whatever is planned, its stretched weight a minute is within the share, and it stretches only if it must."""
    budget = Host(share).budget
    budget.settle(await budget.acquire(5), reported(limit=limit))
    budget.plan(polls)
    planned = sum(weight * 60 / interval for weight, interval in polls)

    assert planned / budget.stretch <= share * limit * (1 + 1e-9)
    assert 1.0 <= budget.stretch
    assert planned > share * limit / 2 or 1.0 == budget.stretch


def test_new_plan_replaces_the_old_one() -> None:
    """A plan is what is polled from now on, not in addition."""
    budget = Host().budget
    for polls in ([(5, 0.01)], [(5, 15.0)]):
        budget.plan(polls)

    assert 1.0 == budget.stretch
