"""The demo's draw-down monitored by a real Prometheus and Alertmanager, with the shipped rules and dashboards.

The demo runs faster than the clock, and the durations in the rules are divided by a factor. That factor is larger,
because in the demo a ratio exceeds the threshold of the warning for hardly longer than the `for` of the warning.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.expressions import (
    PANELS_WITHOUT_DATA,
    Query,
    dashboard_queries,
    dashboard_variables,
    docs_queries,
    rule_queries,
    shortened_rules,
    silent_in_demo,
)
from support.monitoring_servers import MonitoredDemo, monitored_demo

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

NEVER: Final = silent_in_demo("never")
UNLESS_SLOW: Final = silent_in_demo("unless_slow")

# The alerts that the draw-down causes in every round, and the range of their values in per cent.
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
# Log lines that have nothing to do with the rules: Alertmanager is too slow to answer.
UNRELATED: Final = ("Error sending alert",)

# Marks all tests, so that one process runs them and starts the demo once.
pytestmark = [pytest.mark.waits, pytest.mark.prometheus]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitoredDemo]:
    """The monitored demo, started once for all tests."""
    with monitored_demo(tmp_path_factory.mktemp("demo"), RULES, INTERVAL_SECONDS, *DEMO) as running:
        yield running


def notifications(demo: MonitoredDemo, **labels: str) -> dict[str, list[dict[str, Any]]]:
    """Return the notifications that the webhook has received of alerts with these labels, by status."""
    by_status: dict[str, list[dict[str, Any]]] = {"firing": [], "resolved": []}
    for alert in list(demo.webhook.alerts):
        if labels.items() <= alert["labels"].items():
            by_status[alert["status"]].append(alert)
    return by_status


def wait_for_a_round(demo: MonitoredDemo) -> None:
    """Wait until every alert that the draw-down causes has fired and resolved."""

    def missing() -> list[Any]:
        labels = [
            {"alertname": f"BinanceFutures{alert}", "severity": severity, "account": account, "symbol": symbol}
            for alert, severity, account, symbol, *_ in FIRING
        ]
        return [alert for alert in labels if not all(notifications(demo, **alert).values())]

    demo.wait_for(lambda: not missing(), lambda: f"never fired and resolved: {missing()}")


def without_data(demo: MonitoredDemo, queries: list[Query]) -> list[str]:
    """Wait until all queries that are not documented have returned data; return the names of those that never do."""
    documented = NEVER.keys() | UNLESS_SLOW.keys() | PANELS_WITHOUT_DATA.keys()
    left = [query for query in queries if query.name not in documented]
    while left := [query for query in left if not demo.has_data(query.expression)]:
        if time.monotonic() > demo.deadline:
            break
        time.sleep(1)
    return [query.name for query in left]


def own_metrics(demo: MonitoredDemo, *names: str) -> dict[str, float]:
    """Return Prometheus' own metrics whose names begin so, by series."""
    lines = [line for line in demo.client.get("/metrics").text.splitlines() if line.startswith(names)]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize(
    ("alert", "severity", "account", "symbol", "side", "description", "value_range"),
    [pytest.param(*row, id=" ".join(row[:5])) for row in FIRING],
)
def test_alert_fires_and_resolves(
    demo: MonitoredDemo,
    alert: str,
    severity: str,
    account: str,
    symbol: str,
    side: str,
    description: str,
    value_range: tuple[float, float],
) -> None:
    """The draw-down makes an alert reach the webhook with its value in percent and its runbook, and then resolve."""
    name = f"BinanceFutures{alert}"
    labels = {"account": account, "symbol": symbol, "position_side": side}
    received: dict[str, list[dict[str, Any]]] = {}

    def fired_and_resolved() -> bool:
        received.update(notifications(demo, alertname=name, severity=severity, **labels))
        return all(received.values())

    demo.wait_for(fired_and_resolved, lambda: f"{received}")
    shipped = next(rule for rule in ALERTS if (name, severity) == (rule.name, rule.severity))
    expected = re.escape(description.format(symbol=symbol, side=side, account=account, value="VALUE"))
    for notification in received["firing"] + received["resolved"]:
        value = re.fullmatch(expected.replace("VALUE", r"(\d[\d.]*)%"), notification["annotations"]["description"])

        assert value, notification["annotations"]["description"]
        assert value_range[0] < float(value[1]) < value_range[1]
        assert shipped.summary == notification["annotations"]["summary"]
        assert runbook_url(name) == notification["annotations"]["runbook_url"]
        assert {"alertname", "severity", "job", *labels} == notification["labels"].keys()
    assert received["firing"][0]["startsAt"] == received["resolved"][0]["startsAt"] < received["resolved"][0]["endsAt"]


