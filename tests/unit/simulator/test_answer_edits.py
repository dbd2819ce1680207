"""Edits of answers: at the places that a path names, of pairs, in a chain, and for credits mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.methods import STATUS
from support.simulator_client import exchange_of

from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.answer_edits import InPairs, body, error, field, padded, raw, row_twice, twice, without
from exporter.simulator.fault_catalog import FAULTS

if TYPE_CHECKING:
    from support.clocks import Clock

    from exporter.simulator.answer_edits import Replacement


def answer() -> dict[str, Any]:
    """Return an answer."""
    return {"id": 1, "status": 200, "result": {"rows": [{"a": "1"}, {"a": "2"}]}, "rateLimits": [{"limit": 9}]}


@pytest.mark.parametrize(
    ("alter", "changed"),
    [
        (field("id", None), {"id": None}),
        (field("result.rows.1.a", "9"), {"result": {"rows": [{"a": "1"}, {"a": "9"}]}}),
        (field("result.rows.*.a", lambda text: text + "0"), {"result": {"rows": [{"a": "10"}, {"a": "20"}]}}),
        (field("result", []), {"result": []}),
        (field("rateLimits.0.limit", 0), {"rateLimits": [{"limit": 0}]}),
        (field("result.rows.2.a", "9"), {}),
        (field("result.others.0.a", "9"), {}),
        (field("result.rows.0.a.b", "9"), {}),
        (field("error.code", "9"), {}),
        (without("result.rows.0"), {"result": {"rows": [{"a": "2"}]}}),
        (without("result.rows.*"), {"result": {"rows": []}}),
        (without("result.rows.*.a"), {"result": {"rows": [{}, {}]}}),
        (row_twice("result.rows.0"), {"result": {"rows": [{"a": "1"}, {"a": "1"}, {"a": "2"}]}}),
        (row_twice("result.rows.*"), {"result": {"rows": [{"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}]}}),
        (padded(3), {"padding": "xxx"}),
    ],
)
def test_places(alter: Replacement, changed: dict[str, Any]) -> None:
    """A path leads to a field, a row or every row; one to a place that does not exist changes nothing."""
    assert answer() | changed == alter(answer())


@pytest.mark.parametrize(
    ("alter", "altered"),
    [
        (
            error(400, code=-1021, msg="no", data={"x": 1}),
            {"status": 400, "error": {"code": -1021, "msg": "no", "data": {"x": 1}}},
        ),
        (error(503), {"status": 503, "error": {}}),
        (error(msg="no"), {"error": {"msg": "no"}}),
    ],
)
def test_errors(alter: Replacement, altered: dict[str, Any]) -> None:
    """An error has the given status and fields, and no others."""
    assert {"id": 1, "rateLimits": [{"limit": 9}]} | altered == alter(answer())


def test_body() -> None:
    """A body replaces all of the answer except its id."""
    assert {"id": 1, "239999": "maintenance"} == body({"239999": "maintenance"})(answer())


@pytest.mark.parametrize("swap_ids", [False, True])
def test_pairs(*, swap_ids: bool) -> None:
    """The first answer waits for the second and is sent after it, or with its id."""
    pairs = InPairs(swap_ids=swap_ids)
    first, second = {"id": 1, "result": "one"}, {"id": 2, "result": "two"}
    came = [pairs(first), pairs(second), pairs({"id": 3})]

    ids = (1, 2) if swap_ids else (2, 1)
    assert [[], [{"id": ids[0], "result": "two"}, {"id": ids[1], "result": "one"}], []] == came


async def test_replacements_add_up() -> None:
    """Replacements are chained, each applied to the result of the one before, and not to raw frames."""
    exchange = SimulatedExchange([SimulatedAccount("main")])
    with exchange.replace_answer(None, None, twice), exchange.replace_answer(None, None, field("id", 2)):
        doubled = exchange.frames_of("any", None, {"id": 1})
        with exchange.replace_answer("any", "main", raw("x", b"y")), exchange.replace_answer(None, None, body({})):
            raws = exchange.frames_of("any", "main", {"id": 1})
            others = exchange.frames_of("other", "main", {"id": 1})
        with exchange.lose_answers("any"):
            lost = exchange.frames_of("any", None, {"id": 1})

    assert ['{"id":2}'] * 2 == doubled == others
    assert ["x", b"y"] * 2 == raws
    assert [] == lost


@pytest.mark.parametrize("mode", ["single", "multi"])
async def test_credits_mode(clock: Clock, mode: str) -> None:
    """BNFCR has the figures of USDT, which has zeros; totals in USD stay, those in USDT are 0."""
    account = SimulatedAccount("main", multi_assets=mode == "multi")
    account.deposit("USDT", "1000")
    async with exchange_of(account, clock=clock) as (exchange, client):
        before = await client.result(account, STATUS)
        with FAULTS["credits-mode"].switch(exchange):
            after = await client.result(account, STATUS)

    rows = [{row["asset"]: row for row in result["assets"]} for result in (before, after)]
    assert rows[0]["USDT"] | {"asset": "BNFCR"} == rows[1]["BNFCR"]
    assert (0.0, 0.0) == (float(rows[1]["USDT"]["walletBalance"]), float(rows[1]["USDT"]["maintMargin"]))
    assert (before["totalWalletBalance"] if mode == "multi" else "0.00000000") == after["totalWalletBalance"]
