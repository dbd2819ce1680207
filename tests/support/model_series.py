"""The series that a scrape must show of one account, built from the exchange's answers without the exporter's code."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from support.response_fields import FIGURES, POSITION_FIELDS, RISK_FIELDS, RISK_FIELDS_WHILE_HELD, TOTALS

RowIdentity = tuple[str, str]  # symbol and side

_VALUES: Final = re.compile(r"binance_futures_(account_(?!info\{)|asset_|position_|cross_|isolated_)")


def value_series(scraped: dict[str, float], account: str) -> dict[str, float]:
    """Return an account's series whose values come from the exchange, without those about polling."""
    return {
        series: value for series, value in scraped.items() if _VALUES.match(series) and f'account="{account}"' in series
    }


def expected_series(
    account: str, currency: str, status: dict[str, Any], risks: list[dict[str, Any]]
) -> dict[str, float]:
    """Return the series of one `v2/account.status` and one `v2/account.position`, both complete.

    Margin assets have four letters, and the symbols end with them.
    """
    series = _Series(account)
    for name, wire in TOTALS.items():
        series.put(f"account_{name}", status[wire], currency=currency)
    amounts = {(row["symbol"], row["positionSide"]): float(row["positionAmt"]) for row in status["positions"]}
    series.put("account_open_positions", sum(map(bool, amounts.values())))
    series.put("position_risk_missing", 0)
    for row in status["assets"]:
        _put_asset(series, row)
    for row in status["positions"]:
        _put_position(series, row)
    for row in risks:
        if (row["symbol"], row["positionSide"]) in amounts:
            _put_risk(series, row, amounts[row["symbol"], row["positionSide"]])
    if currency == "USD":
        margin, equity = float(status["totalMaintMargin"]), float(status["totalMarginBalance"])
        series.put("cross_margin_ratio", _ratio(margin, equity), margin_asset="USD")
    else:
        for row in status["assets"]:
            margin = sum(
                float(position["maintMargin"])
                for position in status["positions"]
                if position["symbol"].endswith(row["asset"]) and not _is_isolated(position)
            )
            equity = float(row["crossWalletBalance"]) + float(row["crossUnPnl"])
            series.put("cross_margin_ratio", _ratio(margin, equity), margin_asset=row["asset"])
    return series.values


def held_positions(rows: list[dict[str, Any]]) -> dict[RowIdentity, float]:
    """Return the amounts of the positions that are held, by symbol and side."""
    amounts = {(row["symbol"], row["positionSide"]): float(row["positionAmt"]) for row in rows}
    return {identity: amount for identity, amount in amounts.items() if amount}


def differences(expected: dict[str, float], actual: dict[str, float]) -> list[str]:
    """Describe the series that are not as expected."""
    return [
        f"{series}: expected {expected.get(series)}, got {actual.get(series)}"
        for series in sorted(expected.keys() | actual.keys())
        if expected.get(series) != actual.get(series)
    ]


class _Series:
    def __init__(self, account: str) -> None:
        self.values: dict[str, float] = {}
        self._account = account

    def put(self, name: str, value: object, **labels: str) -> None:
        labels["account"] = self._account
        text = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels))
        self.values[f"binance_futures_{name}{{{text}}}"] = float(str(value))


def _put_asset(series: _Series, row: dict[str, Any]) -> None:
    for name, wire in FIGURES.items():
        series.put(f"asset_{name}", row[wire], asset=row["asset"])
    if "marginAvailable" in row:
        series.put("asset_margin_available", int(row["marginAvailable"]), asset=row["asset"])
    if row["updateTime"]:
        series.put("asset_update_timestamp_seconds", row["updateTime"] / 1000, asset=row["asset"])


def _put_position(series: _Series, row: dict[str, Any]) -> None:
    identity = {"symbol": row["symbol"], "position_side": row["positionSide"]}
    for name, wire in POSITION_FIELDS.items():
        series.put(f"position_{name}", row[wire], **identity)
    if row["updateTime"]:
        series.put("position_update_timestamp_seconds", row["updateTime"] / 1000, **identity)
    if float(row["positionAmt"]):
        margin_type = "isolated" if _is_isolated(row) else "cross"
        series.put("position_info", 1, **identity, margin_asset=row["symbol"][-4:], margin_type=margin_type)
    if _is_isolated(row):
        equity = float(row["isolatedWallet"]) + float(row["unrealizedProfit"])
        series.put("isolated_margin_ratio", _ratio(float(row["maintMargin"]), equity), **identity)


def _put_risk(series: _Series, row: dict[str, Any], amount: float) -> None:
    # Prices of a position that was closed or reversed after the first answer belong to another position.
    same = amount * float(row["positionAmt"]) > 0
    for name, wire in (RISK_FIELDS | RISK_FIELDS_WHILE_HELD if same else RISK_FIELDS).items():
        series.put(f"position_{name}", row[wire], symbol=row["symbol"], position_side=row["positionSide"])
    if same and float(row["liquidationPrice"]) > 0:
        price = row["liquidationPrice"]
        series.put("position_liquidation_price", price, symbol=row["symbol"], position_side=row["positionSide"])


def _is_isolated(row: dict[str, Any]) -> bool:
    return bool(float(row["positionAmt"]) and (float(row["isolatedWallet"]) or float(row["isolatedMargin"])))


def _ratio(maintenance_margin: float, equity: float) -> float:
    if not maintenance_margin:
        return 0.0
    return maintenance_margin / equity if equity > 0 else math.inf
