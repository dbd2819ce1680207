"""The figures that dashboards calculate from what is read over REST: the next funding, and equity in USD."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.dashboards import filled
from support.prometheus_server import promtool

from monitoring.dashboards import queries
from monitoring.rules.rule import JOB

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus

# Two exporters, each with an endpoint of the same label: prices and funding of one must not be used for the other.
FIRST: Final = "first:10427"
SECOND: Final = "second:10427"


def account(name: str, mode: str, instance: str = FIRST) -> dict[str, float]:
    """Return the series that say how an account is polled."""
    return {
        f'account_info{{account="{name}",asset_mode="{mode}",endpoint="mainnet",instance="{instance}"}}': 1,
        f'up{{account="{name}",instance="{instance}"}}': 1,
    }


def balances(name: str, instance: str = FIRST, **assets: float) -> dict[str, float]:
    """Return the margin balance of each asset of an account."""
    return {
        f'asset_margin_balance{{account="{name}",asset="{asset}",instance="{instance}"}}': amount
        for asset, amount in assets.items()
    }


def prices(instance: str = FIRST, **assets: float) -> dict[str, float]:
    """Return the price of each asset."""
    return {
        f'asset_index_price{{asset="{asset}",endpoint="mainnet",instance="{instance}"}}': price
        for asset, price in assets.items()
    }


def position(name: str, side: str, notional: float) -> dict[str, float]:
    """Return the series of a position in BTCUSDT; a notional of 0 is that of a symbol with only open orders."""
    labels = f'account="{name}",symbol="BTCUSDT",position_side="{side}",instance="{FIRST}"'
    info = {f'position_info{{{labels},margin_asset="USDT",margin_type="cross"}}': 1.0} if notional else {}
    return {f"position_amount{{{labels}}}": notional, f"position_notional{{{labels}}}": notional, **info}


def assert_values(folder: Path, series: dict[str, float], expected: dict[str, dict[str, float]]) -> None:
    """Assert that each expression returns exactly these values, by the labels in promtool's notation."""
    job = f'{{job="{JOB}",'
    written = [
        {"series": f"binance_futures_{name.replace('{', job, 1)}", "values": str(value)}
        for name, value in series.items()
    ]
    checks: list[dict[str, Any]] = [
        {
            "eval_time": "0s",
            "expr": filled(expression),
            "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
        }
        for expression, values in expected.items()
    ]
    path = folder / "test.yml"
    path.write_text(json.dumps({"tests": [{"input_series": written, "promql_expr_test": checks}]}), encoding="utf-8")
    code, output = promtool("test", "rules", path)

    assert 0 == code, output


def test_equity_in_usd_is_complete_or_absent(tmp_path: Path) -> None:
    """Accounts are valued with all of their assets, and one is left out if it holds an asset without a price."""
    series = {
        **account("single", "single"),
        **balances("single", USDT=100, BTC=0.5, BNB=0),
        **account("indebted", "single"),
        **balances("indebted", USDT=-40),
        **account("unpriced", "single"),
        **balances("unpriced", USDT=100, BNFCR=7),
        **account("undetected", "unknown"),
        **balances("undetected", USDT=100),
        **account("other exporter", "single", SECOND),
        **balances("other exporter", SECOND, USDT=100, BTC=1),
        **account("multi", "multi"),
        **balances("multi", USDT=100, BNFCR=7),
        f'account_margin_balance{{account="multi",currency="USD",instance="{FIRST}"}}': 333,
        **account("empty", "single"),
        **balances("empty", USDT=0, BTC=0),
        **prices(USDT=0.5, BTC=1000),
        **prices(SECOND, USDT=0.25),
    }
    expected = {
        '{account="single"}': 550.0,
        '{account="indebted"}': -20.0,
        '{account="multi"}': 333.0,
        '{account="empty"}': 0.0,
    }

    assert_values(tmp_path, series, {queries.equity_in_usd(): expected})


def test_funding_is_negative_for_who_pays(tmp_path: Path) -> None:
    """At a positive rate long positions pay and short ones receive; symbols with only open orders are left out."""
    endpoint = f'endpoint="mainnet",symbol="BTCUSDT",instance="{FIRST}"'
    series = {
        **account("main", "single"),
        **position("main", "LONG", 2000),
        **position("main", "SHORT", -500),
        **position("main", "BOTH", 0),
        f"funding_rate{{{endpoint}}}": 0.25,
        f"funding_next_timestamp_seconds{{{endpoint}}}": 90,
    }
    long, short = (f'{{account="main",symbol="BTCUSDT",position_side="{side}"' for side in ("LONG", "SHORT"))

    assert_values(
        tmp_path,
        series,
        {
            queries.funding_amount(): {
                f'{long},margin_asset="USDT"}}': -500.0,
                f'{short},margin_asset="USDT"}}': 125.0,
            },
            queries.funding_due(): {f"{long}}}": 90.0, f"{short}}}": 90.0},
        },
    )
