"""The levels of risk that page, `check`, dashboards and alerts share."""

from __future__ import annotations

from enum import StrEnum


class RiskLevel(StrEnum):
    """How close an account, a position or a margin pool is to liquidation."""

    NORMAL = "normal"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
