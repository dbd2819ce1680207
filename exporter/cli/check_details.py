"""The part of the text of `check --verbose` that lists everything that is known of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.account.asset_mode import AssetMode
from exporter.account.presentation import (
    NONE,
    UNKNOWN,
    format_clock_offset,
    format_key_type,
    format_margin,
    format_request_weight,
    format_side,
)
from exporter.app.check import POSITION_FIGURES
from exporter.binance.rows import FIGURES
from exporter.cli.text_layout import paint_levels, table, titled
from exporter.formatting import format_percent, format_price

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.app.check import AccountReport
    from exporter.cli.text_layout import Paint

_ASSET_FIGURES: Final = (
    "wallet_balance",
    "unrealized_pnl",
    "margin_balance",
    "maintenance_margin",
    "available_balance",
)
_NUMBERS: Final = ("entry price", "mark price", "liquidation price", "distance", "margin ratio")


def detail_lines(report: AccountReport, paint: Paint) -> Iterator[str]:
    """Yield the endpoint, the clock and the request weight, and after a successful poll all that it reported."""
    yield from titled("endpoint", f"{report.endpoint}, {format_key_type(report.key_type)} key")
    if report.clock_offset_seconds is not None:
        yield from titled("clock", clock(report))
    if report.request_weight_used is not None:
        yield from titled("weight", request_weight(report))
    if report.key_permissions is not None:
        yield from titled("permissions", ", ".join(report.key_permissions) or "none")
    if not report.accepted:
        return
    covered = f"all assets in {report.currency}" if report.asset_mode == AssetMode.MULTI else f"{report.currency} only"
    yield from titled("asset mode", f"{report.asset_mode}, totals cover {covered}")
    yield from titled("totals", "")
    yield from table([{"": _heading(name), " ": report.totals.get(name)} for name in FIGURES])
    # Not the available balance: in multi-assets mode every asset has that of the account.
    held = [row for row in report.assets if any(row.get(name) for name in _ASSET_FIGURES[:-1])]
    empty = len(report.assets) - len(held)
    yield from titled("assets", f"({empty} without a balance not shown)" if empty else "")
    yield from table([_named(row, ("asset", *_ASSET_FIGURES)) for row in held])
    yield from _pools(report, paint)
    yield from _positions(report, paint)


def clock(report: AccountReport) -> str:
    """Return how the clocks of this host and the exchange compare."""
    return format_clock_offset(report.clock_offset_seconds, report.clock_uncertainty_seconds)


def request_weight(report: AccountReport) -> str:
    """Return the request weight that is used up, and by whom."""
    weight = format_request_weight(report.request_weight_used, report.request_weight_limit)
    return f"{weight}, all programs behind this IP in the current minute"


def _pools(report: AccountReport, paint: Paint) -> Iterator[str]:
    at_risk = [pool for pool in report.margin_pools if pool["ratio"] != 0]
    pools = at_risk or report.margin_pools[:1]
    idle_count = len(report.margin_pools) - len(pools)
    yield from titled("pools", f"({idle_count} without risk not shown)" if idle_count else "" if pools else "none")
    rows = [
        {
            "margin": pool["margin_type"],
            "pool": pool.get("margin_asset") or _pool_name(pool["symbol"], pool["position_side"]),
            "ratio": format_percent(pool["ratio"]),
            "level": pool["level"],
        }
        for pool in pools
    ]
    yield from paint_levels([*table(rows, right=("ratio",))], [pool["level"] for pool in pools], paint)


def _positions(report: AccountReport, paint: Paint) -> Iterator[str]:
    yield from titled("positions", "" if report.positions else "none")
    yield from table([_identity(row) | _named(row, POSITION_FIGURES) for row in report.positions])
    held = [row for row in report.positions if row.get("level")]
    if held:
        yield from titled("liquidation", "(worst risk first)")
        lines = [*table([_risk(report, row) for row in held], right=_NUMBERS)]
        yield from paint_levels(lines, [row["level"] for row in held], paint)


def format_distance(row: Mapping[str, Any]) -> str:
    """Return the distance to liquidation of a held position, "none" if it has no liquidation price, or "unknown"."""
    return format_percent(row["distance_to_liquidation"], 2, _missing(row))


def _missing(row: Mapping[str, Any]) -> str:
    return NONE if row["is_distance_known"] else UNKNOWN


def _pool_name(symbol: str, position_side: str) -> str:
    return symbol if position_side == "BOTH" else f"{symbol} {position_side.lower()}"


def _identity(row: Mapping[str, Any]) -> dict[str, object]:
    return {"symbol": row["symbol"], "side": format_side(row["position_side"], row["amount"])}


def _risk(report: AccountReport, row: Mapping[str, Any]) -> dict[str, object]:
    return _identity(row) | {
        "margin": format_margin(row["margin_type"], row["margin_asset"], report.asset_mode, report.currency),
        "entry price": format_price(row["entry_price"]),
        "mark price": format_price(row["mark_price"]),
        "liquidation price": format_price(row["liquidation_price"], _missing(row)),
        "distance": format_distance(row),
        "margin ratio": format_percent(row["margin_ratio"]),
        "level": row["level"],
    }


def _heading(name: str) -> str:
    return name.replace("_", " ")


def _named(row: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """Return the named columns of a row; missing values are None."""
    return {_heading(name): row.get(name) for name in names}
