"""The figures of the dashboard of results: today, this month, and by day and month, for each asset separately."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.dashboards import filled
from support.income import income_row
from support.prometheus_server import promtool

from exporter.rest.income_past import STEP_MS, IncomePast
from exporter.rest.income_turn import DAY_MS, Since
from monitoring.dashboards import income_queries as q
from monitoring.rules.income import INCOME
from monitoring.rules.rule import JOB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from monitoring.rules.rule import Recording

pytestmark = pytest.mark.prometheus

# Times of promtool's tests are since the start of 1970.
INTERVAL: Final = "6m"
DAY: Final = 240  # samples
MONTH: Final = 31 * DAY
LAST_DAY: Final = 33
OTHER: Final = "other:10427"


def income(name: str, labels: str, values: str, instance: str = "first:10427") -> dict[str, str]:
    """Return a scraped series of income."""
    return {
        "series": f'binance_futures_income_{name}{{job="{JOB}",instance="{instance}",{labels}}}',
        "values": values,
    }


def recorded(name: str, labels: str, values: str) -> dict[str, str]:
    """Return a recorded series of income."""
    return {"series": f'account:binance_futures_income_{name}:max{{job="{JOB}",{labels}}}', "values": values}


def of(account: str, asset: str, income_type: str, symbol: str = "") -> str:
    """Return the labels of an amount."""
    return f'account="{account}",asset="{asset}",income_type="{income_type}",symbol="{symbol}"'


def assert_values(
    folder: Path,
    series: list[dict[str, str]],
    day: int,
    expected: dict[str, dict[str, float]],
    interval: str = INTERVAL,
    rules: Sequence[Recording] = (),
) -> None:
    """Assert that each expression returns exactly these values at the start of a day, by labels in promtool's notation.

    Samples after the time of a query are not loaded, so all queries are of a later time.
    """
    checks: list[dict[str, Any]] = [
        {
            "eval_time": f"{LAST_DAY}d",
            "expr": f"last_over_time((\n{filled(expression)}\n)[500ms:1s] @ {day * 86400})",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
        }
        for expression, values in expected.items()
    ]
    test = {"interval": interval, "input_series": series, "promql_expr_test": checks}
    path, rule_file = folder / "test.json", folder / "rules.json"
    group = {"name": "recordings", "rules": [{"record": rule.name, "expr": rule.expression} for rule in rules]}
    rule_file.write_text(json.dumps({"groups": [group]}), encoding="utf-8")
    tests = {"rule_files": [str(rule_file)], "evaluation_interval": "4m", "tests": [test]}
    path.write_text(json.dumps(tests), encoding="utf-8")
    code, output = promtool("test", "rules", path)

    assert 0 == code, output


def test_today_and_this_month(tmp_path: Path) -> None:
    """Two exporters count once, transfers never, an asset without income is absent, and so is an account by day."""
    pnl, fee, moved = (of("main", "USDT", each) for each in ("realized_pnl", "commission", "transfer"))
    in_bnb, idle, daily = of("main", "BNB", "commission"), of("main", "BTC", "funding_fee"), of("busy", "USDT", "x")
    amounts = {pnl: (50, 20, -10), fee: (0, 4, -1), moved: (9000, 0, 700), in_bnb: (0, 0.5, 0), idle: (0, 0, 0)}
    series = [
        income(name, labels, f"{value}x9", instance)
        for instance in ("first:10427", OTHER)
        for labels, values in amounts.items()
        for name, value in zip(("received_total", "paid_total", "today"), values, strict=True)
    ]
    series += [income(name, daily, "5") for name in ("received_total", "today")]
    series += [income("paid_total", daily, "0")]
    # The first of January, and the second.
    series += [income("since_timestamp_seconds", 'account="main"', "0")]
    series += [income("since_timestamp_seconds", 'account="busy"', "86400")]
    series += [income("interval_seconds", f'account="{name}"', "300") for name in ("main", "busy", "unread")]

    assert_values(
        tmp_path,
        series,
        0,
        {
            q.today(q.NET): {'{asset="USDT"}': -6, '{asset="BNB"}': 0},
            q.today(q.FEES): {'{asset="USDT"}': -1, '{asset="BNB"}': 0},
            q.today(q.REALIZED): {'{asset="USDT"}': -10},
            q.month_to_date(q.NET): {'{asset="USDT"}': 26, '{asset="BNB"}': -0.5},
            q.month_to_date(q.FEES): {'{asset="USDT"}': -4, '{asset="BNB"}': -0.5},
            q.month_to_date(q.FUNDING): {},
            q.month_to_date(q.NET, "account, symbol, asset", q.OF_SYMBOLS): {},
            q.since_day(): {"{}": 1},
            q.unread(): {"{}": 1},
        },
    )


def test_days_and_their_sum(tmp_path: Path) -> None:
    """A day has what was earned from 00:00 to 24:00 UTC, also while a month turns; the sum is that of all days."""
    pnl = of("main", "USDT", "realized_pnl")
    # On the third day nothing is earned.
    days = f"100x{DAY // 2} 110x{DAY} 130x{2 * DAY} 0 0 40x{2 * DAY}"
    series = [recorded("received", pnl, days), recorded("paid", pnl, f"7x{6 * DAY}")]
    # Prometheus 3 extrapolates by a sample more.
    by_day, cumulative = f"round({q.by_day(q.NET)})", f"round({q.cumulative(q.NET)})"

    assert_values(tmp_path, series, 0, {by_day: {'{asset="USDT"}': 10}})
    assert_values(tmp_path, series, 1, {by_day: {'{asset="USDT"}': 20}})
    assert_values(tmp_path, series, 2, {by_day: {}})
    assert_values(tmp_path, series, 3, {by_day: {'{asset="USDT"}': 40}, cumulative: {'{asset="USDT"}': 70}})


def test_months(tmp_path: Path) -> None:
    """A month has its final sums, recorded shortly after its end, on its last day; not those of single days."""
    main, busy = of("main", "USDT", "realized_pnl"), of("busy", "USDT", "realized_pnl")
    values = f"300x{MONTH - 1} 310x4 0 5x{DAY}"  # the final sums are those at 00:24
    series = [
        *(recorded("received", labels, values) for labels in (main, busy)),
        *(recorded("paid", labels, f"10x{MONTH + DAY}") for labels in (main, busy)),
        income("since_timestamp_seconds", 'account="main"', f"0x{MONTH + DAY}"),
        income("since_timestamp_seconds", 'account="busy"', f"2592000x{MONTH + DAY}"),
    ]

    assert_values(tmp_path, series, 29, {q.months(q.NET): {}})
    assert_values(tmp_path, series, 30, {q.months(q.NET): {'{asset="USDT"}': 300}})
    assert_values(tmp_path, series, 31, {q.months(q.NET): {}})


def test_months_of_the_history(tmp_path: Path) -> None:
    """A month written by `history` has its final sums, too, although the next one has more at once."""
    past, pnl = IncomePast(Since.MONTH, by_symbol=True), of("main", "USDT", "realized_pnl")
    past.add([income_row(DAY_MS, "300", "REALIZED_PNL"), income_row(31 * DAY_MS, "5000", "REALIZED_PNL")])
    received: dict[int, object] = {}
    paid: dict[int, object] = {}
    since: dict[int, object] = {}
    for day in past.days(0, 0, 32 * DAY_MS):
        since |= {at_ms: since_ms / 1000 for at_ms, since_ms in day.since}
        for at_ms, amounts in next(iter(day.series.values())):
            received[at_ms], paid[at_ms] = amounts.received, amounts.paid
    series = [
        income(name, labels, " ".join(str(samples.get(at_ms, "_")) for at_ms in range(0, 32 * DAY_MS, STEP_MS)))
        for name, labels, samples in (
            ("received_total", pnl, received),
            ("paid_total", pnl, paid),
            ("since_timestamp_seconds", 'account="main"', since),
        )
    ]

    assert_values(tmp_path, series, 30, {q.months(q.NET): {'{asset="USDT"}': 300}}, "5m", INCOME[:2])
