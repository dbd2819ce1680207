"""Empty and contradictory answers are refused on one side of each tolerance and accepted on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.builders import make_asset, make_figures, make_position, make_snapshot
from support.polling import Polled, altered, connected

from exporter.account.consistency import check_consistency
from exporter.account.snapshot import FIGURES, AssetMode
from exporter.binance.errors import DecodeError, Reason

if TYPE_CHECKING:
    from exporter.account.snapshot import AccountSnapshot
    from exporter.simulator import SimulatedExchange

ZEROS: dict[str, Any] = dict.fromkeys(FIGURES, 0.0)
SINGLE, MULTI = AssetMode.SINGLE, AssetMode.MULTI
STATUS = "v2/account.status"


def make_held(margin: float | None = 10.0, **fields: Any) -> Any:
    """Return a row that holds a position."""
    return make_position(maintenance_margin=margin, **fields)


def refusal(snapshot: AccountSnapshot, before: AccountSnapshot | None = None) -> str:
    """Return why an answer is refused, empty if it is accepted."""
    try:
        check_consistency(snapshot, before)
    except DecodeError as error:
        return str(error)
    return ""


HELD = make_snapshot([make_asset("USDT", wallet_balance=5.0)], [make_held()], **make_figures())
EMPTY = make_snapshot(**ZEROS)
TOTAL = "result.totalMaintMargin"


@pytest.mark.parametrize(
    ("snapshot", "before"),
    [
        (EMPTY, None),
        (EMPTY, EMPTY),
        (EMPTY, make_snapshot([make_asset("USDT", wallet_balance=0.0)], **ZEROS)),
        (make_snapshot(wallet_balance=0.0), None),
        (make_snapshot([make_asset("USDC", wallet_balance=100.0)], **ZEROS), None),
        (
            make_snapshot([make_asset("USDT", wallet_balance=-3.0)], asset_mode=MULTI, **ZEROS | {"margin_balance": 9}),
            None,
        ),
        (make_snapshot([make_asset("USDT", wallet_balance=1.0)], asset_mode=MULTI, **ZEROS), None),
        (make_snapshot([make_asset("USDT", maintenance_margin=1e-7)], maintenance_margin=1e-7), None),
        (make_snapshot([make_asset()], maintenance_margin=0.9e-3, margin_balance=1000.0), None),
        (make_snapshot([make_asset()], maintenance_margin=0.9e-3, margin_balance=-1000.0), None),
        (make_snapshot([make_asset()], [make_position(amount=0.0, initial_margin=5.0)], **ZEROS), None),
        (make_snapshot([make_asset()], [make_held(isolated_margin=20.0)], asset_mode=SINGLE, **ZEROS), None),
        (make_snapshot([make_asset()], [make_held(1e-7)], asset_mode=MULTI, **ZEROS), None),
        (make_snapshot([make_asset()], [make_held(None)], asset_mode=MULTI, **ZEROS), None),
        (make_snapshot([make_asset()], [make_held()], asset_mode=MULTI, maintenance_margin=1.1e-7), None),
        (HELD, HELD),
    ],
)
def test_plausible_answer_is_accepted(snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    """A new account, orders alone, other assets, isolated positions and rounding are no contradictions."""
    assert "" == refusal(snapshot, before)


@pytest.mark.parametrize(
    ("expected", "snapshot", "before"),
    [
        ("result: has none of the account's totals", make_snapshot(), None),
        ("result: has none of the account's totals", make_snapshot([make_asset()], [make_held()]), None),
        (
            "result.assets: is empty, but result.totalWalletBalance is not 0",
            make_snapshot(**ZEROS | {"wallet_balance": 1e-8}),
            None,
        ),
        ("result.assets: is empty, but the last answer had a position or a wallet balance", EMPTY, HELD),
        (
            "result.assets: is empty, but the last answer had a position or a wallet balance",
            EMPTY,
            make_snapshot([make_asset("BNB", wallet_balance=0.1)], **ZEROS),
        ),
        (
            f"result.positions: has no position, but {TOTAL} is not 0",
            make_snapshot([make_asset()], maintenance_margin=1.1e-7),
            None,
        ),
        (
            f"result.positions: has no position, but {TOTAL} is not 0",
            make_snapshot(
                [make_asset()], [make_position(amount=0.0)], maintenance_margin=1.1e-3, margin_balance=1000.0
            ),
            None,
        ),
        (
            "result.positions: has no position, but result.assets[1].maintMargin is not 0",
            make_snapshot([make_asset("BNB"), make_asset("USDC", maintenance_margin=640.0)], **ZEROS),
            None,
        ),
        (
            f"{TOTAL}: is 0, but positions in result.positions require margin",
            make_snapshot([make_asset()], [make_held(1.1e-7)], asset_mode=MULTI, maintenance_margin=1e-7),
            None,
        ),
        (
            "result: has totals of 0, but the wallet balance of USDT is above 1",
            make_snapshot([make_asset("USDT", wallet_balance=1.01)], asset_mode=MULTI, **ZEROS),
            None,
        ),
    ],
)
def test_contradiction_is_refused(expected: str, snapshot: AccountSnapshot, before: AccountSnapshot | None) -> None:
    """An empty or contradictory answer is refused with the paths of what contradicts each other."""
    assert expected == refusal(snapshot, before)


@pytest.mark.parametrize(
    "answer",
    [
        {"assets": [], "positions": []},
        dict.fromkeys(("totalWalletBalance", "totalMarginBalance")) | {"assets": [], "positions": []},
        {"totalWalletBalance": "0", "assets": [], "positions": []},
    ],
)
async def test_hollow_answer_fails_the_poll(exchange: SimulatedExchange, answer: dict[str, Any]) -> None:
    """An answer without content is no flat account: the poll fails, and the figures before stay as they were."""

    def hollow(result: dict[str, Any]) -> None:
        result.clear()
        result.update(answer)

    async with connected(exchange.url) as connection:
        polled = Polled(exchange, connection)
        await polled.poll()
        with exchange.replace_answer(STATUS, "alice", altered(hollow)):
            state = await polled.poll()

    assert {Reason.DECODE: 1} == dict(state.failures)
    assert (False, 1, 1) == (state.last_poll_succeeded, state.open_positions, len(polled.snapshots))
