"""Reports of `check`, built without an exchange."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from exporter.account.risk import WORST_FIRST
from exporter.account.risk_level import RiskLevel
from exporter.app.check import AccountReport
from exporter.cli.check_report import as_text

RISK: dict[str, Any] = {
    "margin_asset": "USDT",
    "margin_type": "cross",
    "entry_price": 104_000.5,
    "break_even_price": 104_010.0,
    "mark_price": 100_000.0,
    "liquidation_price": 99_000.0,
    "adl_quantile": 1,
    "distance_to_liquidation": 0.01,
    "is_distance_known": True,
    "margin_ratio": 0.29,
    "level": RiskLevel.NORMAL,
}
GOOD = AccountReport(
    account="a",
    endpoint="mainnet",
    key_type="hmac",
    accepted=True,
    asset_mode="single",
    currency="USDT",
    risk_level=RiskLevel.NORMAL,
    sort_key=(WORST_FIRST.index(RiskLevel.NORMAL), math.inf, 0.0),
)
FAILED = AccountReport(
    account="b",
    endpoint="mainnet",
    key_type="hmac",
    accepted=False,
    reason="refused",
    problem="key rejected",
    advice="check the key",
)
BANNED = replace(
    FAILED,
    reason="banned",
    problem="banned",
    advice="wait",
    resumes_at="2026-11-28T21:05:00Z",
    pause_end_reported=True,
)


def at_risk(account: str, level: RiskLevel, distance: float = math.inf) -> AccountReport:
    """Return the report of an account with a level and the distance of its worst position."""
    return replace(GOOD, account=account, risk_level=level, sort_key=(WORST_FIRST.index(level), distance, 0.0))


def position(symbol: str, **fields: Any) -> dict[str, Any]:
    """Return a held position of a report."""
    return {"symbol": symbol, "position_side": "BOTH", "amount": 1.5, "notional": 1500.0} | RISK | fields


def cross_pool(asset: str, ratio: float | None, level: RiskLevel = RiskLevel.NORMAL) -> dict[str, Any]:
    """Return a cross pool of a report."""
    return {"margin_type": "cross", "margin_asset": asset, "ratio": ratio, "level": level}


def isolated_pool(symbol: str, ratio: float | None, level: RiskLevel = RiskLevel.NORMAL) -> dict[str, Any]:
    """Return an isolated pool of a report."""
    return {"margin_type": "isolated", "symbol": symbol, "position_side": "BOTH", "ratio": ratio, "level": level}


def lines_of(*reports: AccountReport, verbose: bool = False) -> list[str]:
    """Return the lines of the text without colours."""
    return as_text(reports, colour=False, verbose=verbose).splitlines()
