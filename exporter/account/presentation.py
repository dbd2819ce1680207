"""Positions, missing data, key types, clock offset and request weight as the status page and `check` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.margin import explain_unknown_ratios
from exporter.account.risk import positions_without_risk
from exporter.account.risk_level import RiskLevel
from exporter.binance.clock import DATE_ERROR_SECONDS

if TYPE_CHECKING:
    from exporter.account.risk import RiskAssessment
    from exporter.account.snapshot import AccountSnapshot

NONE: Final = "none"  # what does not exist, such as the liquidation price of a position that cannot be liquidated
UNKNOWN: Final = "unknown"
# What accounts are, after their number; worst first.
AT_LEVEL: Final = {
    RiskLevel.CRITICAL: "critical",
    RiskLevel.UNKNOWN: "at unknown risk",
    RiskLevel.WARNING: "with a warning",
}
_KEY_TYPES: Final = {"hmac": "HMAC", "rsa": "RSA", "ed25519": "Ed25519"}

# A clock is marked as uncertain by a far larger value; no round trip takes as long.
_MAX_UNCERTAINTY_SECONDS: Final = 60.0


def format_side(position_side: str, amount: float) -> str:
    """Return the side of a position: in one-way mode that of its amount, in hedge mode its own."""
    if position_side != "BOTH":
        return position_side.lower()
    return "long" if amount > 0 else "short" if amount < 0 else NONE


def format_margin(margin_type: str, margin_asset: str | None, asset_mode: str | None, currency: str | None) -> str:
    """Return the margin type of a position, and of a cross position the asset or currency of its pool.

    Args:
        margin_type: cross or isolated.
        margin_asset: the margin asset of the position; None if unknown.
        asset_mode: the asset mode of the account; in multi-assets mode there is one pool.
        currency: the currency of the account's totals.
    """
    if margin_type != "cross":
        return margin_type
    return f"cross {(currency if asset_mode == AssetMode.MULTI else margin_asset) or UNKNOWN}"


def format_key_type(key_type: str) -> str:
    """Return the name of a key type: HMAC, RSA or Ed25519."""
    return _KEY_TYPES.get(key_type, key_type)


def missing_prices(snapshot: AccountSnapshot) -> list[str]:
    """Return the symbol and side of each held position whose mark or liquidation price is missing."""
    return [f"{row.symbol} {format_side(row.position_side, row.amount)}" for row in positions_without_risk(snapshot)]


def unknown_ratios(snapshot: AccountSnapshot, assessment: RiskAssessment) -> list[str]:
    """Return why margin ratios that the level of the account depends on are unknown."""
    return [] if assessment.is_complete else explain_unknown_ratios(snapshot)


def format_clock_offset(offset_seconds: float | None, uncertainty_seconds: float | None) -> str:
    """Return how this host's clock compares with the exchange's, no more precisely than that is known.

    Args:
        offset_seconds: how far the exchange is ahead of this host; None if unknown.
        uncertainty_seconds: the largest error of that offset; None if unknown.
    """
    if offset_seconds is None or uncertainty_seconds is None or uncertainty_seconds > _MAX_UNCERTAINTY_SECONDS:
        return "unknown"
    is_exact = uncertainty_seconds < DATE_ERROR_SECONDS
    if abs(offset_seconds) < (0.0005 if is_exact else uncertainty_seconds):
        return "host and exchange agree" + ("" if is_exact else f" to within {uncertainty_seconds:.1f} s")
    amount = f"{abs(offset_seconds):,.3f}" if is_exact else f"about {abs(offset_seconds):,.0f}"
    return f"host {amount} s {'behind' if offset_seconds > 0 else 'ahead of'} exchange"


def format_request_weight(used: int | None, limit: int | None) -> str:
    """Return the request weight used in the current minute and its limit; None for what is unknown."""
    if limit is None:
        return "unknown" if used is None else f"{used:,} (limit unknown)"
    return f"{'unknown' if used is None else f'{used:,}'} of {limit:,}"
