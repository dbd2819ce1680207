"""The text of `check --verbose`: everything that a poll reported."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from support.check_reports import FAILED, GOOD, RISK, cross_pool, isolated_pool, lines_of, position

from exporter.account.risk_level import RiskLevel
from exporter.cli.check_report import as_text


def test_text_is_aligned_and_shows_what_was_not_sent() -> None:
    """Columns are aligned even with Chinese symbols; a value that was not sent is a dash, not 0."""
    positions: list[dict[str, Any]] = [
        {"symbol": "BTCUSDT", "position_side": "BOTH", "amount": 1.5, "notional": -1234567.25},
        {"symbol": "币安人生USDT", "position_side": "BOTH", "amount": -20.0},
    ]
    assets = [{"asset": "USDT", "wallet_balance": 12.5}, {"asset": "BNB", "wallet_balance": 0.0}]
    report = replace(GOOD, totals={"wallet_balance": 12.5}, assets=assets, positions=positions)
    lines = lines_of(report, verbose=True)
    heading = lines.index("  positions") + 1

    assert [
        "    symbol        side   amount       notional  unrealized pnl",
        "    BTCUSDT       long     1.50  -1,234,567.25               -",
        "    币安人生USDT  short  -20.00              -               -",
    ] == [line[: len(line) - len("  initial margin  maintenance margin")] for line in lines[heading : heading + 3]]
    assert "  assets      (1 without a balance not shown)" in lines
    assert "    wallet balance             12.50" in lines


def test_pools() -> None:
    """Pools have their ratio and level; those without positions are counted."""
    pools = [
        cross_pool("USDC", math.inf, RiskLevel.CRITICAL),
        isolated_pool("ETHUSDT", None, RiskLevel.UNKNOWN) | {"position_side": "SHORT"},
        isolated_pool("币安人生USDT", 0.7999, RiskLevel.WARNING),
        cross_pool("USDT", 0.29),
        cross_pool("BNB", 0.0),
        cross_pool("BTC", 0.0),
    ]
    lines = lines_of(replace(GOOD, margin_pools=pools), verbose=True)
    heading = lines.index("  pools       (2 without risk not shown)")

    assert [
        "    margin    pool              ratio  level",
        "    cross     USDC           infinite  critical",
        "    isolated  ETHUSDT short   unknown  unknown",
        "    isolated  币安人生USDT     79.9 %  warning",
        "    cross     USDT             29.0 %  normal",
    ] == lines[heading + 1 : heading + 6]


def test_pools_without_positions() -> None:
    """If no pool has positions, one of them is shown and the others are counted."""
    pools = [cross_pool("USDT", 0.0), cross_pool("BNB", 0.0)]
    lines = lines_of(replace(GOOD, margin_pools=pools), verbose=True)
    heading = lines.index("  pools       (1 without risk not shown)")

    assert "    cross   USDT  0.0 %  normal" == lines[heading + 2]


def test_liquidation_is_shown_for_held_positions() -> None:
    """Each held position has its prices, each with its own digits, and its distance, or "none" or "unknown"."""
    tiny = {"entry_price": 0.0070935, "mark_price": 0.0065, "liquidation_price": None, "margin_asset": None}
    positions = [
        position("BTCUSDT"),
        position("1000PEPEUSDT", margin_type="isolated", distance_to_liquidation=None, **tiny),
        position(
            "BNBUSDT", mark_price=None, liquidation_price=None, distance_to_liquidation=None, is_distance_known=False
        ),
        position("ETHUSDT", **dict.fromkeys(RISK)),
    ]
    lines = lines_of(replace(GOOD, positions=positions), verbose=True)
    heading = lines.index("  liquidation (worst risk first)")
    headings = "symbol        side  margin      entry price  mark price  liquidation price  distance"

    assert [
        headings,
        "BTCUSDT       long  cross USDT   104,000.50  100,000.00          99,000.00    1.00 %",
        "1000PEPEUSDT  long  isolated      0.0070935      0.0065               none      none",
        "BNBUSDT       long  cross USDT   104,000.50     unknown            unknown   unknown",
    ] == [line[4 : 4 + len(headings)] for line in lines[heading + 1 : heading + 5]]
    assert ["margin ratio  level", *["      29.0 %  normal"] * 3, ""] == [
        line[6 + len(headings) :] for line in lines[heading + 1 : heading + 6]
    ]


def test_key_of_a_failed_account_is_shown_once() -> None:
    """The type of the key and the endpoint are on one line, also if the poll failed."""
    lines = lines_of(FAILED, verbose=True)

    assert ["  endpoint    mainnet, HMAC key"] == [line for line in lines if "HMAC" in line or "mainnet" in line]


def test_empty_account() -> None:
    """An account without assets and positions is reported as such."""
    lines = lines_of(GOOD, verbose=True)

    assert {"  pools       none", "  positions   none"} <= {*lines}
    assert "1 account OK" == lines[-1]


@pytest.mark.parametrize(("limit", "words"), [(2400, "1,234 of 2,400"), (None, "1,234 (limit unknown)")])
def test_request_weight_is_reported_with_its_limit(limit: int | None, words: str) -> None:
    """The used request weight is printed with its limit, which may be unknown."""
    report = replace(GOOD, request_weight_used=1234, request_weight_limit=limit)

    assert f"  weight      {words}, all programs behind this IP" in as_text([report], colour=False, verbose=True)


@pytest.mark.parametrize(
    ("mode", "currency", "words"),
    [("single", "USDT", "single, totals cover USDT only"), ("multi", "USD", "multi, totals cover all assets in USD")],
)
def test_report_says_what_totals_cover(mode: str, currency: str, words: str) -> None:
    """The asset mode is printed with what the account totals cover."""
    report = replace(GOOD, asset_mode=mode, currency=currency)

    assert f"  asset mode  {words}\n" in as_text([report], colour=False, verbose=True)


@pytest.mark.parametrize(
    ("offset", "uncertainty", "words"),
    [
        (0.25, 0.02, "host 0.250 s behind exchange"),
        (-29.6, 1.5, "host about 30 s ahead of exchange"),
        (0.7, 1.5, "host and exchange agree to within 1.5 s"),
        (0.7, 1e9, "unknown"),
    ],
)
def test_clock_is_reported_as_precisely_as_it_is_known(offset: float, uncertainty: float, words: str) -> None:
    """An offset that is only known to a second is not printed with milliseconds."""
    report = replace(GOOD, clock_offset_seconds=offset, clock_uncertainty_seconds=uncertainty)

    assert f"  clock       {words}\n" in as_text([report], colour=False, verbose=True)
