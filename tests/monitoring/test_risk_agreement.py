"""The status page, `check`, the rules and the dashboards judge the risk of an account alike, whatever its figures."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.builders import make_asset, make_position, make_risk, make_snapshot, make_state, samples
from support.dashboards import filled
from support.prometheus_server import promtool

from exporter.account.asset_mode import AssetMode
from exporter.account.risk import assess
from exporter.account.risk_level import RiskLevel
from exporter.account.zero_assets import ZeroAssets
from exporter.app.check import account_report
from exporter.binance.endpoint_state import EndpointState
from exporter.binance.rows import FIGURES
from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.text import render
from exporter.web.accounts import account_rows
from monitoring.dashboards import queries
from monitoring.rules.build import GROUPS, rule_files
from monitoring.rules.rule import JOB

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.rows import Position, PositionRisk

pytestmark = pytest.mark.prometheus

SNAPSHOTS: Final = 500
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDC", "XRPUSDT")
RATIOS: Final = (0.0, *[0.1] * 9, 0.5, 0.5001, 0.7, 0.7001, 0.8, 0.8001, 1.5)
DISTANCES: Final = (0.0, 0.0199, 0.02, 0.0201, 0.0499, 0.05, 0.0501, *[0.3] * 9)
# What the rules and dashboards read to judge risk, of the families of a snapshot.
READ_FOR_RISK: Final = re.compile(
    r"binance_futures_(.*_margin_ratio|position_(info|amount|entry_price|mark_price|liquidation_price|risk_missing)"
    r"|asset_maintenance_margin|account_open_positions)\{"
)
ALERTS: Final = 'alertname=~"BinanceFutures(MarginRatioHigh|LiquidationNear)",alertstate="firing"'
CRITICAL: Final = f'group by (account) (ALERTS{{{ALERTS},severity="critical"}})'
UNKNOWN: Final = "group by (account) (binance_futures_up unless on (account) account:binance_futures_risk_level:max)"
RAISED: Final = f"group by (account) (ALERTS{{{ALERTS}}})"
BY_LEVEL: Final = {
    RiskLevel.CRITICAL: CRITICAL,
    RiskLevel.UNKNOWN: f"{UNKNOWN} unless {CRITICAL}",
    RiskLevel.WARNING: f"{RAISED} unless {CRITICAL} unless {UNKNOWN}",
}
# The numbers in the dashboards, where a higher one is worse.
IN_DASHBOARDS: Final = {RiskLevel.NORMAL: 0, RiskLevel.WARNING: 1, RiskLevel.UNKNOWN: 2, RiskLevel.CRITICAL: 3}


def random_snapshot(draw: random.Random) -> AccountSnapshot:
    """Return an account with up to four positions, at and around the thresholds, some of them with missing figures."""
    multi = draw.random() < 0.3
    # Maintenance margins are shares of an equity of 1000.
    ratio_left = draw.choice(RATIOS)
    positions: list[Position] = []
    risks: list[PositionRisk] = []
    for symbol in draw.sample(SYMBOLS, draw.randint(0, len(SYMBOLS))):
        side = draw.choice(("BOTH", "LONG", "SHORT"))
        amount = 0.0 if draw.random() < 0.1 else -2.0 if side == "SHORT" else 2.0
        isolated = not multi and draw.random() < 0.4
        margin = 1000 * (draw.choice(RATIOS) if isolated else ratio_left) if amount else 0.0
        ratio_left = ratio_left if isolated else 0.0
        positions.append(
            make_position(
                symbol,
                side,
                amount,
                notional=amount * 100.0,
                maintenance_margin=None if draw.random() < 0.05 else margin,
                isolated_wallet_balance=1000.0 if isolated else 0.0,
                isolated_margin=1000.0 if isolated else 0.0,
                unrealized_pnl=0.0,
            )
        )
        if draw.random() < 0.9:
            mark = None if draw.random() < 0.05 else 100.0
            price = draw.choice((0.0, *(100.0 * (1 - draw.choice(DISTANCES)) for _ in range(4))))
            asset = draw.choice((symbol[-4:], symbol[-4:], None))
            risks.append(
                make_risk(
                    symbol, side, amount, entry_price=90.0, mark_price=mark, liquidation_price=price, margin_asset=asset
                )
            )
    equity = {"cross_wallet_balance": 1000.0, "cross_unrealized_pnl": 0.0, "margin_balance": 1000.0}
    required = sum(row.maintenance_margin or 0.0 for row in positions)
    required_in = {
        asset: sum(row.maintenance_margin or 0.0 for row in positions if row.symbol.endswith(asset))
        + (100.0 if draw.random() < 0.05 else 0.0)  # for a position that the response lacks
        for asset in ("USDT", "USDC")
    }
    snapshot = make_snapshot(
        [
            make_asset(asset, **dict.fromkeys(FIGURES, 0.0))
            if draw.random() < 0.1
            else make_asset(asset, **equity, maintenance_margin=margin)
            for asset, margin in required_in.items()
        ],
        positions,
        risks if draw.random() < 0.9 else None,
        asset_mode=AssetMode.MULTI if multi else AssetMode.SINGLE,
        margin_balance=1000.0,
        maintenance_margin=required,
    )
    # As with `zero_assets: false`.
    return replace(snapshot, hidden_assets=ZeroAssets().find(snapshot)) if draw.random() < 0.5 else snapshot


def dashboard_checks(snapshots: dict[str, AccountSnapshot]) -> list[dict[str, Any]]:
    """Return promtool's checks that the dashboards show the assessed level of each account and each position."""
    levels_by_expression: dict[str, dict[str, RiskLevel]] = {queries.account_risk(): {}, queries.position_risk(): {}}
    by_account, by_position = levels_by_expression.values()
    for name, snapshot in snapshots.items():
        assessment = assess(snapshot)
        by_account[f'{{account="{name}"}}'] = assessment.level
        for assessed in assessment.positions:
            row = assessed.position.row
            labels = f'{{account="{name}",symbol="{row.symbol}",position_side="{row.position_side}"}}'
            by_position[labels] = assessed.level
    return [
        {
            "eval_time": "5m",
            "expr": filled(expression),
            "exp_samples": [{"labels": labels, "value": IN_DASHBOARDS[level]} for labels, level in levels.items()],
        }
        for expression, levels in levels_by_expression.items()
    ]


