"""Accounts on the status page: the states of their polling, and their failures."""

from __future__ import annotations

from typing import Final

import pytest
from support.status_page import FAILURE, NOW, page, state

from exporter.account.asset_mode import AssetMode
from exporter.account.state import Failure
from exporter.binance.errors import Reason

NO_RISK: Final = ("unknown", "unknown", "unknown")


@pytest.mark.parametrize(
    ("word", "cells"),
    [
        ("up", [*NO_RISK, "1,234", "up", "15 seconds", "multi-assets"]),
        (
            "failing",
            [*NO_RISK, "1,234", "failing rate limited; data expires in 45 seconds", "15 seconds", "multi-assets"],
        ),
        (
            "stale",
            [
                *("unknown for 1 minute", "unknown", "unknown", "unknown"),
                *("stale rate limited; data expired", "2 minutes", "multi-assets"),
            ],
        ),
        ("down", [*NO_RISK, "unknown", "down rate limited; no successful poll yet", "no data yet", "unknown"]),
        ("waiting", [*NO_RISK, "unknown", "waiting first poll pending", "no data yet", "unknown"]),
    ],
)
def test_states(word: str, cells: list[str]) -> None:
    """Each state is a word, and values are shown only as long as the metrics have them."""
    shown = page([state(word)])

    assert ["main", *cells[:-1], "localhost:1", "HMAC", cells[-1]] == shown.row("main")
    assert (word in {"failing", "stale", "down"}) is (FAILURE.message in shown.texts)
    assert (FAILURE.message in shown.texts) is (FAILURE.advice in shown.texts)


def test_equal_failures_are_one() -> None:
    """Accounts that fail for the same reason share one entry with their number; other reasons have their own."""
    states = [state("failing", f"account {number}") for number in range(30)]
    states[7].last_failure = Failure(Reason.REFUSED, "invalid key", "check the key")
    shown = page([*states, state("waiting", "other"), state("up", "good")])

    failures = shown.texts.index("Failures")
    assert ["29 accounts: rate limited", FAILURE.message] == shown.texts[failures + 1 : failures + 3]
    assert 1 == shown.texts.count(FAILURE.message)
    affected = shown.texts.index("Affected accounts")
    assert ["account 0", "account 1", "account 2"] == shown.texts[affected + 1 : affected + 6 : 2]
    second = shown.texts.index(": refused")
    assert ["account 7", ": refused", "invalid key"] == shown.texts[second - 1 : second + 2]


def test_many_different_failures_are_counted() -> None:
    """The ten causes with most accounts are shown; the accounts of the others are counted."""
    states = [state("failing", f"account {number}") for number in range(14)]
    for number, failing in enumerate(states[2:]):
        failing.last_failure = Failure(Reason.EXCHANGE, f"error {number}", "wait")
    shown = page(states)

    assert "2 accounts: rate limited" in shown.texts
    assert {"error 0", "error 8"} <= set(shown.texts)
    assert "error 9" not in shown.texts
    assert "Not shown: other failures of 3 accounts; the log has them." in shown.texts


def test_a_failure_that_is_over_is_not_shown() -> None:
    """An account that has recovered no longer shows its last failure, nor does one whose good answer grew old."""
    recovered, grown_old = state("up", "recovered"), state("up", "grown old")
    recovered.last_failure = grown_old.last_failure = FAILURE
    grown_old.answered_at, grown_old.stale_at = NOW - 3600, NOW - 3540
    shown = page([recovered, grown_old])

    assert "up" == shown.row("recovered")[5]
    assert "stale data expired" == shown.row("grown old")[5]
    assert FAILURE.message not in shown.texts


def test_flat_is_not_unknown() -> None:
    """Without open positions their number is 0."""
    flat = state("up")
    flat.open_positions = 0

    assert "0" == page([flat]).row("main")[4]


def test_configured_asset_mode() -> None:
    """Before the asset mode is detected, the configured one is shown."""
    assert "single-asset" == page([state("waiting", asset_mode=AssetMode.SINGLE)]).row("main")[9]
