"""The demo's draw-down watched by a real Prometheus and Alertmanager, with the shipped rules and dashboards.

The story runs faster than the clock, and the times of the rules are shortened by one factor. That factor is larger: in
the story, a ratio is above the warning's threshold for hardly longer than the warning waits.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.expressions import Query, dashboard_queries, dashboard_variables, rule_queries, shortened_rules
from support.monitoring_servers import PATIENCE_SECONDS, Watched, wait_until, watched

from monitoring.rules.build import ALERTS, runbook_url

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEED: Final = 10
FACTOR: Final = 30
INTERVAL_SECONDS: Final = 15 / FACTOR  # 15 s in the sample
DEMO: Final = (f"--speed={SPEED}", "--interval=2500ms", "--seed=1", "--log.format=logfmt")
RULES: Final = shortened_rules(FACTOR)
RULE_QUERIES: Final = rule_queries(RULES)
PANEL_QUERIES: Final = dashboard_queries()

# What returns nothing in the demo, with the reason.
NEVER: Final = {
    "BinanceFuturesReloadFailed warning": "the demo's configuration is never loaded anew",
    "BinanceFuturesKeyRefused warning": "the simulated exchange knows every key",
    "BinanceFuturesPaused critical": "nobody exceeds the simulated limits so that an IP would be banned",
    "BinanceFuturesPaused warning": "the exporter stays below the simulated limits",
    "BinanceFuturesLiquidationPriceUnknown warning": "every position has its prices",
    "BinanceFuturesRequestWeightHigh warning": "four accounts use about half of the weight, and no other program asks",
}
# What returns something only if the machine is so late that polls fail or connections break, or in a chance moment: not
# to be relied upon.
ONLY_WHEN_LATE: Final = {
    "account:binance_futures_positions_without_margin_ratio:count": "between a scrape and the rule after it",
    "BinanceFuturesMarginRatioUnknown warning": "between a scrape and the rule after it",
    "BinanceFuturesRiskUnknown critical": "every account is polled while it is at risk",
    "BinanceFuturesRiskUnknown warning": "every account is polled while it is at risk",
    "BinanceFuturesAccountDown critical": "every account is up",
    "BinanceFuturesAccountDown warning": "every account is up",
    "BinanceFuturesDataStale warning": "every poll succeeds",
    "BinanceFuturesClockOff warning": "exporter and simulated exchange have the same clock",
    "BinanceFuturesConnectionUnstable warning": "the one connection stays",
}
PANELS_ONLY_WHEN_LATE: Final = {
    "accounts: Failed polls by account and reason A": "no poll fails",
    "exporter: Failed polls by reason A": "no poll fails",
    "exporter: Connections opened and ended B": "the one connection stays",
    "exporter: Frames that belong to no request A": "every answer comes in time for its request",
}

# What the draw-down makes fire in every round, and between which percentages its value lies.
MARGIN_RATIO_HIGH: Final = (
    "The margin ratio of the isolated position {symbol} ({side}) of account {account} is {value}; "
    "liquidation is at 100%."
)
LIQUIDATION_NEAR: Final = (
    "The mark price is {value} away from the liquidation price of {symbol} ({side}) of account {account}."
)
FIRING: Final = [
    ("MarginRatioHigh", "critical", "isolated", "SOLUSDT", "BOTH", MARGIN_RATIO_HIGH, (80, 95)),
    ("MarginRatioHigh", "critical", "isolated", "币安人生USDT", "BOTH", MARGIN_RATIO_HIGH, (80, 95)),
    ("MarginRatioHigh", "warning", "isolated", "SOLUSDT", "BOTH", MARGIN_RATIO_HIGH, (70, 95)),
    ("MarginRatioHigh", "warning", "isolated", "币安人生USDT", "BOTH", MARGIN_RATIO_HIGH, (70, 95)),
    ("LiquidationNear", "critical", "isolated", "SOLUSDT", "BOTH", LIQUIDATION_NEAR, (0, 5)),
    ("LiquidationNear", "critical", "main", "BTCUSDT", "BOTH", LIQUIDATION_NEAR, (0, 5)),
    ("LiquidationNear", "warning", "isolated", "SOLUSDT", "BOTH", LIQUIDATION_NEAR, (0, 5)),
    ("LiquidationNear", "warning", "hedge", "BTCUSDT", "LONG", LIQUIDATION_NEAR, (2, 5)),
]
# What has nothing to do with the rules: an Alertmanager that is too slow to answer.
LATE: Final = ("Error sending alert",)

# All of them, so that one process runs them and starts the demo once.
pytestmark = pytest.mark.waits


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The demo, watched; it is started once for all tests."""
    with watched(tmp_path_factory.mktemp("watched"), RULES, INTERVAL_SECONDS, *DEMO) as running:
        yield running


def told(demo: Watched, **labels: str) -> dict[str, list[dict[str, Any]]]:
    """Return what the webhook was told of the alerts with these labels, by status."""
    found: dict[str, list[dict[str, Any]]] = {"firing": [], "resolved": []}
    for alert in list(demo.webhook.alerts):
        if labels.items() <= alert["labels"].items():
            found[alert["status"]].append(alert)
    return found


def wait_for_a_round(demo: Watched) -> None:
    """Wait until all that the draw-down makes fire has fired and resolved."""

    def missing() -> list[Any]:
        labels = [
            {"alertname": f"BinanceFutures{alert}", "severity": severity, "account": account, "symbol": symbol}
            for alert, severity, account, symbol, *_ in FIRING
        ]
        return [one for one in labels if not all(told(demo, **one).values())]

    wait_until(lambda: not missing(), lambda: f"never fired and resolved: {missing()}")