def test_page_check_rules_and_dashboards_judge_alike(tmp_path: Path) -> None:
    """For 500 random snapshots all of them show the level of the alerts that fire, unknown where those cannot."""
    draw = random.Random(20)  # noqa: S311 - the same examples at each run
    snapshots = {f"account-{number}": random_snapshot(draw) for number in range(SNAPSHOTS)}
    states = {name: make_state(name, answered_at=1000.0) for name in snapshots}
    reports = {
        name: account_report(states[name], EndpointState(label="host"), snapshot)
        for name, snapshot in snapshots.items()
    }
    by_check = {name: report.risk_level for name, report in reports.items()}
    by_page = {row.name: row.level for row in account_rows(states.values(), 1000.0, snapshots)}

    assert by_check == by_page
    assert min(list(by_page.values()).count(level) for level in RiskLevel) >= SNAPSHOTS / 25

    for name, text in rule_files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    exposed: dict[str, float] = {}
    for name, snapshot in snapshots.items():
        exposed |= samples(b"".join(render(ACCOUNTS, snapshot, name).fragments))
        exposed[f'binance_futures_up{{account="{name}"}}'] = 1.0
    series = [
        {"series": name.replace("{", f'{{job="{JOB}",instance="host:10427",', 1), "values": f"{value}+0x6"}
        for name, value in exposed.items()
        if READ_FOR_RISK.match(name) or name.startswith("binance_futures_up")
    ]
    checks = [
        {
            "eval_time": "5m",
            "expr": expression,
            "exp_samples": [
                {"labels": f'{{account="{name}"}}', "value": 1} for name in by_page if by_page[name] is level
            ],
        }
        for level, expression in BY_LEVEL.items()
    ]
    test = {
        "rule_files": [str(tmp_path / name) for name in rule_files()],
        "evaluation_interval": "1m",
        "group_eval_order": [group.name for group in GROUPS.values()],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks + dashboard_checks(snapshots)}],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(test), encoding="utf-8")
    code, output = promtool("test", "rules", path)

    assert 0 == code, output[:4000]


def test_dashboards_of_accounts_that_are_down(tmp_path: Path) -> None:
    """If the last poll failed, the dashboards show an account as unknown, unless its current data is critical."""
    # `up`, and the margin ratio if there is data.
    accounts = {"normal": (0, 0.1), "critical": (0, 0.9), "expired": (0, None), "without-data": (1, None)}
    series: dict[str, float] = {}
    for name, (up, ratio) in accounts.items():
        series[f'up{{account="{name}"'] = up
        if ratio is not None:
            position = f'account="{name}",symbol="BTCUSDT",position_side="BOTH"'
            series[f'account_open_positions{{account="{name}"'] = 1
            series[f"position_amount{{{position}"] = 1
            series[f"isolated_margin_ratio{{{position}"] = ratio
    levels = dict.fromkeys(accounts, RiskLevel.UNKNOWN) | {"critical": RiskLevel.CRITICAL}
    check = {
        "eval_time": "0m",
        "expr": filled(queries.account_risk()),
        "exp_samples": [
            {"labels": f'{{account="{name}"}}', "value": IN_DASHBOARDS[level]} for name, level in levels.items()
        ],
    }
    inputs = [
        {"series": f'binance_futures_{name},job="{JOB}",instance="host:10427"}}', "values": str(value)}
        for name, value in series.items()
    ]
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"tests": [{"input_series": inputs, "promql_expr_test": [check]}]}), encoding="utf-8")
    code, output = promtool("test", "rules", path)

    assert 0 == code, output
