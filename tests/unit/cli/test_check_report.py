"""The reports of `check` as text and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.check_reports import (
    BANNED,
    FAILED,
    GOOD,
    RISK,
    at_risk,
    cross_pool,
    isolated_pool,
    lines_of,
    position,
)

from exporter.account.risk_level import RiskLevel
from exporter.binance.advice import WRONG_CLOCK_ADVICE
from exporter.cli.check_report import as_json, as_text

if TYPE_CHECKING:
    from exporter.app.check import AccountReport


def test_overview_of_an_account() -> None:
    """By default an account has its level, four totals, and a line per position with its level, all aligned."""
    totals = {"wallet_balance": 20_000.123, "margin_balance": 1e6, "unrealized_pnl": -0.001}
    positions = [
        position("币安人生USDT", level=RiskLevel.CRITICAL, margin_type="isolated", margin_ratio=math.inf),
        position("BTCUSDT", position_side="SHORT", notional=-1_234_567.25, distance_to_liquidation=None),
        position("BTCUSDT", amount=-1.0, notional=-1.0, distance_to_liquidation=None, is_distance_known=False),
        position("ETHUSDT", amount=0.0, **dict.fromkeys(RISK)),
    ]
    report = replace(at_risk("a", RiskLevel.CRITICAL), totals=totals, positions=positions)

    assert [
        "a  risk critical",
        "  totals     wallet balance  margin balance  unrealized PnL       available",
        "  USDT only       20,000.12    1,000,000.00            0.00               -",
        "  symbol        side        notional  margin      distance     ratio  level",
        "  币安人生USDT  long        1,500.00  isolated      1.00 %  infinite  critical",
        "  BTCUSDT       short  -1,234,567.25  cross USDT      none    29.0 %  normal",
        "  BTCUSDT       short          -1.00  cross USDT   unknown    29.0 %  normal",
        "",
        "1 of 1 account critical: a",
    ] == lines_of(report)


def test_overview_of_an_account_without_positions() -> None:
    """An account without positions has its totals, which in multi-assets mode are in USD."""
    assert [
        "a  risk normal",
        "  totals     wallet balance  margin balance  unrealized PnL       available",
        "  in USD                  -               -               -               -",
        "  no positions",
        "",
        "1 account OK",
    ] == lines_of(replace(GOOD, asset_mode="multi", currency="USD"))


def test_cross_pool_of_a_position() -> None:
    """A cross position names the asset of its pool, which in multi-assets mode is the whole account in USD."""
    report = replace(GOOD, positions=[position("BTCUSDT", margin_asset="USDC")])

    assert "cross USDC" in lines_of(report)[4]
    assert "cross unknown" in lines_of(replace(GOOD, positions=[position("BTCUSDT", margin_asset=None)]))[4]
    assert "cross USD " in lines_of(replace(report, asset_mode="multi", currency="USD"))[4]


def test_positions_that_are_not_shown() -> None:
    """Only the first five positions are shown; the others are counted by level."""
    levels = [RiskLevel.CRITICAL] * 6 + [RiskLevel.WARNING] + [RiskLevel.NORMAL] * 2
    positions = [position(f"COIN{number}USDT", level=level) for number, level in enumerate(levels)]
    lines = lines_of(replace(GOOD, positions=positions))

    assert ["COIN0USDT", "COIN1USDT", "COIN2USDT", "COIN3USDT", "COIN4USDT"] == [line.split()[0] for line in lines[4:9]]
    assert "  4 more: 1 critical, 1 warning, 2 normal" == lines[9]


def test_worst_account_is_first() -> None:
    """Accounts are listed by their risk, and those of the same level by distance; JSON keeps the order of the file."""
    reports = [
        GOOD,
        at_risk("warned", RiskLevel.WARNING),
        FAILED,
        at_risk("far", RiskLevel.CRITICAL, 0.5),
        at_risk("near", RiskLevel.CRITICAL, 0.1),
    ]
    accounts = json.loads(as_json(reports))["accounts"]

    assert ["near", "far", "b", "warned", "a"] == [line.split()[0] for line in lines_of(*reports) if "  risk " in line]
    assert ["a", "warned", "b", "far", "near"] == [account["account"] for account in accounts]
    assert ["normal", "warning", "unknown", "critical", "critical"] == [account["risk_level"] for account in accounts]


def test_failure_of_an_endpoint_is_shown_once() -> None:
    """A ban is a problem of the endpoint, with one advice and its end, however many accounts fail for it."""
    assert [
        "endpoint mainnet",
        "  problem     banned",
        "  what to do  wait",
        "  resumes at  2026-11-28T21:05:00Z: until then the exchange rejects this IP",
        "",
        "b  risk unknown  poll failed: banned",
        "c  risk unknown  poll failed: banned",
        "",
        "2 of 2 accounts at unknown risk, not polled completely: b, c",
    ] == lines_of(BANNED, replace(BANNED, account="c"))


def test_ban_whose_end_was_not_reported() -> None:
    """If the exchange has not said when a ban ends, the report does not say so either."""
    assert (
        "  try again   not before 2026-11-28T21:05:00Z: the actual end is unknown"
        == lines_of(replace(BANNED, pause_end_reported=False))[3]
    )


def test_failure_of_several_accounts_is_shown_once() -> None:
    """A cause that some accounts of an endpoint share is shown once with their names; each message is kept."""
    second = replace(FAILED, account="c", problem="other message")
    other = replace(FAILED, account="d", endpoint="testnet")

    assert [
        "endpoint mainnet",
        "  problem     key rejected",
        "  problem     other message",
        "  what to do  check the key",
        "  accounts    b, c",
        "",
        "b  risk unknown  poll failed: refused",
        "c  risk unknown  poll failed: refused",
        "",
        "d  risk unknown  poll failed: refused",
        "  problem     key rejected",
        "  what to do  check the key",
        "  key         HMAC, at testnet",
    ] == lines_of(FAILED, second, other, GOOD)[:13]


@pytest.mark.parametrize(("problem", "times"), [("key rejected", 1), ("timeout", 2)])
def test_key_that_is_rejected_over_both_ways_is_shown_once(problem: str, times: int) -> None:
    """The reason why the permissions of a key are unknown is shown unless the account's poll failed for the same."""
    text = "\n".join(lines_of(replace(FAILED, key_problem=problem), GOOD))

    assert times == text.count("key rejected") + text.count("timeout")