def without_data(demo: Watched, queries: list[Query]) -> list[str]:
    """Wait until all queries that are not documented have returned data; return the names of those that never do."""
    documented = NEVER.keys() | ONLY_WHEN_LATE.keys() | PANELS_ONLY_WHEN_LATE.keys()
    left = [query for query in queries if query.name not in documented]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        left = [query for query in left if not demo.has_data(query.expression)]
        if not left:
            break
        time.sleep(1)
    return [query.name for query in left]


def counted(demo: Watched, *names: str) -> dict[str, float]:
    """Return, by series, what Prometheus has counted of itself under some names."""
    lines = [line for line in demo.client.get("/metrics").text.splitlines() if line.startswith(names)]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize(
    ("alert", "severity", "account", "symbol", "side", "description", "between"),
    [pytest.param(*row, id=" ".join(row[:5])) for row in FIRING],
)
def test_alert_fires_and_resolves(
    demo: Watched,
    alert: str,
    severity: str,
    account: str,
    symbol: str,
    side: str,
    description: str,
    between: tuple[float, float],
) -> None:
    """The draw-down makes an alert reach the webhook with its value in percent and its runbook, and then resolve."""
    name = f"BinanceFutures{alert}"
    labels = {"account": account, "symbol": symbol, "position_side": side}
    told_of: dict[str, list[dict[str, Any]]] = {}

    def fired_and_resolved() -> bool:
        told_of.update(told(demo, alertname=name, severity=severity, **labels))
        return all(told_of.values())

    wait_until(fired_and_resolved, lambda: f"{told_of}")
    shipped = next(one for one in ALERTS if (name, severity) == (one.name, one.severity))
    wanted = re.escape(description.format(symbol=symbol, side=side, account=account, value="VALUE"))
    for one in told_of["firing"] + told_of["resolved"]:
        value = re.fullmatch(wanted.replace("VALUE", r"(\d[\d.]*)%"), one["annotations"]["description"])

        assert value, one["annotations"]["description"]
        assert between[0] < float(value[1]) < between[1]
        assert shipped.summary == one["annotations"]["summary"]
        assert runbook_url(name) == one["annotations"]["runbook_url"]
        assert {"alertname", "severity", "job", *labels} == one["labels"].keys()
    assert told_of["firing"][0]["startsAt"] == told_of["resolved"][0]["startsAt"] < told_of["resolved"][0]["endsAt"]


def test_no_margin_ratio_of_another_account_is_high(demo: Watched) -> None:
    """The ratios of the other accounts, 62 % at the most, make no alert fire."""
    wait_for_a_round(demo)
    fired = told(demo, alertname="BinanceFuturesMarginRatioHigh")["firing"]

    assert {"isolated"} == {one["labels"]["account"] for one in fired}


def test_every_notification_can_be_read(demo: Watched) -> None:
    """Whatever reaches the webhook names its account, has a runbook, and no template in it is left unfilled."""
    wait_for_a_round(demo)
    shipped = {one.name: one for one in ALERTS}

    for one in list(demo.webhook.alerts):
        texts = one["annotations"]
        assert {"summary", "description", "runbook_url"} == texts.keys()
        assert runbook_url(shipped[one["labels"]["alertname"]].name) == texts["runbook_url"]
        assert one["labels"].get("account", "") in texts["description"]
        assert not re.search(r"[{}<>]|%!|\d\.\d{7}|\de[+-]", texts["description"]), texts["description"]


def test_every_rule_has_data(demo: Watched) -> None:
    """Every rule's expression returns data at some time of the story, but for the documented ones."""
    assert [] == without_data(demo, RULE_QUERIES)


def test_every_panel_has_data(demo: Watched) -> None:
    """Every query of the dashboards returns data at some time of the story, but for the documented ones."""
    assert [] == without_data(demo, PANEL_QUERIES)


@pytest.mark.parametrize(
    ("selector", "label"),
    [pytest.param(*asked, id=name) for name, *asked in dashboard_variables()],
)
def test_every_variable_has_values(demo: Watched, selector: str, label: str) -> None:
    """A dashboard's variable finds values to choose from."""
    wait_for_a_round(demo)
    values = demo.get(f"/api/v1/label/{label}/values", **{"match[]": selector})

    assert values


def test_documented_emptiness(demo: Watched) -> None:
    """What is documented to return nothing whatever the machine does returns nothing, and is still asked somewhere."""
    wait_for_a_round(demo)
    rules = {query.name: query.expression for query in RULE_QUERIES}

    assert set() == (NEVER.keys() | ONLY_WHEN_LATE.keys()) - rules.keys()
    assert set() == PANELS_ONLY_WHEN_LATE.keys() - {query.name for query in PANEL_QUERIES}
    assert [] == [name for name in NEVER if demo.has_data(rules[name])]


def test_every_rule_is_healthy(demo: Watched) -> None:
    """Prometheus evaluates every rule, and has never failed to."""
    wait_for_a_round(demo)
    rules = [rule for group in demo.get("/api/v1/rules")["groups"] for rule in group["rules"]]
    failures = counted(demo, "prometheus_rule_evaluation_failures_total{")

    assert len(RULE_QUERIES) == len(rules)
    assert [] == [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")]
    assert {0} == set(failures.values())
    assert len(RULES) == len(failures)


def test_no_sample_is_refused(demo: Watched) -> None:
    """Prometheus finds no sample twice, out of order or out of bounds, and logs no warning."""
    wait_for_a_round(demo)
    refused = counted(demo, "prometheus_target_scrapes_sample_", "prometheus_tsdb_out_of_order_samples_total")
    complaints = re.findall(r"(?i).*level=(?:warn|error).*", demo.prometheus.logged())

    assert len(refused) >= 4
    assert {0} == set(refused.values())
    assert [] == [line for line in complaints if not any(late in line for late in LATE)]