def test_no_margin_ratio_of_another_account_is_high(demo: MonitoredDemo) -> None:
    """The ratios of the other accounts, 62 % at the most, make no alert fire."""
    wait_for_a_round(demo)
    firing = notifications(demo, alertname="BinanceFuturesMarginRatioHigh")["firing"]

    assert {"isolated"} == {alert["labels"]["account"] for alert in firing}


def test_unsafe_keys_are_reported(demo: MonitoredDemo) -> None:
    """A key that can withdraw and one that can be used from any IP, and no others, make an alert fire."""
    expected = {"hedge": "withdrawals", "isolated": None}

    def reported() -> dict[str, str | None]:
        firing = notifications(demo, alertname="BinanceFuturesKeyUnsafe")["firing"]
        return {alert["labels"]["account"]: alert["labels"].get("permission") for alert in firing}

    demo.wait_for(lambda: len(reported()) >= len(expected), lambda: f"{reported()}")

    assert expected == reported()


def test_every_notification_can_be_read(demo: MonitoredDemo) -> None:
    """Whatever reaches the webhook names its account, has a runbook, and no template in it is left unfilled."""
    wait_for_a_round(demo)
    names = {rule.name for rule in ALERTS}

    for alert in list(demo.webhook.alerts):
        texts = alert["annotations"]
        assert alert["labels"]["alertname"] in names
        assert {"summary", "description", "runbook_url"} == texts.keys()
        assert runbook_url(alert["labels"]["alertname"]) == texts["runbook_url"]
        assert alert["labels"].get("account", "") in texts["description"]
        assert not re.search(r"[{}<>]|%!|\d\.\d{7}|\de[+-]", texts["description"]), texts["description"]


def test_every_rule_has_data(demo: MonitoredDemo) -> None:
    """Every rule's expression returns data at some time of the scenario, but for the documented ones."""
    assert [] == without_data(demo, RULE_QUERIES)


def test_every_panel_has_data(demo: MonitoredDemo) -> None:
    """Every query of the dashboards returns data at some time of the scenario, but for the documented ones."""
    assert [] == without_data(demo, PANEL_QUERIES)


def test_every_query_of_the_docs_has_data(demo: MonitoredDemo) -> None:
    """Every PromQL example of the documentation returns data at some time of the scenario."""
    queries = docs_queries()

    assert len(queries) >= 15
    assert [] == without_data(demo, queries)


@pytest.mark.parametrize(
    ("selector", "label"),
    [pytest.param(*variable, id=name) for name, *variable in dashboard_variables()],
)
def test_every_variable_has_values(demo: MonitoredDemo, selector: str, label: str) -> None:
    """A dashboard's variable finds values to choose from."""
    wait_for_a_round(demo)
    values = demo.get(f"/api/v1/label/{label}/values", **{"match[]": selector})

    assert values


def test_documented_emptiness(demo: MonitoredDemo) -> None:
    """Rules documented to never return data return none, and every documented name is that of a valid rule or query."""
    wait_for_a_round(demo)
    panels = {query.name: query.expression for query in PANEL_QUERIES}
    rules = {query.name: query.expression for query in RULE_QUERIES}

    assert set() == (NEVER.keys() | UNLESS_SLOW.keys()) - rules.keys()
    assert set() == PANELS_WITHOUT_DATA.keys() - panels.keys()
    for name in PANELS_WITHOUT_DATA:
        demo.has_data(panels[name])
    assert [] == [name for name in NEVER if demo.has_data(rules[name])]


def test_every_rule_is_healthy(demo: MonitoredDemo) -> None:
    """Prometheus evaluates every rule, and has never failed to."""
    wait_for_a_round(demo)
    rules = [rule for group in demo.get("/api/v1/rules")["groups"] for rule in group["rules"]]
    failures = own_metrics(demo, "prometheus_rule_evaluation_failures_total{")

    assert len(RULE_QUERIES) == len(rules)
    assert [] == [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")]
    assert {0} == set(failures.values())
    assert len(RULES) == len(failures)


def test_no_sample_is_refused(demo: MonitoredDemo) -> None:
    """Prometheus finds no sample twice, out of order or out of bounds, and logs no warning."""
    wait_for_a_round(demo)
    refused = own_metrics(demo, "prometheus_target_scrapes_sample_", "prometheus_tsdb_out_of_order_samples_total")
    complaints = re.findall(r"(?i).*level=(?:warn|error).*", demo.prometheus.output)

    assert len(refused) >= 4
    assert {0} == set(refused.values())
    assert [] == [line for line in complaints if not any(text in line for text in UNRELATED)]