def test_json_is_strict() -> None:
    """An infinite ratio is a string and an unknown one null, which every JSON parser accepts."""
    pools = [cross_pool("USDT", math.inf, RiskLevel.CRITICAL), isolated_pool("BTCUSDT", None), cross_pool("BNB", 0.5)]
    report = replace(GOOD, margin_pools=pools, positions=[position("BTCUSDT", margin_ratio=math.inf)])
    text = as_json([report])
    (account,) = msgspec.json.decode(text)["accounts"]
    (row,) = account["positions"]

    assert json.loads(text)["accounts"] == [account]
    assert [("Infinity", "critical"), (None, "normal"), (0.5, "normal")] == [
        (pool["ratio"], pool["level"]) for pool in account["margin_pools"]
    ]
    assert ("Infinity", "normal") == (row["margin_ratio"], row["level"])


def test_json_is_for_scripts() -> None:
    """JSON has the overall result, and the report of each account."""
    document = json.loads(as_json([GOOD, FAILED]))

    assert not document["ok"]
    assert [("a", True), ("b", False)] == [(account["account"], account["ok"]) for account in document["accounts"]]
    assert "refused" == document["accounts"][1]["reason"]


@pytest.mark.parametrize(("used", "shown"), [(2159, False), (2160, True)])
def test_request_weight_is_shown_if_it_is_scarce(used: int, *, shown: bool) -> None:
    """The endpoint's request weight is shown once 90 % of it are used."""
    report = replace(GOOD, request_weight_used=used, request_weight_limit=2400)

    assert shown is (f"  weight      {used:,} of 2,400, all programs" in as_text([report], colour=False))


WRONG_CLOCK = replace(GOOD, clock_offset_seconds=-9.0)
SUMMARIES = [
    ([GOOD], "1 account OK"),
    ([GOOD] * 4, "all 4 accounts OK"),
    ([FAILED], "1 of 1 account at unknown risk, not polled completely: b"),
    ([GOOD, GOOD, FAILED, FAILED], "2 of 4 accounts at unknown risk, not polled completely: b, b"),
    ([at_risk("c", RiskLevel.CRITICAL, 0.2), at_risk("d", RiskLevel.CRITICAL, 0.1)], "2 of 2 accounts critical: d, c"),
    (
        [GOOD, FAILED, at_risk("c", RiskLevel.CRITICAL), at_risk("w", RiskLevel.WARNING)],
        "1 of 4 accounts critical: c; 1 at unknown risk, not polled completely: b; 1 with a warning: w",
    ),
    ([GOOD, WRONG_CLOCK], "the clock of this host is wrong"),
    (
        [at_risk("w", RiskLevel.WARNING), WRONG_CLOCK],
        "1 of 2 accounts with a warning: w; the clock of this host is wrong",
    ),
    (
        [replace(at_risk("c", RiskLevel.CRITICAL), risk_missing=["BTCUSDT long"]), replace(GOOD, unknown_ratios=["x"])],
        "1 of 2 accounts critical: c; 2 not polled completely: c, a",
    ),
]


@pytest.mark.parametrize(("reports", "summary"), SUMMARIES)
def test_summary(reports: list[AccountReport], summary: str) -> None:
    """The last lines name the accounts of each level but normal and those not polled completely, worst first."""
    assert summary == " ".join("\n".join(lines_of(*reports)).rpartition("\n\n")[2].split("\n"))


def test_warnings_of_the_configuration_are_shown() -> None:
    """The configuration's warnings are in the text, one below the other, and in the JSON."""
    warnings = ["keys/a.key is readable by other users", "keys/b.key is readable by other users"]

    assert [f"warning: {warning}" for warning in warnings] + [""] == as_text(
        [GOOD], warnings, colour=False
    ).splitlines()[:3]
    assert warnings == json.loads(as_json([GOOD], warnings))["warnings"]


@pytest.mark.parametrize(
    ("offset", "uncertainty", "wrong"),
    [(0.9, 0.0, False), (2.0, 0.0, False), (6.0, 0.0, True), (-0.9, 0.0, False), (-1.5, 0.0, True), (-1.5, 1.5, False)],
)
def test_clock_is_judged_as_the_exchange_does(offset: float, uncertainty: float, *, wrong: bool) -> None:
    """A clock is wrong if a second ahead or five behind, beyond the uncertainty; the endpoint then has the advice."""
    report = replace(GOOD, clock_offset_seconds=offset, clock_uncertainty_seconds=uncertainty)
    text = " ".join(as_text([report, report], colour=False).split())

    assert wrong is report.clock_is_wrong
    assert int(wrong) == text.count(WRONG_CLOCK_ADVICE)
